//! Three devices on one bucket merge and save the same workflow, in every order of their steps that has few
//! changes of turn, with replies that are lost.
//!
//! A merge of two versions is derived, so several devices write the same version object. Whatever the order,
//! the object of a head's version is never removed, every success is in the history, and the store is sound.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
};

use bytes::Bytes;
use futures::FutureExt;
use pflow_backend_memory::MemoryBackend;
use pflow_store::{
    ChangeRequest, Error, Expect, SaveRequest, Saved, Store,
    backend::{
        Batch, BoxStream, Capabilities, Commit, Conflict, Error as StorageError, ErrorKind, Key, Listed,
        ManualEnvironment, Object, Operation, Position, Prefix, Result, StorageBackend, Versions,
        async_trait,
    },
    format::{VersionId, VersionRef},
};
use pflow_testkit::{Kind, Site, VersionParts, id};
use serde_json::Value;

const HEAD: &str = "workflows/a/metadata.json";
/// How often the turn may change although the device could go on.
const CHANGES: usize = 3;

/// What becomes of the first swap of a device whose reply is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Applied,
    Dropped,
}

#[derive(Debug, Default)]
struct Gate {
    is_waiting: bool,
    may_pass: bool,
    lost: Option<Lost>,
    has_lost: bool,
}

/// A device's view of the bucket: each stage of a batch is a request of its own, and the device waits for its
/// turn before it reads the head, before it swaps it, and before it deletes.
#[derive(Debug)]
struct Device {
    bucket: MemoryBackend,
    gate: Arc<Mutex<Gate>>,
}

