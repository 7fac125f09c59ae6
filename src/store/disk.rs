//! Stores in a folder, with the feature `disk`; without it, the error that names the feature.

use std::{path::Path, sync::Arc};

use pflow_backend::StorageBackend;
#[cfg(feature = "disk")]
use pflow_backend_fs::{FsBackend, FsOptions, LostTail};

use super::{Location, StoreOptions};
#[cfg(feature = "disk")]
use super::{
    Store,
    open::missing,
    place::{folder_without_config, holds_anything, holds_config, holds_journal},
};
use crate::{Error, Result};

/// Opens a folder, which must exist.
#[cfg(feature = "disk")]
pub(super) async fn open(
    path: &Path,
    location: &Location,
    options: &StoreOptions,
) -> Result<Arc<dyn StorageBackend>> {
    Ok(Arc::new(open_with(path, options.disk(), location, options).await?))
}

/// Opens or creates a folder for a store. Missing parent folders are created.
///
/// # Errors
/// The folder holds other data.
#[cfg(feature = "disk")]
pub(super) async fn create(
    path: &Path,
    location: &Location,
    options: &StoreOptions,
) -> Result<Arc<dyn StorageBackend>> {
    // A listing skips files that are not objects. Here any file counts: a folder that is not empty has an
    // owner. The config of a store that was stopped before its first checkpoint is still in the journal.
    if holds_anything(path) && !holds_config(path) && !holds_journal(path) {
        return Err(folder_without_config(location.to_string(), path));
    }
    let created = options.disk().create(path, options.environment.clone()).await;
    Ok(Arc::new(created.map_err(Error::Storage)?))
}

#[cfg(feature = "disk")]
async fn open_with(
    path: &Path,
    disk: FsOptions,
    location: &Location,
    options: &StoreOptions,
) -> Result<FsBackend> {
    match disk.open(path, options.environment.clone()).await {
        Err(error) if error.kind() == pflow_backend::ErrorKind::Missing => Err(missing(location)),
        opened => opened.map_err(Error::Storage),
    }
}

#[cfg(feature = "disk")]
impl Store {
    /// Opens a store whose folder lost committed records of its journal, without those records. Returns what
    /// was lost; none if nothing was.
    ///
    /// The records are given up for every client: the store continues from the older state. Every other way
    /// to open such a folder refuses it. A copy of the damaged journal is kept in `.journal/quarantine`. A
    /// copy of a folder that was made while the store was in use can need this.
    ///
    /// # Errors
    /// As [`Store::open_url`].
    pub async fn open_without_tail(
        location: &Location,
        options: StoreOptions,
    ) -> Result<(Self, Option<LostTail>)> {
        let Location::Folder(path) = location else {
            return Ok((Self::open_location(location, options).await?, None));
        };
        let backend = open_with(path, options.disk().accept_tail(true), location, &options).await?;
        let lost = backend.lost_tail().cloned();
        Ok((Self::open_at(Arc::new(backend), options, location.to_string()).await?, lost))
    }
}

#[cfg(not(feature = "disk"))]
#[allow(clippy::unused_async, reason = "as with the feature")]
pub(super) async fn open(_: &Path, location: &Location, _: &StoreOptions) -> Result<Arc<dyn StorageBackend>> {
    Err(built_without(location))
}

#[cfg(not(feature = "disk"))]
#[allow(clippy::unused_async, reason = "as with the feature")]
pub(super) async fn create(
    _: &Path,
    location: &Location,
    _: &StoreOptions,
) -> Result<Arc<dyn StorageBackend>> {
    Err(built_without(location))
}

#[cfg(not(feature = "disk"))]
fn built_without(location: &Location) -> Error {
    Error::InvalidLocation {
        url: location.to_string(),
        reason: "this program was built without the feature `disk`".to_owned(),
    }
}
