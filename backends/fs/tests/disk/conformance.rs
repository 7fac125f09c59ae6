//! The disk keeps the contract.

use std::sync::Arc;

use pflow_backend::{
    Environment, Error, ErrorKind, Result, StorageBackend, SystemEnvironment, async_trait,
    conformance::{self, Harness, LosingReplies, Site},
};
use pflow_backend_fs::{FsBackend, FsOptions};
use tempfile::TempDir;

struct OnDisk(Arc<dyn Environment>);

struct Folder {
    folder: TempDir,
    environment: Arc<dyn Environment>,
}

#[async_trait]
impl Harness for OnDisk {
    async fn fresh(&self) -> Result<Box<dyn Site>> {
        let folder = TempDir::new()
            .map_err(|error| Error::not_applied(ErrorKind::Io, "No temporary folder").with_source(error))?;
        Ok(Box::new(Folder { folder, environment: self.0.clone() }))
    }
}

impl Folder {
    async fn handle(&self) -> Result<Arc<FsBackend>> {
        // The racing cases queue many commits on a machine that may be slow.
        let options = FsOptions::new().lock_wait(std::time::Duration::from_secs(120));
        options.open(self.folder.path(), self.environment.clone()).await.map(Arc::new)
    }
}

#[async_trait]
impl Site for Folder {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        Ok(self.handle().await?)
    }

    async fn reopen(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(self.handle().await?))
    }

    async fn losing_a_reply(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(Arc::new(LosingReplies::new(self.handle().await?))))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_disk_keeps_the_contract() {
    let report = conformance::run(&OnDisk(Arc::new(SystemEnvironment::new().unwrap()))).await;
    report.assert_conformant();
    let skipped: Vec<&str> = report.skipped().collect();
    let expected = [
        "batches::an_object_over_the_limit_is_refused",
        "polling::no_call_works_on_the_polling_thread",
        // The tests of this crate make the disk fail, on a disk of their own.
        "failures::a_commit_that_fails_before_its_point_is_not_confirmed",
        "failures::a_commit_that_fails_after_its_point_is_not_denied",
        "failures::a_failed_read_is_an_error_and_never_unknown",
    ];
    assert_eq!(skipped, expected, "{report}");
}
