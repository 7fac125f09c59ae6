use std::sync::Arc;

use super::{
    check::{Checked, Stop},
    handle::Handle,
    harness::{CommitFailure, Harness, Site},
    watch::Watch,
};
use crate::{Result, StorageBackend};

/// The environment of one case: a storage of its own, empty at first.
pub(super) struct Ground {
    /// The first handle.
    pub(super) store: Handle,
    site: Box<dyn Site>,
    /// The first handle of another storage, for a case that needs two.
    elsewhere: Option<(Handle, Box<dyn Site>)>,
}

impl Ground {
    pub(super) async fn fresh(harness: &dyn Harness, storages: usize) -> Checked<Self> {
        let (store, site) = made(harness).await?;
        let elsewhere = if storages > 1 { Some(made(harness).await?) } else { None };
        Ok(Self { store, site, elsewhere })
    }

    /// The first handle of another storage.
    pub(super) fn elsewhere(&self) -> Checked<&Handle> {
        let missing = || Stop::Failed("the case has one storage and needs two".to_owned());
        self.elsewhere.as_ref().map(|(store, _)| store).ok_or_else(missing)
    }

    /// Opens an independent handle, or skips the case.
    pub(super) async fn another(&self) -> Checked<Handle> {
        let missing = || Stop::Skipped("the harness has no second handle".to_owned());
        opened(self.site.reopen().await)?.ok_or_else(missing)
    }

    /// Two independent handles if the harness has them, else the first one twice.
    pub(super) async fn both(&self) -> Checked<[Handle; 2]> {
        let another = opened(self.site.reopen().await)?;
        Ok([self.store.clone(), another.unwrap_or_else(|| self.store.clone())])
    }

    /// Opens a handle that loses the reply of its next commit, or skips the case.
    pub(super) async fn losing_a_reply(&self) -> Checked<Handle> {
        let missing = || Stop::Skipped("the harness has no handle that loses a reply".to_owned());
        opened(self.site.losing_a_reply().await)?.ok_or_else(missing)
    }

    /// Opens a handle whose next commit fails, or skips the case.
    pub(super) async fn failing_commit(&self, failure: CommitFailure) -> Checked<Handle> {
        let missing = || Stop::Skipped("the harness has no handle whose commit fails".to_owned());
        opened(self.site.failing_commit(failure).await)?.ok_or_else(missing)
    }

    /// Opens a handle that no longer reaches the storage, or skips the case.
    pub(super) async fn unreachable(&self) -> Checked<Handle> {
        let missing = || Stop::Skipped("the harness has no handle that cannot reach the storage".to_owned());
        opened(self.site.unreachable().await)?.ok_or_else(missing)
    }

    /// Opens a handle that says on which thread it works, or skips the case.
    pub(super) async fn watched(&self, watch: &Watch) -> Checked<Handle> {
        let missing = || Stop::Skipped("the harness has no handle whose work can be watched".to_owned());
        opened(self.site.watched(watch.clone()).await)?.ok_or_else(missing)
    }
}

async fn made(harness: &dyn Harness) -> Checked<(Handle, Box<dyn Site>)> {
    let site = harness.fresh().await.map_err(|error| Stop::error("Making a storage", &error))?;
    let store = site.open().await.map_err(|error| Stop::error("Opening the storage", &error))?;
    Ok((Handle::new(store), site))
}

fn opened(answer: Result<Option<Arc<dyn StorageBackend>>>) -> Checked<Option<Handle>> {
    match answer {
        Ok(store) => Ok(store.map(Handle::new)),
        Err(error) => Err(Stop::error("Opening another handle", &error)),
    }
}
