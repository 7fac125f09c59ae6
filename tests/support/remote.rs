use std::sync::Arc;

use pflow_store::backend::{
    Batch, BoxStream, Capabilities, Commit, Durability, Key, Listed, Object, Prefix, Result, StorageBackend,
    async_trait, probe::Check,
};

/// Wraps a storage and reports that it is a remote service.
#[derive(Debug)]
pub(crate) struct Remote(pub(crate) Arc<dyn StorageBackend>);

#[async_trait]
impl StorageBackend for Remote {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        Some(&*self.0)
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities().durability(Durability::Service)
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.0.get(key).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        self.0.list(prefix, after)
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        self.0.commit(batch).await
    }

    fn endpoint(&self) -> Option<String> {
        None
    }

    async fn examine(&self, _ground: &Prefix) -> Result<Vec<Check>> {
        Ok(Vec::new())
    }
}
