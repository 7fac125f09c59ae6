//! The storage's own folder, and whether its path still leads there.

use std::{
    fs,
    io::ErrorKind as IoErrorKind,
    path::{Path, PathBuf},
};

use pflow_backend::{Error, ErrorKind, Result};
use rustix::io::Errno;

use crate::{
    error::failed,
    folder::{FileId, Folder},
};

/// The folder below which everything happens.
#[derive(Debug)]
pub(crate) struct Root {
    folder: Folder,
    id: FileId,
}

impl Root {
    /// Opens it; `path` is absolute.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let folder = Folder::open(path)?;
        let id = folder.id()?;
        Ok(Self { folder, id })
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// Refuses to go on in a folder that the path does not lead to any more: everybody who opens the path from now on works
    /// elsewhere.
    pub(crate) fn check_in_place(&self) -> Result<()> {
        let path = self.path();
        match rustix::fs::stat(path) {
            Ok(stat) if FileId::of(&stat) == self.id => Ok(()),
            Ok(_) => Err(Error::new(
                ErrorKind::Unsafe,
                format!("{} was replaced by another folder; open it anew", path.display()),
            )),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                Err(Error::new(ErrorKind::Missing, format!("{} was moved or removed", path.display())))
            }
            Err(errno) => Err(failed("look at", path, errno.into())),
        }
    }
}

/// Makes the folder and those above it, durably; harmless if it is there.
pub(crate) fn create_folders(path: &Path) -> Result<()> {
    // The folder itself and the one that the first missing one is made in count as new: whoever made them may have died before their
    // names were on the medium, or may be about to sync them.
    let mut missing: Vec<&Path> = Vec::new();
    for ancestor in path.ancestors() {
        match fs::metadata(ancestor) {
            Ok(_) => {
                missing.push(ancestor);
                break;
            }
            Err(error) if error.kind() == IoErrorKind::NotFound => missing.push(ancestor),
            Err(error) => return Err(failed("look at", ancestor, error)),
        }
    }
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == IoErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("create", folder, error)),
        }
        // IMPORTANT: the name of a folder is on the medium only when its parent is; otherwise a loss of power takes
        // everything that is ever committed below it.
        let parent = folder.parent().unwrap_or(folder);
        Folder::open(parent)?.sync().map_err(|error| failed("sync", parent, error))?;
    }
    Ok(())
}

/// The path as it is shown and checked, whatever the process's working folder becomes.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, format!("{:?} is no path of a folder", path)).with_source(error)
    })
}
