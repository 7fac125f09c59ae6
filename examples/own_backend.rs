//! A custom backend, certified by the conformance suite, and a store on it.
//!
//! It keeps everything in one map behind one lock and counts the requests. A real backend would talk to a
//! database: it needs a way to read, to list in order, and to change several keys under conditions.
//!
//! ```sh
//! cargo run --example own_backend
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{StreamExt, stream};
use pflow_store::{
    Expect, SaveRequest, Store, WorkflowId,
    backend::{
        Batch, BoxStream, Bytes, Capabilities, Commit, Conflict, DateTime, Durability, Key, Listed, Meta,
        Object, Operation, Prefix, Result, StorageBackend, Utc, Version, Versions, async_trait,
        conformance::{self, Harness, LosingReplies, Site},
    },
};

#[derive(Debug, Clone, Default)]
struct Counting {
    objects: Arc<Mutex<BTreeMap<Key, (Bytes, Version)>>>,
    commits: Arc<AtomicUsize>,
}

impl Counting {
    /// Never held across an await: every method locks, reads or writes, and unlocks.
    fn objects(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, (Bytes, Version)>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn meta(key: &Key, bytes: &Bytes, version: &Version) -> Meta {
    // Nothing depends on the time; this storage keeps none.
    let modified = DateTime::<Utc>::UNIX_EPOCH;
    Meta::new(key.clone(), bytes.len() as u64, version.clone(), modified)
}

#[async_trait]
impl StorageBackend for Counting {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        None
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Process, 64 << 20)
            .atomic_batch(true)
            .exact_conflicts(true)
            .conditional_delete(true)
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        let found = self.objects().get(key).cloned();
        Ok(found.map(|(bytes, version)| Object::new(meta(key, &bytes, &version), bytes)))
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        let modified = DateTime::<Utc>::UNIX_EPOCH;
        let listed: Vec<_> = self
            .objects()
            .iter()
            .filter(|(key, _)| prefix.contains(key) && after.is_none_or(|after| *key > after))
            .map(|(key, (bytes, _))| Ok(Listed::new(key.clone(), bytes.len() as u64, modified)))
            .collect();
        stream::iter(listed).boxed()
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        batch.check(&self.capabilities())?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        let mut objects = self.objects();
        for (at, operation) in batch.operations() {
            let current = objects.get(operation.key()).map(|(_, version)| version);
            if !operation.precondition().holds(current) {
                return Ok(Commit::Conflict(Conflict::new(at, current.cloned(), 0)));
            }
        }
        let mut versions = Vec::new();
        for stage in batch.stages() {
            let stage = stage.iter().map(|operation| match operation {
                Operation::Put { key, bytes, .. } => {
                    let version = Version::of_content(bytes);
                    objects.insert(key.clone(), (bytes.clone(), version.clone()));
                    Some(version)
                }
                Operation::Delete { key, .. } => {
                    objects.remove(key);
                    None
                }
            });
            versions.push(stage.collect());
        }
        Ok(Commit::Committed(Versions::new(versions)))
    }
}

/// Provides the suite with a fresh storage, and several handles on it.
struct Certification;

#[async_trait]
impl Harness for Certification {
    async fn fresh(&self) -> Result<Box<dyn Site>> {
        Ok(Box::new(Counting::default()))
    }
}

#[async_trait]
impl Site for Counting {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        Ok(Arc::new(self.clone()))
    }

    async fn reopen(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(Arc::new(self.clone())))
    }

    async fn losing_a_reply(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(Arc::new(LosingReplies::new(Arc::new(self.clone())))))
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    let report = conformance::run(&Certification).await;
    println!("{report}");
    report.assert_conformant();

    let backend = Counting::default();
    let store = Store::on(Arc::new(backend.clone())).init().await?;
    let before = backend.commits.load(Ordering::Relaxed);
    let id = WorkflowId::parse("greet")?;
    store.save(SaveRequest::new(id, r#"{"nodes":[{"id":"hello","type":"echo"}]}"#, Expect::Absent)).await?;
    println!("A save is {} commit", backend.commits.load(Ordering::Relaxed) - before);
    Ok(())
}
