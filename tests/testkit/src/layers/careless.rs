use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use pflow_store::backend::{
    Batch, Commit, Excerpt, Key, Object, Operation, Precondition, Result, StorageBackend, Version, Versions,
    WriteKind, async_trait,
};

use super::Layer;

/// A storage that violates the contract in every n-th call.
#[derive(Debug)]
pub struct Careless {
    inner: Arc<dyn StorageBackend>,
    fault: Carelessness,
    every: usize,
    calls: AtomicUsize,
    /// The first value that was read of each key.
    old: Mutex<BTreeMap<Key, Option<Object>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carelessness {
    IgnoresConditions,
    ForgetsWrites,
    ReadsWhatWas,
}

impl Careless {
    pub fn new(inner: Arc<dyn StorageBackend>, fault: Carelessness, every: usize) -> Self {
        Self { inner, fault, every, calls: AtomicUsize::new(0), old: Mutex::default() }
    }

    fn is_careless(&self, fault: Carelessness) -> bool {
        self.fault == fault && (self.calls.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(self.every)
    }
}

#[async_trait]
impl Layer for Careless {
    fn below(&self) -> &dyn StorageBackend {
        &*self.inner
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        let object = self.inner.get(key).await?;
        let old = self.old.lock().unwrap().entry(key.clone()).or_insert_with(|| object.clone()).clone();
        Ok(if self.is_careless(Carelessness::ReadsWhatWas) { old } else { object })
    }

    /// From the layer's own read, which may be of what was.
    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
        Ok(Layer::get(self, key).await?.map(|object| object.excerpt(range)))
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        // A batch with more stages is kept: the client would notice that its other objects are missing.
        if batch.stages().len() == 1 && self.is_careless(Carelessness::ForgetsWrites) {
            let version = |it: &Operation| match it {
                Operation::Put { bytes, .. } => Some(Version::of_content(bytes)),
                Operation::Delete { .. } => None,
            };
            let stages = batch.stages().iter().map(|stage| stage.iter().map(version).collect()).collect();
            return Ok(Commit::Committed(Versions::new(stages)));
        }
        if !self.is_careless(Carelessness::IgnoresConditions) {
            return self.inner.commit(batch).await;
        }
        let free = |it: &Operation| match it {
            // Without its condition no put is immutable.
            Operation::Put { key, bytes, kind: WriteKind::Immutable, .. } => {
                Operation::put(key.clone(), bytes.clone())
            }
            it => it.clone().when(Precondition::Always),
        };
        let stages = batch.stages().iter().map(|stage| stage.iter().map(free).collect::<Vec<_>>());
        self.inner.commit(stages.fold(Batch::new(), Batch::stage)).await
    }
}
