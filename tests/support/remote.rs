use std::sync::Arc;

use pflow_store::backend::{
    Batch, BoxStream, Capabilities, Commit, Durability, Key, Listed, Meta, Object, Operation, Prefix, Result,
    StorageBackend, Waiting, async_trait, probe::Check,
};

/// Wraps a storage and reports that it is a remote service.
#[derive(Debug)]
pub(crate) struct Remote(pub(crate) Arc<dyn StorageBackend>);

#[async_trait]
impl StorageBackend for Remote {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities().durability(Durability::Service)
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.0.get(key).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        self.0.stat(key).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        self.0.list(prefix, after)
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        self.0.commit(batch).await
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }

    fn location_id(&self) -> Option<String> {
        self.0.location_id()
    }

    fn passed_over(&self) -> Vec<String> {
        self.0.passed_over()
    }

    async fn attempt(&self, put: Operation) -> Result<Commit> {
        self.commit(Batch::new().stage([put])).await
    }

    fn place(&self) -> Option<String> {
        None
    }

    async fn waiting(&self) -> Result<Vec<Waiting>> {
        self.0.waiting().await
    }

    async fn examine(&self, _ground: &Prefix) -> Result<Vec<Check>> {
        Ok(Vec::new())
    }
}
