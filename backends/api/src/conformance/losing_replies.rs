use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{
    Batch, Capabilities, Commit, Error, ErrorKind, Key, Listed, Meta, Object, Operation, Prefix, Result,
    StorageBackend, Waiting, probe::Check,
};

/// A handle that loses every reply: each commit that happened returns that its outcome is unknown.
///
/// This is the simplest [`Site::losing_a_reply`](super::Site::losing_a_reply), for backends without replies
/// of their own. A backend that talks to a server should drop the server's reply instead, so that its own
/// handling of that is tested.
#[derive(Debug)]
pub struct LosingReplies(Arc<dyn StorageBackend>);

impl LosingReplies {
    /// A handle of the same storage as `backend`.
    pub fn new(backend: Arc<dyn StorageBackend>) -> Self {
        Self(backend)
    }
}

#[async_trait]
impl StorageBackend for LosingReplies {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
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
        drop(self.0.commit(batch).await?);
        Err(Error::unknown(ErrorKind::Io, "The reply was lost"))
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }

    fn place(&self) -> Option<String> {
        self.0.place()
    }

    fn location_id(&self) -> Option<String> {
        self.0.location_id()
    }

    async fn examine(&self, ground: &Prefix) -> Result<Vec<Check>> {
        self.0.examine(ground).await
    }

    fn passed_over(&self) -> Vec<String> {
        self.0.passed_over()
    }

    async fn attempt(&self, put: Operation) -> Result<Commit> {
        self.commit(Batch::new().stage([put])).await
    }

    async fn waiting(&self) -> Result<Vec<Waiting>> {
        self.0.waiting().await
    }
}
