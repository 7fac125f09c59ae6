use std::time::Duration;

#[cfg(feature = "fs")]
use pflow_backend_fs::FsOptions;
#[cfg(feature = "object")]
use pflow_backend_object::ObjectOptions;

use crate::{document::DocumentReader, repo::Traits};

/// How this process uses a store; [`super::StoreBuilder`] sets it. What all programs must agree on is in the
/// store's `config.json`.
#[derive(Debug)]
pub(crate) struct Settings {
    /// How documents are read.
    pub(crate) reader: DocumentReader,
    pub(crate) clock_skew: Duration,
    pub(super) concurrency: Option<usize>,
    pub(super) fold_after: Option<usize>,
    pub(super) fold_behind: Option<bool>,
    #[cfg(feature = "fs")]
    pub(super) any_file_system: bool,
    #[cfg(feature = "object")]
    pub(super) object: Option<ObjectOptions>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reader: DocumentReader::default(),
            clock_skew: Duration::from_secs(60),
            concurrency: None,
            fold_after: None,
            fold_behind: None,
            #[cfg(feature = "fs")]
            any_file_system: false,
            #[cfg(feature = "object")]
            object: None,
        }
    }
}

impl Settings {
    /// The options for opening folders.
    #[cfg(feature = "fs")]
    pub(super) fn disk(&self) -> FsOptions {
        FsOptions::new().any_file_system(self.any_file_system)
    }

    /// How many workflows of a batch are saved side by side on such a storage.
    pub(super) fn side_by_side(&self, traits: Traits) -> usize {
        self.concurrency.unwrap_or(if traits.is_remote { 32 } else { 64 })
    }
}
