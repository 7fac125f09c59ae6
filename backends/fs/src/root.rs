//! The storage's own folder, and whether its path still leads there.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use pflow_backend::{Error, ErrorKind, Result};
use rustix::io::Errno;

use crate::{
    error::{errno_of, failed},
    folder::Folder,
    medium::{FileId, Kind, Medium},
};

/// The folder below which everything happens.
#[derive(Debug)]
pub(crate) struct Root {
    folder: Folder,
    without_waiting: Option<Folder>,
    id: FileId,
    mount: Option<u64>,
}

impl Root {
    /// Opens it; `path` is absolute.
    pub(crate) fn open(medium: Arc<dyn Medium>, path: &Path) -> Result<Self> {
        let folder = Folder::open(medium, path)?.shared()?;
        let id = folder.id()?;
        // Elsewhere even a look at a name may wait for a server.
        let is_near = matches!(folder.medium().kind(folder.node()), Ok((_, Kind::Local | Kind::Memory)));
        let without_waiting = folder.without_waiting().filter(|_| is_near);
        let mount = folder.mount(None)?;
        Ok(Self { folder, without_waiting, id, mount })
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// See [`Folder::without_waiting`].
    pub(crate) fn without_waiting(&self) -> Option<&Folder> {
        self.without_waiting.as_ref()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The number of the mount that the folder is reached through; none where the system cannot tell.
    pub(crate) fn mount(&self) -> Option<u64> {
        self.mount
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// Refuses to go on in a folder that the path does not lead to any more: everybody who opens the path
    /// from now on works elsewhere.
    pub(crate) fn check_in_place(&self) -> Result<()> {
        let path = self.path();
        let error = match self.folder.medium().identify(path) {
            Ok(id) if id == self.id => return Ok(()),
            Ok(_) => {
                let what = format!("{} was replaced by another folder; open it anew", path.display());
                return Err(Error::not_applied(ErrorKind::Unsafe, what));
            }
            Err(error) => error,
        };
        Err(match errno_of(&error) {
            Some(Errno::NOENT | Errno::NOTDIR) => {
                Error::not_applied(ErrorKind::Missing, format!("{} was moved or removed", path.display()))
            }
            _ => failed("look at", path, error),
        })
    }
}

/// Makes the folder and those above it, durably; harmless if it is there.
pub(crate) fn create_folders(medium: &Arc<dyn Medium>, path: &Path) -> Result<()> {
    // The folder itself and the one that the first missing one is made in count as new: whoever made them may
    // have died before their names were on the medium, or may be about to sync them.
    let mut missing: Vec<&Path> = Vec::new();
    for ancestor in path.ancestors() {
        missing.push(ancestor);
        match medium.identify(ancestor) {
            Ok(_) => break,
            Err(error) if errno_of(&error) == Some(Errno::NOENT) => {}
            Err(error) => return Err(failed("look at", ancestor, error)),
        }
    }
    for folder in missing.into_iter().rev() {
        let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else { continue };
        let parent = Folder::open(medium.clone(), parent)?;
        let is_new = parent.look(name)?.is_none();
        parent.create_folder(name)?;
        // IMPORTANT: the name of a folder is on the medium only when its parent is; otherwise a loss of power
        // takes everything that is ever committed below it.
        if let Err(error) = parent.sync() {
            // IMPORTANT: a second sync may succeed without the name (see `Medium`). Only a folder that is
            // made again has it written again.
            if is_new && let Err(error) = parent.remove_folder(name) {
                tracing::warn!(%error, "a folder whose name may not be durable stays");
            }
            return Err(error);
        }
    }
    Ok(())
}

/// The path as it is shown and checked, whatever the process's working folder becomes.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        Error::not_applied(ErrorKind::InvalidInput, format!("{:?} is no path of a folder", path))
            .with_source(error)
    })
}
