use std::sync::Arc;

use async_trait::async_trait;

use super::watch::Watch;
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
    /// Opens a handle whose next commit fails at its commit point, before or after it: for a database, its
    /// COMMIT fails. None if the commit point cannot fail or cannot be made to fail; the cases that need it
    /// are skipped.
    ///
    /// Before the point: a hook of the database that refuses the COMMIT (`commit_hook` of SQLite, a deferred
    /// constraint of PostgreSQL), or a connection that is closed before it. After the point: a connection
    /// that is closed once the reply has arrived and before the backend gets it, or a flag in the backend's own code that turns the success into the
    /// failure. [`LosingReplies`](super::LosingReplies) does not do: it tests its own answer, not the
    /// backend's.
    ///
    /// # Errors
    /// The case fails.
    async fn failing_commit(&self, _failure: CommitFailure) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(None)
    }

    /// Opens a handle whose storage can no longer be reached: its server was stopped, its connection closed,
    /// its folder taken away. The other handles still reach the storage. None if this is impossible; the
    /// cases that need it are skipped.
    ///
    /// # Errors
    /// The case fails.
    async fn unreachable(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(None)
    }

    /// Opens a handle that calls [`Watch::works`] on the thread on which its storage works, whenever it does:
    /// from the backend's own code, from the synchronous driver in a wrapper, or from a hook of the database
    /// (`progress_handler` or `trace` of SQLite). None if the storage has no synchronous work, as with an
    /// asynchronous client of a server; the case that needs it is skipped.
    ///
    /// # Errors
    /// The case fails.
    async fn watched(&self, _watch: Watch) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(None)
    }
}

/// Where a commit fails: see [`Site::failing_commit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFailure {
    /// The storage did not apply the batch and never will.
    BeforeItsPoint,
    /// The storage applied the batch, and the backend is told of a failure.
    AfterItsPoint,
}
