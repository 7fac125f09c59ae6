use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, Sender, channel},
    thread::ThreadId,
};

use futures::{FutureExt, TryStreamExt};

use super::*;
use crate::{DateTime, Durability, ErrorKind, Operation, Outcome, Prefix, StorageBackend, Version, Versions};

/// A map that waits, panics or reports when a test wants it.
#[derive(Default)]
struct Map {
    objects: BTreeMap<Key, Object>,
    /// Each commit tells that it began, and waits.
    gate: Option<(Sender<()>, Receiver<()>)>,
    closed: Option<Sender<usize>>,
    threads: Option<Sender<ThreadId>>,
    _dropped: Option<Told>,
}

impl BlockingStorage for Map {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Process, 100).atomic_batch(true).exact_conflicts(true)
    }

    fn get(&mut self, key: &Key) -> Result<Option<Object>> {
        assert_ne!(key.as_str(), "panics");
        if let Some(threads) = &self.threads {
            threads.send(std::thread::current().id()).unwrap();
        }
        Ok(self.objects.get(key).cloned())
    }

    fn page(&mut self, span: &Span) -> Result<Vec<Row>> {
        let within = self.objects.keys().filter(|key| span.contains(key.as_str()));
        Ok(within.take(2).map(|key| Row::new(key.as_str(), 1, DateTime::UNIX_EPOCH)).collect())
    }

    fn commit(&mut self, batch: &Batch) -> Result<Commit> {
        if let Some((begun, go_on)) = &self.gate {
            begun.send(()).unwrap();
            go_on.recv().unwrap();
        }
        for (_, operation) in batch.operations() {
            let Operation::Put { key, bytes, .. } = operation else { continue };
            let meta =
                Meta::new(key.clone(), bytes.len() as u64, Version::of_content(bytes), DateTime::UNIX_EPOCH);
            self.objects.insert(key.clone(), Object::new(meta, bytes.clone()));
            // Half of it is done.
            assert_ne!(key.as_str(), "panics");
        }
        Ok(Commit::Committed(Versions::default()))
    }

    /// Unlike the default.
    fn get_range(&mut self, key: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
        Ok(self.get(key)?.map(|object| Excerpt::new(format!("{range:?}"), object.meta.size, None)))
    }

    fn close(&mut self) -> Result<()> {
        if let Some(closed) = &self.closed {
            closed.send(self.objects.len()).unwrap();
        }
        Ok(())
    }
}

fn key(name: &str) -> Key {
    Key::parse(name).unwrap()
}

fn put(name: &str) -> Batch {
    Batch::new().stage([Operation::put(key(name), "1")])
}

async fn keys(backend: &Blocking<Map>) -> Vec<String> {
    let listed: Vec<_> = backend.list(&Prefix::root(), None).try_collect().await.unwrap();
    listed.into_iter().map(|it| it.key.to_string()).collect()
}

/// A storage whose commits tell that they began, and wait.
fn gated() -> (Blocking<Map>, Receiver<()>, Sender<()>) {
    let ((begins, begun), (go, going)) = (channel(), channel());
    (Blocking::new(Map { gate: Some((begins, going)), ..Map::default() }), begun, go)
}

#[tokio::test]
async fn calls_reach_the_storage_on_other_threads() {
    let (threads, seen) = channel();
    let backend = Blocking::new(Map { threads: Some(threads), ..Map::default() });
    for name in ["a/1", "a/2", "a/3", "b"] {
        assert!(matches!(backend.commit(put(name)).await, Ok(Commit::Committed(_))));
    }
    assert_eq!(backend.stat(&key("b")).await.unwrap().unwrap().size, 1);
    assert_ne!(seen.recv().unwrap(), std::thread::current().id());
    let part = backend.get_range(&key("b"), 3..5).await.unwrap();
    assert_eq!(part, Some(Excerpt::new("3..5", 1, None)));
    assert_ne!(seen.recv().unwrap(), std::thread::current().id());
    assert!(backend.clone().get(&key("c")).await.unwrap().is_none());
    let below: Vec<_> = backend
        .list(&Prefix::parse("a").unwrap(), Some(&key("a/1")))
        .map_ok(|it| it.key.to_string())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(below, ["a/2", "a/3"]);
}

#[tokio::test]
async fn batch_is_checked_before_the_storage_sees_it() {
    let backend = Blocking::new(Map::default());
    let refused = backend.commit(Batch::new().stage([Operation::delete(key("a")).absent()])).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn commit_that_panics_is_unknown_and_later_calls_are_refused() {
    let backend = Blocking::new(Map::default());
    let error = backend.commit(put("panics")).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Poisoned, Outcome::Unknown), "{error}");
    let nothing = Outcome::NotApplied { applied: 0 };
    for error in [
        backend.get(&key("a")).await.unwrap_err(),
        backend.commit(put("a")).await.unwrap_err(),
        backend.clone().list(&Prefix::root(), None).try_collect::<Vec<_>>().await.unwrap_err(),
        backend.close().await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Poisoned, nothing), "{error}");
    }
}

