use std::sync::Arc;

use async_trait::async_trait;

use crate::{Result, StorageBackend};

/// Where the suite gets its storages from.
#[async_trait]
pub trait Harness: Send + Sync {
    /// A storage of its own, empty: a new folder, a new prefix in a bucket. Every case asks for one.
    ///
    /// # Errors
    /// The case that asked fails.
    async fn fresh(&self) -> Result<Box<dyn Site>>;
}

/// One storage, and the handles on it. Dropping it may remove the storage.
#[async_trait]
pub trait Site: Send + Sync {
    /// The first handle; asked for once.
    ///
    /// # Errors
    /// The case that asked fails.
    async fn open(&self) -> Result<Arc<dyn StorageBackend>>;

    /// One more handle, as independent of the others as if another process had opened the storage. They may
    /// be in use, closed or dropped by then. None where this cannot be; the cases that need it are skipped,
    /// and the races run on one handle.
    ///
    /// # Errors
    /// The case that asked fails.
    async fn reopen(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(None)
    }

    /// A handle whose next commit reaches the storage while the answer to its first write gets lost on the
    /// way back, as on a network. None where nothing can get lost; the cases that need it are skipped.
    ///
    /// # Errors
    /// The case that asked fails.
    async fn losing_a_reply(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(None)
    }
}
