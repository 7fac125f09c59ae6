//! What a failure concerns beside the file that it was met at.

use std::path::{Path, PathBuf};

use pflow_backend::Error;

use crate::folder::Folder;

/// What cannot be written because of a failure.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// One file, as far as the error tells.
    #[default]
    OneFile,
    /// Every file: space, quota, descriptors, or a folder in `.journal`.
    Everything,
    /// What a person wrote was taken out of its place and is not durable in `quarantine/`. The same
    /// checkpoint cannot try it again: the file is in `staging/`, where the next one looks for it.
    Unkept,
}

/// Folders whose names, or the names in which, may not be durable.
#[derive(Debug)]
pub(crate) struct FailedFolders {
    /// `.journal`, which every file needs.
    journal: PathBuf,
    failures: Vec<(PathBuf, Error)>,
}

impl FailedFolders {
    pub(crate) fn new(journal: &Folder) -> Self {
        Self { journal: journal.path().to_owned(), failures: Vec::new() }
    }

    pub(crate) fn push(&mut self, folder: PathBuf, error: Error) {
        self.failures.push((folder, error));
    }

    /// Syncs folders and notes those of which that fails.
    pub(crate) fn sync(&mut self, folders: impl IntoIterator<Item = Folder>) {
        for folder in folders {
            if let Err(error) = folder.sync() {
                self.push(folder.path().to_owned(), error);
            }
        }
    }

    /// Why a file may not be durable, and what else may not be.
    pub(crate) fn covers(&self, file: &Path) -> Option<(&Error, Extent)> {
        self.failures.iter().find_map(|(folder, error)| {
            if folder.starts_with(&self.journal) {
                return Some((error, Extent::Everything));
            }
            file.starts_with(folder).then_some((error, Extent::OneFile))
        })
    }
}