#[tokio::test]
async fn read_that_panics_did_not_happen() {
    let backend = Blocking::new(Map::default());
    for read in [backend.get(&key("panics")).await.map(drop), backend.get(&key("a")).await.map(drop)] {
        let error = read.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        assert_eq!(error.outcome(), Outcome::NotApplied { applied: 0 });
    }
}

#[tokio::test]
async fn begun_commit_goes_on_after_its_future_is_dropped() {
    let (backend, begun, go) = gated();
    let mut commit = backend.commit(put("begun"));
    assert!(commit.as_mut().now_or_never().is_none());
    begun.recv().unwrap();
    drop(commit);
    // This one waits for its turn and is dropped before it has it.
    assert!(backend.commit(put("waits")).now_or_never().is_none());
    go.send(()).unwrap();
    assert_eq!(keys(&backend).await, ["begun"]);
}

#[tokio::test]
async fn close_waits_for_a_commit_whose_future_was_dropped() {
    let ((begins, begun), (go, going), (closes, closed)) = (channel(), channel(), channel());
    let map = Map { gate: Some((begins, going)), closed: Some(closes), ..Map::default() };
    let backend = Blocking::new(map);
    let mut commit = backend.commit(put("begun"));
    assert!(commit.as_mut().now_or_never().is_none());
    begun.recv().unwrap();
    drop(commit);
    let mut close = backend.close();
    assert!(close.as_mut().now_or_never().is_none());
    assert!(closed.try_recv().is_err());
    go.send(()).unwrap();
    close.await.unwrap();
    assert_eq!(closed.recv().unwrap(), 1, "the commit came first");
    backend.close().await.unwrap();
    assert_eq!(keys(&backend).await, ["begun"]);
}

#[tokio::test]
async fn call_that_is_kept_holds_no_other_up() {
    let (backend, begun, go) = gated();
    let (mut first, name) = (backend.commit(put("a")), key("a"));
    assert!(first.as_mut().now_or_never().is_none());
    begun.recv().unwrap();
    // These wait behind it, and are not polled again.
    let mut kept = [backend.get(&name), backend.get(&name)];
    for read in &mut kept {
        assert!(read.as_mut().now_or_never().is_none());
    }
    go.send(()).unwrap();
    assert_eq!(keys(&backend).await, ["a"]);
    for read in kept {
        assert!(read.await.unwrap().is_some());
    }
    assert!(first.await.is_ok());
}

#[tokio::test]
async fn panic_answers_the_calls_that_wait() {
    let (backend, begun, go) = gated();
    let name = key("a");
    let (mut panics, mut waits) = (backend.commit(put("panics")), backend.get(&name));
    assert!(panics.as_mut().now_or_never().is_none());
    begun.recv().unwrap();
    assert!(waits.as_mut().now_or_never().is_none());
    go.send(()).unwrap();
    assert_eq!(panics.await.unwrap_err().outcome(), Outcome::Unknown);
    let error = waits.await.unwrap_err();
    let nothing = Outcome::NotApplied { applied: 0 };
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Poisoned, nothing), "{error}");
}

#[test]
fn runtime_that_was_shut_down_answers_every_call() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (backend, name, handle) = (Blocking::new(Map::default()), key("a"), runtime.handle().clone());
    runtime.shutdown_background();
    {
        let _entered = handle.enter();
        for _ in 0..2 {
            let error = backend.get(&name).now_or_never().unwrap().unwrap_err();
            let nothing = Outcome::NotApplied { applied: 0 };
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, nothing), "{error}");
        }
    }
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(other.block_on(backend.get(&name)).unwrap().is_none());
}

/// Tells on which thread it is dropped.
struct Told(Sender<ThreadId>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.send(std::thread::current().id()).unwrap();
    }
}

#[test]
fn storage_is_dropped_on_a_blocking_thread_if_there_is_one() {
    let here = std::thread::current().id();
    let (tell, told) = channel();
    let told_by = || Blocking::new(Map { _dropped: Some(Told(tell.clone())), ..Map::default() });
    drop(told_by());
    assert_eq!(told.recv().unwrap(), here);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        drop(told_by());
        assert_ne!(told.recv().unwrap(), here);
    });
}

#[test]
fn call_without_a_runtime_is_refused() {
    let backend = Blocking::new(Map::default());
    let error = backend.commit(put("a")).now_or_never().unwrap().unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied { applied: 0 });
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}
