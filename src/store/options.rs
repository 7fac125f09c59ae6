#[cfg(feature = "object")]
use std::ffi::OsString;
use std::{sync::Arc, time::Duration};

use pflow_backend::{Environment, SystemEnvironment};
#[cfg(feature = "disk")]
use pflow_backend_fs::FsOptions;
#[cfg(feature = "object")]
use pflow_backend_object::ObjectOptions;

use crate::{Result, document::Limits, repo::Traits};

/// Options for the use of a store. The settings of the store itself are in its `config.json`.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) limits: Limits,
    pub(crate) clock_skew: Duration,
    concurrency: Option<usize>,
    pub(crate) fold_after: Option<usize>,
    pub(crate) fold_behind: Option<bool>,
    #[cfg(feature = "disk")]
    any_file_system: bool,
    #[cfg(feature = "object")]
    object: Option<ObjectOptions>,
}

impl StoreOptions {
    /// The defaults, with the system's clock, randomness and identity.
    ///
    /// # Errors
    /// The system provides no randomness.
    pub fn system() -> Result<Self> {
        Ok(Self::new(Arc::new(SystemEnvironment::new()?)))
    }

    /// The defaults, with the given environment.
    pub fn new(environment: Arc<dyn Environment>) -> Self {
        Self {
            environment,
            limits: Limits::default(),
            clock_skew: Duration::from_secs(60),
            concurrency: None,
            fold_after: None,
            fold_behind: None,
            #[cfg(feature = "disk")]
            any_file_system: false,
            #[cfg(feature = "object")]
            object: None,
        }
    }

    /// Sets the limits for documents.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how long after its end a lease is still respected, because clocks differ; 60 seconds by default.
    /// It decides when a takeover is polite, never whether a write is safe.
    #[must_use]
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.clock_skew = skew;
        self
    }

    /// Also opens folders on network file systems and on unknown file systems. Their locks may not reach
    /// other machines, so they are refused unless the caller guarantees that only one machine uses the
    /// folder.
    #[cfg(feature = "disk")]
    #[must_use]
    pub fn any_file_system(mut self, any: bool) -> Self {
        self.any_file_system = any;
        self
    }

    /// The options for opening folders.
    #[cfg(feature = "disk")]
    pub(crate) fn disk(&self) -> FsOptions {
        FsOptions::new().any_file_system(self.any_file_system)
    }

    /// Sets the timeouts and retries for a bucket, and the settings of its cloud, in place of this process's
    /// environment variables.
    #[cfg(feature = "object")]
    #[must_use]
    pub fn object_options(mut self, options: ObjectOptions) -> Self {
        self.object = Some(options);
        self
    }

    /// Returns the timeouts and retries for a bucket, and the settings of its cloud: those that were set,
    /// else those from this process's environment variables. Variables that are not UTF-8 are ignored.
    #[cfg(feature = "object")]
    pub fn object(&self) -> ObjectOptions {
        let of_process = || {
            let text =
                |(name, value): (OsString, OsString)| name.into_string().ok().zip(value.into_string().ok());
            ObjectOptions::from_env(std::env::vars_os().filter_map(text))
        };
        self.object.clone().unwrap_or_else(of_process)
    }

    /// Sets how many workflows of a batch are saved side by side, at least 1. The default is 64 on this
    /// machine, where they share a sync, and 32 on a remote storage.
    #[must_use]
    pub fn concurrency(mut self, workflows: usize) -> Self {
        self.concurrency = Some(workflows.max(1));
        self
    }

    /// How many workflows of a batch are saved side by side on such a storage.
    pub(crate) fn side_by_side(&self, traits: Traits) -> usize {
        self.concurrency.unwrap_or(if traits.is_remote { 32 } else { 64 })
    }

    /// Sets how many pending records gather before a saver folds them into the index, at least 1; 64 by
    /// default. Fewer records make cold listings cheaper and saves more expensive. With `usize::MAX` no save
    /// folds.
    #[must_use]
    pub fn fold_after(mut self, records: usize) -> Self {
        self.fold_after = Some(records.max(1));
        self
    }

    /// Sets whether a save that finds a fold due answers first and folds afterwards. [`crate::Store::close`]
    /// waits for such a fold, and a failed one is logged as a warning. By default the fold comes after the
    /// answer on a remote storage, and before it on disk and in memory, where a fold takes hardly longer than
    /// a save.
    #[must_use]
    pub fn fold_behind(mut self, behind: bool) -> Self {
        self.fold_behind = Some(behind);
        self
    }
}
