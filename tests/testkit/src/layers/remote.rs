use std::sync::Arc;

use pflow_store::backend::{
    Capabilities, Commit, Durability, Operation, Prefix, Result, StorageBackend, async_trait, probe::Check,
};

use super::Layer;

/// Wraps a storage and reports that it is a remote service.
#[derive(Debug)]
pub struct Remote(pub Arc<dyn StorageBackend>);

#[async_trait]
impl Layer for Remote {
    fn below(&self) -> &dyn StorageBackend {
        &*self.0
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities().durability(Durability::Service)
    }

    /// The layer changes no commits, and a commit of an object server may be sent more than once.
    async fn attempt(&self, put: Operation) -> Result<Commit> {
        self.0.attempt(put).await
    }

    fn endpoint(&self) -> Option<String> {
        None
    }

    async fn examine(&self, _ground: &Prefix) -> Result<Vec<Check>> {
        Ok(Vec::new())
    }
}