impl Device {
    async fn turn(&self) {
        poll_fn(|_| {
            let mut gate = self.gate.lock().unwrap();
            gate.is_waiting = !std::mem::take(&mut gate.may_pass);
            if gate.is_waiting { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

fn swaps(stage: &[Operation]) -> bool {
    stage.iter().any(|it| it.key().as_str() == HEAD)
}

#[async_trait]
impl StorageBackend for Device {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        Some(&self.bucket)
    }

    fn capabilities(&self) -> Capabilities {
        self.bucket.capabilities().atomic_batch(false).exact_conflicts(false)
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        if key.as_str() == HEAD {
            self.turn().await;
        }
        self.bucket.get(key).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        self.bucket.list(prefix, after)
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        batch.check(&self.capabilities())?;
        let mut versions = Vec::new();
        for (applied, stage) in batch.stages().iter().enumerate() {
            if swaps(stage) || stage.iter().any(|it| matches!(it, Operation::Delete { .. })) {
                self.turn().await;
            }
            let lost = if swaps(stage) { self.gate.lock().unwrap().lost.take() } else { None };
            let mut made = Vec::new();
            for (operation, it) in stage.iter().enumerate() {
                if lost == Some(Lost::Dropped) {
                    break;
                }
                match self.bucket.commit(Batch::new().stage([it.clone()])).await?.into_result() {
                    Ok(version) => made.push(version.get(Position { stage: 0, operation: 0 }).cloned()),
                    Err(conflict) => {
                        let at = Position { stage: applied, operation };
                        let conflict = Conflict::new(at, conflict.current, applied);
                        // A swap may have met its own earlier request.
                        return Ok(match swaps(stage) {
                            true => Commit::Overtaken(conflict),
                            false => Commit::Conflict(conflict),
                        });
                    }
                }
            }
            if lost.is_some() {
                self.gate.lock().unwrap().has_lost = true;
                return Err(StorageError::unknown(ErrorKind::Unavailable, "the reply was lost"));
            }
            versions.push(made);
        }
        Ok(Commit::Committed(Versions::new(versions)))
    }
}

fn text(texts: [&str; 3]) -> String {
    let node = |(n, text): (usize, &str)| {
        format!(r#"{{ "id": "n{n}", "type": "echo", "params": {{ "text": "{text}" }} }}"#)
    };
    let nodes: Vec<_> = texts.into_iter().enumerate().map(node).collect();
    format!("{{ \"nodes\": [\n{}\n] }}", nodes.join(",\n"))
}

/// The objects of a store with a version on top of another and one beside it, and the reference to that.
struct Setup {
    objects: Vec<(String, Bytes)>,
    beside: VersionRef,
}

async fn setup() -> Setup {
    let site = Site::new(Kind::Memory).await;
    let save = |texts| SaveRequest::new(id("a"), text(texts), Expect::Any);
    let store = site.store().await;
    store.save(save(["0", "0", "0"])).await.unwrap();
    let before = site.dump().await;
    store.save(save(["0", "2", "0"])).await.unwrap();
    let beside = store.show(&id("a")).await.unwrap().current.unwrap().reference();
    let theirs = site
        .dump()
        .await
        .into_iter()
        .find(|(key, _)| key.starts_with("versions/") && key.contains(beside.version_id.as_str()))
        .unwrap();
    // The other device, which began with the same first version.
    let site = Site::new(Kind::Memory).await;
    for (key, bytes) in before {
        site.put_raw(&key, bytes).await;
    }
    let store = site.other_store(2).await;
    store.save(save(["1", "0", "0"])).await.unwrap();
    store.reindex().await.unwrap();
    store.close().await.unwrap();
    site.put_raw(&theirs.0, theirs.1).await;
    Setup { objects: site.dump().await.into_iter().collect(), beside }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Merge,
    Save,
}

type Running = Pin<Box<dyn Future<Output = std::result::Result<Saved, Error>>>>;

/// One device in the middle of its work.
struct Actor {
    gate: Arc<Mutex<Gate>>,
    running: Option<Running>,
    outcome: Option<std::result::Result<Saved, Error>>,
}

impl Actor {
    async fn new(bucket: &MemoryBackend, seed: u64, does: Does, setup: &Setup, lost: Option<Lost>) -> Self {
        let gate = Arc::new(Mutex::new(Gate { lost, ..Gate::default() }));
        let device = Device { bucket: bucket.clone(), gate: Arc::clone(&gate) };
        let environment = Arc::new(ManualEnvironment::new(seed));
        let builder = Store::on(Arc::new(device)).environment(environment).fold_after(usize::MAX);
        let store = builder.open().await.unwrap();
        let beside = setup.beside.clone();
        let running: Running = Box::pin(async move {
            match does {
                Does::Merge => store.merge_version(ChangeRequest::new(id("a"), Expect::Any), beside).await,
                Does::Save => store.save(SaveRequest::new(id("a"), text(["1", "0", "3"]), Expect::Any)).await,
            }
        });
        Self { gate, running: Some(running), outcome: None }
    }

    /// Lets the device go on to its next turn, or to its end.
    async fn go(&mut self) {
        self.gate.lock().unwrap().may_pass = true;
        for _ in 0..1000 {
            let Some(running) = &mut self.running else { return };
            if let Some(outcome) = running.now_or_never_once().await {
                (self.running, self.outcome) = (None, Some(outcome));
                return;
            }
            if self.gate.lock().unwrap().is_waiting {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("a device waits for something else than its turn");
    }
}

trait Once {
    type Output;
    async fn now_or_never_once(&mut self) -> Option<Self::Output>;
}

impl Once for Running {
    type Output = std::result::Result<Saved, Error>;

    /// Polls once.
    async fn now_or_never_once(&mut self) -> Option<Self::Output> {
        poll_fn(|context| {
            Poll::Ready(match self.poll_unpin(context) {
                Poll::Ready(output) => Some(output),
                Poll::Pending => None,
            })
        })
        .await
    }
}

/// A choice between devices: those that could go, the one that has the turn first, and the index of the one
/// that went.
struct Choice {
    able: Vec<usize>,
    keeps_turn: bool,
    chosen: usize,
}

async fn get(bucket: &MemoryBackend, key: &str) -> Option<Bytes> {
    bucket.get(&Key::parse(key).unwrap()).await.unwrap().map(|object| object.bytes)
}

fn key_of(named: &Value) -> String {
    let generation = named["generation"].as_u64().unwrap();
    format!("versions/a/{generation:012}-{}", named["version_id"].as_str().unwrap())
}

/// The id of every version that the head has among its ancestors, itself included. All of them must be there.
async fn history(bucket: &MemoryBackend, name: &str) -> Vec<VersionId> {
    let head: Value = serde_json::from_slice(&get(bucket, HEAD).await.unwrap()).unwrap();
    let mut open = vec![head["current"]["record"].clone()];
    let mut seen = Vec::new();
    while let Some(named) = open.pop() {
        let version_id = VersionId::parse(named["version_id"].as_str().unwrap()).unwrap();
        if seen.contains(&version_id) {
            continue;
        }
        seen.push(version_id);
        let key = key_of(&named);
        let object = get(bucket, &key).await.unwrap_or_else(|| panic!("{name}: {key} was removed"));
        open.extend(
            VersionParts::of(&object).unwrap().fields()["parents"].as_array().unwrap().iter().cloned(),
        );
    }
    seen
}

/// Runs three devices. The choices are those of `prefix`, then the device that has the turn goes on.
async fn run(
    setup: &Setup,
    does: [Does; 3],
    lost: Option<(usize, Lost)>,
    prefix: &[usize],
) -> (Vec<Choice>, bool) {
    let bucket = MemoryBackend::new(Arc::new(ManualEnvironment::new(1)));
    let put =
        |(key, bytes): &(String, Bytes)| Operation::put(Key::parse(key.as_str()).unwrap(), bytes.clone());
    let filled = bucket.commit(Batch::new().stage(setup.objects.iter().map(put))).await.unwrap();
    assert!(matches!(filled, Commit::Committed(_)));
    let mut actors = Vec::new();
    for (n, does) in does.into_iter().enumerate() {
        let lost = lost.filter(|(device, _)| *device == n).map(|(_, lost)| lost);
        actors.push(Actor::new(&bucket, 10 + n as u64, does, setup, lost).await);
    }
    let name = format!("{does:?} {lost:?} {prefix:?}");
    let (mut choices, mut turn) = (Vec::<Choice>::new(), None);
    loop {
        let is_able = |n: &usize| actors[*n].running.is_some();
        let keeps_turn = turn.filter(is_able);
        let others = (0..actors.len()).filter(is_able).filter(|n| Some(*n) != keeps_turn);
        let able: Vec<usize> = keeps_turn.into_iter().chain(others).collect();
        if able.is_empty() {
            break;
        }
        let chosen = prefix.get(choices.len()).copied().unwrap_or_default();
        turn = Some(able[chosen]);
        choices.push(Choice { able, keeps_turn: keeps_turn.is_some(), chosen });
        assert!(choices.len() < 200, "{name}: it does not end");
        actors[turn.unwrap()].go().await;
        history(&bucket, &name).await;
    }
    let seen = history(&bucket, &name).await;
    for (n, actor) in actors.iter().enumerate() {
        let saved = actor.outcome.as_ref().unwrap().as_ref();
        let saved = saved.unwrap_or_else(|error| panic!("{name}: device {n}: {error}"));
        assert!(
            seen.contains(&saved.record.version_id),
            "{name}: device {n} was told of a version that is lost"
        );
    }
    let store = Store::on(Arc::new(bucket.clone())).environment(Arc::new(ManualEnvironment::new(99)));
    let store = store.open().await.unwrap();
    let expected = text(["1", "2", if does[2] == Does::Save { "3" } else { "0" }]);
    let content = store.load(&id("a")).await.unwrap().content;
    // A save on top of anything may replace what was merged before.
    let json = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
    let is = |text: String| json(&content) == json(text.as_bytes());
    assert!(is(expected) || does[2] == Does::Save && is(text(["1", "0", "3"])), "{name}: {content:?}");
    store.reindex().await.unwrap();
    assert!(store.verify().await.unwrap().is_sound(), "{name}");
    let has_lost = actors.iter().any(|actor| actor.gate.lock().unwrap().has_lost);
    (choices, has_lost)
}

/// Returns the next prefix in depth-first order; none at the end.
fn next(choices: &[Choice]) -> Option<Vec<usize>> {
    let changes = |upto: &[Choice]| upto.iter().filter(|it| it.keeps_turn && it.chosen > 0).count();
    for at in (0..choices.len()).rev() {
        let Choice { able, keeps_turn, chosen } = &choices[at];
        let is_affordable = !keeps_turn || *chosen > 0 || changes(&choices[..at]) < CHANGES;
        if chosen + 1 < able.len() && is_affordable {
            return Some(choices[..at].iter().map(|it| it.chosen).chain([chosen + 1]).collect());
        }
    }
    None
}

#[tokio::test]
async fn current_version_is_never_removed_whatever_the_order() {
    let setup = setup().await;
    let mut runs = 0;
    for does in [[Does::Merge, Does::Merge, Does::Save], [Does::Merge; 3]] {
        let losses =
            [1, 2].into_iter().flat_map(|device| [Lost::Applied, Lost::Dropped].map(|it| (device, it)));
        for lost in [None].into_iter().chain(losses.map(Some)) {
            let (mut prefix, mut losses) = (Some(Vec::new()), 0);
            while let Some(choices) = prefix {
                let (made, has_lost) = run(&setup, does, lost, &choices).await;
                (runs, losses) = (runs + 1, losses + u32::from(has_lost));
                prefix = next(&made);
            }
            assert!(lost.is_none() || losses > 0, "no reply was lost");
        }
    }
    println!("{runs} orders");
    assert!(runs > 1000, "{runs}");
}
