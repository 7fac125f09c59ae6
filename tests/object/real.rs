//! The promises of the store on a real bucket, for `tests/servers/real.sh`. Runs only where
//! `PFLOW_TEST_REAL_URL` names a place, with the credentials that the program would take.
//!
//! Everything is written below a fresh name under that place. At the end, also of a test that failed, what is
//! there is deleted, and nothing else. No bucket is made or removed.

use std::{collections::BTreeMap, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use futures::{TryStreamExt, future::join_all};
use pflow_store::{
    ChangeRequest, Error, ErrorKind, Expect, LeaseRequest, Query, Store, StoreBuilder,
    backend::{
        Batch, Environment, Error as StorageError, ErrorKind as StorageErrorKind, Key, Operation, Prefix,
        Result as StorageResult, StorageBackend, SystemEnvironment, async_trait,
        conformance::{self, Harness, Site},
    },
    object::{ObjectBackend, ObjectOptions, ObjectUrl},
};
use pflow_testkit::{Log, Probe, chain, damaged, id, listing, plan, save};

/// The writers of the chaos, and how many saves each of them begins.
const WRITERS: u64 = 4;
const SAVES: u64 = 25;

fn environment() -> Arc<SystemEnvironment> {
    Arc::new(SystemEnvironment::new().unwrap())
}

fn object_options() -> ObjectOptions {
    ObjectOptions::from_env(std::env::vars()).max_object_size(2 << 20)
}

/// Folds at the end alone, so that the requests of an operation are the same every time.
fn at(url: &str) -> StoreBuilder {
    quiet(Store::builder(url).object_options(object_options()))
}

fn quiet(builder: StoreBuilder) -> StoreBuilder {
    builder.fold_behind(false).fold_after(usize::MAX)
}

fn open(url: &str) -> StorageResult<ObjectBackend> {
    let url: ObjectUrl = url
        .parse()
        .map_err(|refused| StorageError::not_applied(StorageErrorKind::InvalidInput, format!("{refused}")))?;
    ObjectBackend::open(&url, object_options(), environment())
}

/// Runs `test` at an empty place of its own, and deletes what is there at the end.
async fn at_a_fresh_place<F>(name: &str, test: impl FnOnce(String) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let Some(given) = std::env::var("PFLOW_TEST_REAL_URL").ok().filter(|url| !url.is_empty()) else {
        return println!("skipped: PFLOW_TEST_REAL_URL names no place");
    };
    let parsed: ObjectUrl = given.parse().unwrap_or_else(|refused| panic!("PFLOW_TEST_REAL_URL: {refused}"));
    assert!(parsed.prefix().is_some(), "PFLOW_TEST_REAL_URL must have a prefix: {given}/PREFIX");
    let url = format!("{}/pflow-test-{}-{name}", given.trim_end_matches('/'), environment().new_id());
    assert_eq!(keys(&open(&url).unwrap()).await, [], "{url} is in use");
    println!("{name}: writes below {url}");
    let tested = tokio::spawn(test(url.clone())).await;
    let rest = open(&url).unwrap();
    let written = keys(&rest).await;
    for some in written.chunks(100) {
        drop(rest.commit(Batch::new().stage(some.iter().cloned().map(Operation::delete))).await.unwrap());
    }
    assert_eq!(keys(&rest).await, [], "not everything below {url} could be deleted");
    println!("{name}: {} objects below {url} were deleted", written.len());
    tested.unwrap();
}

async fn keys(backend: &dyn StorageBackend) -> Vec<Key> {
    backend.list(&Prefix::root(), None).map_ok(|listed| listed.key).try_collect().await.unwrap()
}

/// Gives the work up after so many polls, with its outcome open. A number of polls is somewhere in the middle
/// of its requests.
async fn given_up_after<T>(polls: u64, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

struct Places(String);

struct Place(String);

#[async_trait]
impl Harness for Places {
    async fn fresh(&self) -> StorageResult<Box<dyn Site>> {
        Ok(Box::new(Place(format!("{}/{}", self.0, environment().new_id()))))
    }
}

#[async_trait]
impl Site for Place {
    async fn open(&self) -> StorageResult<Arc<dyn StorageBackend>> {
        Ok(Arc::new(open(&self.0)?))
    }

    async fn reopen(&self) -> StorageResult<Option<Arc<dyn StorageBackend>>> {
        self.open().await.map(Some)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_bucket_keeps_the_contract() {
    at_a_fresh_place("conformance", |url| async move {
        let report = conformance::run(&Places(url)).await;
        report.assert_conformant();
        println!("{report}");
    })
    .await;
}

/// What the store asks for is what `tests/object/requests.rs` counts at a server: here calls of the backend,
/// each of which is one request unless it is repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_bucket_is_asked_for_as_little() {
    at_a_fresh_place("requests", |url| async move {
        let probe = Probe::new(Arc::new(open(&url).unwrap()));
        let store = quiet(Store::on(Arc::new(probe.clone()))).init().await.unwrap();
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        let clock = environment();
        let mut began = clock.monotonic();
        probe.take();
        let mut asked = |what: &str, wanted: [usize; 3]| {
            let log = probe.take();
            println!("{what}: {wanted:?} gets, lists and writes, {:?}", clock.monotonic() - began);
            assert_eq!(numbers(&log), wanted, "{what}: {log:#?}");
            began = clock.monotonic();
        };
        let lease = || LeaseRequest::new("t", Duration::from_secs(60));
        store.save(save("a", "2", Expect::Generation(1))).await.unwrap();
        asked("save on a generation that is known", [0, 0, 4]);
        store.save(save("a", "3", Expect::Any)).await.unwrap();
        asked("save on whatever is there", [1, 0, 4]);
        store.load(&id("a")).await.unwrap();
        asked("load", [2, 0, 0]);
        let grant = store.acquire(&id("a"), lease()).await.unwrap();
        asked("acquire", [1, 0, 2]);
        store.release(&id("a"), grant.lease.id).await.unwrap();
        asked("release", [1, 0, 2]);
        store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
        asked("delete", [1, 0, 4]);
        store.save(save("b", "1", Expect::Absent)).await.unwrap();
        asked("save of a new workflow", [2, 1, 4]);
        store.close().await.unwrap();
    })
    .await;
}

fn numbers(log: &Log) -> [usize; 3] {
    [log.gets.len(), log.lists.len(), log.writes().count()]
}

/// What a writer was told of a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Saved(u64),
    Refused,
    Unknown,
}

/// Writers that race for the same workflows, and give every third save up somewhere in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_writers_of_a_real_bucket_were_told_is_true() {
    at_a_fresh_place("chaos", |url| async move {
        let store = at(&url).init().await.unwrap();
        let writers = (0..WRITERS).map(|writer| {
            let url = url.clone();
            tokio::spawn(async move {
                let (store, random) = (at(&url).open().await.unwrap(), environment());
                let mut told = Vec::new();
                for n in 0..SAVES {
                    let (workflow, text) = (format!("w{}", (n + n / 3) % 3), format!("{writer}.{n}"));
                    let polls = if n % 3 == 2 { 1 + random.random() % 24 } else { u64::MAX };
                    let saved = given_up_after(polls, store.save(save(&workflow, &text, Expect::Any))).await;
                    let answer = match saved {
                        Some(Ok(saved)) => Told::Saved(saved.generation),
                        Some(Err(Error::OutcomeUnknown { .. })) | None => Told::Unknown,
                        Some(Err(error)) => {
                            let kinds = [ErrorKind::Conflict, ErrorKind::Failed];
                            assert!(kinds.contains(&error.kind()), "{error:?}");
                            Told::Refused
                        }
                    };
                    told.push((workflow, plan(&text), answer));
                }
                store.close().await.unwrap();
                told
            })
        });
        let told = join_all(writers).await.into_iter().flat_map(Result::unwrap);
        let told: BTreeMap<(String, String), Told> =
            told.map(|(workflow, text, answer)| ((workflow, text), answer)).collect();

        let mut saved = 0;
        for workflow in ["w0", "w1", "w2"] {
            let chain = chain(&store, workflow).await;
            for (at, text) in (1_u64..).zip(&chain) {
                match told[&(workflow.to_owned(), text.clone())] {
                    Told::Saved(generation) => assert_eq!(generation, at, "{workflow}: {text}"),
                    Told::Unknown => {}
                    Told::Refused => panic!("{workflow}: {text} was refused, and it is at {at}"),
                }
            }
            let of_it = told.iter().filter(|((of, _), _)| of == workflow);
            for ((_, text), answer) in of_it {
                assert!(
                    !matches!(answer, Told::Saved(_)) || chain.contains(text),
                    "{workflow}: {text} was saved, and it is not there"
                );
                saved += u64::from(matches!(answer, Told::Saved(_)));
            }
        }
        println!("chaos: {saved} of {} saves were acknowledged", WRITERS * SAVES);
        assert!(saved > WRITERS * SAVES / 4, "{saved}: {told:#?}");
        store.reindex().await.unwrap();
        let listed = listing(&store, Query::new()).await.unwrap();
        assert_eq!((listed.workflows.len(), listed.unreadable.len()), (3, 0));
        assert_eq!(damaged(&store.verify().await.unwrap()), [""; 0]);
        store.close().await.unwrap();
    })
    .await;
}
