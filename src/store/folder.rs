//! Folders on a local disk, with the feature `fs`; without it, the error that names the feature.

use std::{path::Path, sync::Arc};

use pflow_backend::{Environment, StorageBackend};
#[cfg(feature = "fs")]
use pflow_backend_fs::{FsBackend, FsOptions, LostTail};

#[cfg(feature = "fs")]
use super::place::{folder_without_config, holds_anything, holds_config, holds_journal};
use super::settings::Settings;
use crate::{Error, Result};

type Opened = Arc<dyn StorageBackend>;

/// Opens a folder, which must exist.
#[cfg(feature = "fs")]
pub(super) async fn open(
    path: &Path,
    settings: &Settings,
    environment: &Arc<dyn Environment>,
) -> Result<Opened> {
    Ok(Arc::new(open_with(settings.disk(), path, environment).await?))
}

/// Opens or creates a folder for a store. Missing parent folders are created.
///
/// # Errors
/// The folder holds other data.
#[cfg(feature = "fs")]
pub(super) async fn create(
    path: &Path,
    settings: &Settings,
    environment: &Arc<dyn Environment>,
) -> Result<Opened> {
    // A listing skips files that are not objects. Here any file counts: a folder that is not empty has an
    // owner. The config of a store that was stopped before its first checkpoint is still in the journal.
    if holds_anything(path) && !holds_config(path) && !holds_journal(path) {
        return Err(folder_without_config(path.display().to_string(), path));
    }
    let created = settings.disk().create(path, environment.clone()).await;
    Ok(Arc::new(created.map_err(Error::Storage)?))
}

/// Opens a folder, which must exist, without the records that its journal lost. Returns what was lost.
#[cfg(feature = "fs")]
pub(super) async fn without_tail(
    path: &Path,
    settings: &Settings,
    environment: &Arc<dyn Environment>,
) -> Result<(Opened, Option<LostTail>)> {
    let backend = open_with(settings.disk().accept_tail(true), path, environment).await?;
    let lost = backend.lost_tail().cloned();
    Ok((Arc::new(backend), lost))
}

#[cfg(feature = "fs")]
async fn open_with(disk: FsOptions, path: &Path, environment: &Arc<dyn Environment>) -> Result<FsBackend> {
    match disk.open(path, environment.clone()).await {
        Err(error) if error.kind() == pflow_backend::ErrorKind::Missing => {
            Err(Error::StoreMissing { location: path.display().to_string() })
        }
        opened => opened.map_err(Error::Storage),
    }
}

#[cfg(not(feature = "fs"))]
#[allow(clippy::unused_async, reason = "as with the feature")]
pub(super) async fn open(path: &Path, _: &Settings, _: &Arc<dyn Environment>) -> Result<Opened> {
    Err(built_without(path))
}

#[cfg(not(feature = "fs"))]
#[allow(clippy::unused_async, reason = "as with the feature")]
pub(super) async fn create(path: &Path, _: &Settings, _: &Arc<dyn Environment>) -> Result<Opened> {
    Err(built_without(path))
}

#[cfg(not(feature = "fs"))]
fn built_without(path: &Path) -> Error {
    Error::InvalidLocation {
        url: path.display().to_string(),
        reason: "this program was built without the feature `fs`".to_owned(),
    }
}
