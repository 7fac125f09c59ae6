use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{
    Batch, Capabilities, Commit, Error, ErrorKind, Excerpt, Key, Listed, Meta, Object, Operation, Prefix,
    Result, StorageBackend,
};

/// A handle that loses every reply: each commit that happened or met a conflict returns that its outcome is
/// unknown. Errors are returned as they are.
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
    fn inner(&self) -> Option<&dyn StorageBackend> {
        Some(&*self.0)
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.0.get(key).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        self.0.stat(key).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
        self.0.get_range(key, range).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        self.0.list(prefix, after)
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        drop(self.0.commit(batch).await?);
        Err(Error::unknown(ErrorKind::Io, "The reply was lost"))
    }

    async fn attempt(&self, put: Operation) -> Result<Commit> {
        self.commit(Batch::new().stage([put])).await
    }
}
