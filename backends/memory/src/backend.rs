use std::{fmt, ops::Range, sync::Arc};

use pflow_backend::{
    Batch, BoxStream, Capabilities, Commit, Durability, Environment, Excerpt, Key, Listed, Meta, Object,
    Prefix, Result, StorageBackend, async_trait,
};

use crate::{listing, objects::Changes, shared::Shared};

/// Objects in the memory of this process. They are dropped with the last handle.
///
/// A clone is another handle on the same objects. Batches are atomic: all conditions are checked before any
/// change, under one lock, which is never held across an await.
///
/// [`Version`](pflow_backend::Version)s are content hashes on purpose, the weakest form that the contract
/// allows: bytes that were changed and changed back have their old version again.
///
/// Cancellation: no method ever waits, so a future that was polled has finished.
#[derive(Clone)]
pub struct MemoryBackend {
    shared: Shared,
    environment: Arc<dyn Environment>,
    capabilities: Capabilities,
}

impl MemoryBackend {
    /// An empty storage. `environment` provides the modification times of objects and the instance id.
    pub fn new(environment: Arc<dyn Environment>) -> Self {
        let capabilities = Capabilities::new(Durability::Process, u64::MAX)
            .atomic_batch(true)
            .exact_conflicts(true)
            .conditional_delete(true)
            .immutable_puts(true)
            .ranged_reads(true);
        Self { shared: Shared::default(), environment, capabilities }
    }

    /// Sets [`Capabilities::plain_files`], so that a test can check how its caller handles edits from
    /// outside. An unconditional put simulates the person who edits.
    #[must_use]
    pub fn with_plain_files(mut self, plain_files: bool) -> Self {
        self.capabilities.plain_files = plain_files;
        self
    }

    /// Refuses objects larger than this many bytes. There is no limit by default.
    #[must_use]
    pub fn with_max_object_size(mut self, bytes: u64) -> Self {
        self.capabilities.max_object_size = bytes;
        self
    }
}

#[async_trait]
impl StorageBackend for MemoryBackend {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        None
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        Ok(self.shared.lock().get(key))
    }

    async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        Ok(self.shared.lock().stat(key))
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
        // The whole object shares its bytes with the storage, so nothing is copied.
        Ok(self.shared.lock().get(key).map(|object| object.excerpt(range)))
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        listing::lazily(self.shared.clone(), prefix.clone(), after.cloned())
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        batch.check(&self.capabilities)?;
        // Hashing takes time proportional to the bytes, so it happens before the lock is taken.
        let changes = Changes::of(&batch, self.environment.now());
        self.shared.lock().commit(&batch, changes)
    }

    fn name(&self) -> Option<String> {
        Some("memory:".to_owned())
    }

    async fn instance(&self) -> Result<Option<String>> {
        Ok(Some(self.shared.instance(self.environment.as_ref())))
    }

    fn location_id(&self) -> Option<String> {
        Some(self.shared.location_id())
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend")
            .field("objects", &self.shared.lock().len())
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}
