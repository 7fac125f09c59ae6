use std::sync::Arc;

use async_trait::async_trait;

use crate::{Result, StorageBackend};

/// Provides the storages for the suite.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Returns a new, empty storage: a new folder, a new prefix in a bucket. Every case calls this.
    ///
    /// # Errors
    /// The case fails.
    async fn fresh(&self) -> Result<Box<dyn Site>>;
}

/// One storage, and its handles. Dropping it may remove the storage.
#[async_trait]
pub trait Site: Send + Sync {
    /// Opens the first handle; called once.
    ///
    /// # Errors
    /// The case fails.
    async fn open(&self) -> Result<Arc<dyn StorageBackend>>;

    /// Opens one more handle, as independent of the others as if another process had opened the storage. The
    /// others may be in use, closed or dropped by then. None if this is impossible; the cases that need it
    /// are skipped, and the races run on one handle.
    ///
    /// # Errors
    /// The case fails.
    async fn reopen(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(None)
    }

    /// Opens a handle whose next commit reaches the storage while the reply to its first write is lost, as on
    /// a network. None if no reply can be lost; the cases that need it are skipped.
    ///
    /// # Errors
    /// The case fails.
    async fn losing_a_reply(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(None)
    }
}
