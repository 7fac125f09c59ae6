//! Storages for the conformance suite, and connections that fail where SQLite lets them fail.

use std::{path::PathBuf, sync::Arc, time::Duration};

use pflow_store::backend::{
    Blocking, Error, ErrorKind, Result, StorageBackend, async_trait,
    conformance::{CommitFailure, Harness, LosingReplies, Site, Watch},
};
use rusqlite::{Connection, ffi};
use tempfile::TempDir;

use super::sqlite::Sqlite;

/// More than any race takes: a commit that races must not be refused as busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Provides the suite with new storages.
pub(crate) struct Certification;

/// One file, in a folder of its own. Each handle is a connection, as in another process.
struct Database(TempDir);

#[async_trait]
impl Harness for Certification {
    async fn fresh(&self) -> Result<Box<dyn Site>> {
        let folder = TempDir::new().map_err(|error| {
            Error::not_applied(ErrorKind::Io, "Failed to create a temporary folder").with_source(error)
        })?;
        Ok(Box::new(Database(folder)))
    }
}

impl Database {
    fn path(&self) -> PathBuf {
        self.0.path().join("objects.sqlite")
    }

    /// Opens a connection with hooks.
    async fn with(
        &self,
        set_hooks: impl FnOnce(&mut Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<Option<Arc<dyn StorageBackend>>> {
        let path = self.path();
        let opened = tokio::task::spawn_blocking(move || {
            let mut storage = Sqlite::connect(&path, PATIENCE)?;
            set_hooks(&mut storage.connection).map_err(|error| {
                Error::not_applied(ErrorKind::Io, "Failed to set a hook").with_source(error)
            })?;
            Ok(Blocking::new(storage))
        });
        let opened: Result<_> = opened.await.map_err(|ended| {
            Error::not_applied(ErrorKind::Unavailable, "Opening a database was ended").with_source(ended)
        })?;
        Ok(Some(Arc::new(opened?)))
    }
}

#[async_trait]
impl Site for Database {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        Ok(Arc::new(Sqlite::open(&self.path(), PATIENCE).await?))
    }

    async fn reopen(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(self.open().await?))
    }

    async fn losing_a_reply(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(Arc::new(LosingReplies::new(self.open().await?))))
    }

    async fn failing_commit(&self, failure: CommitFailure) -> Result<Option<Arc<dyn StorageBackend>>> {
        self.with(move |connection| match failure {
            // SQLite rolls back instead.
            CommitFailure::BeforeItsPoint => connection.commit_hook(Some(|| true)),
            // SQLite calls it after the commit, and answers the COMMIT with an error.
            CommitFailure::AfterItsPoint => connection.wal_hook(Some(|_: &mut rusqlite::hooks::Wal, _| {
                Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR), None))
            })),
        })
        .await
    }

    /// Every statement is interrupted.
    async fn unreachable(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        self.with(|connection| connection.progress_handler(1, Some(|| true))).await
    }

    async fn watched(&self, watch: Watch) -> Result<Option<Arc<dyn StorageBackend>>> {
        self.with(move |connection| {
            let works = move || {
                watch.works();
                false
            };
            connection.progress_handler(1, Some(works))
        })
        .await
    }
}
