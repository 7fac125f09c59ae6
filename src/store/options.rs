#[cfg(feature = "object")]
use std::ffi::OsString;
use std::{sync::Arc, time::Duration};

use pflow_backend::{Environment, SystemEnvironment};
use pflow_backend_fs::FsOptions;
#[cfg(feature = "object")]
use pflow_backend_object::ObjectOptions;

use crate::{Result, document::Limits, repo::Traits};

/// How a store is used. What belongs to the store itself stands in its `config.json`.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) limits: Limits,
    pub(crate) clock_skew: Duration,
    concurrency: Option<usize>,
    pub(crate) fold_after: Option<usize>,
    pub(crate) fold_behind: Option<bool>,
    any_file_system: bool,
    #[cfg(feature = "object")]
    object: Option<ObjectOptions>,
}

impl StoreOptions {
    /// The defaults, with the machine's own clock, randomness and identity.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn system() -> Result<Self> {
        Ok(Self::new(Arc::new(SystemEnvironment::new()?)))
    }

    /// The defaults, in another environment.
    pub fn new(environment: Arc<dyn Environment>) -> Self {
        Self {
            environment,
            limits: Limits::default(),
            clock_skew: Duration::from_secs(60),
            concurrency: None,
            fold_after: None,
            fold_behind: None,
            any_file_system: false,
            #[cfg(feature = "object")]
            object: None,
        }
    }

    /// What a document may be.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How much longer than its own end a lease is respected, because clocks differ; 60 seconds unless set.
    /// It decides when a takeover is polite, never whether a write is safe.
    #[must_use]
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.clock_skew = skew;
        self
    }

    /// Opens folders on network file systems too, and on those of an unknown kind: their locks may not reach
    /// other machines, so they are refused unless the caller answers for it that one machine alone uses the
    /// folder.
    #[must_use]
    pub fn any_file_system(mut self, any: bool) -> Self {
        self.any_file_system = any;
        self
    }

    /// How folders are opened.
    pub(crate) fn disk(&self) -> FsOptions {
        FsOptions::new().any_file_system(self.any_file_system)
    }

    /// How patient a store in a bucket is, and the settings of its cloud, in place of the variables of this
    /// process.
    #[cfg(feature = "object")]
    #[must_use]
    pub fn object_options(mut self, options: ObjectOptions) -> Self {
        self.object = Some(options);
        self
    }

    /// How patient a store in a bucket would be, and the settings of its cloud: what was set, else the
    /// clouds' variables of this process. A variable that is not UTF-8 is none of theirs.
    #[cfg(feature = "object")]
    pub fn object(&self) -> ObjectOptions {
        let of_process = || {
            let text =
                |(name, value): (OsString, OsString)| name.into_string().ok().zip(value.into_string().ok());
            ObjectOptions::from_env(std::env::vars_os().filter_map(text))
        };
        self.object.clone().unwrap_or_else(of_process)
    }

    /// How many workflows of a batch are saved side by side, at least 1; unless set 64 on this machine, where
    /// they share a sync, and 32 on a remote storage.
    #[must_use]
    pub fn concurrency(mut self, workflows: usize) -> Self {
        self.concurrency = Some(workflows.max(1));
        self
    }

    /// How many workflows of a batch are saved side by side on a storage like this.
    pub(crate) fn side_by_side(&self, traits: Traits) -> usize {
        self.concurrency.unwrap_or(if traits.is_remote { 32 } else { 64 })
    }

    /// How many pending records a saver lets gather before it folds them into the index, at least 1; 64
    /// unless set. Fewer make cold listings cheaper and saves dearer. With `usize::MAX` no save folds.
    #[must_use]
    pub fn fold_after(mut self, records: usize) -> Self {
        self.fold_after = Some(records.max(1));
        self
    }

    /// Whether a save that finds a fold due answers first and folds behind its answer.
    /// [`crate::Store::close`] waits for such a fold, and a warning tells where it failed. Unless set: behind
    /// the answer on a remote storage, before it on disk and in memory, where a fold takes hardly longer than
    /// a save.
    #[must_use]
    pub fn fold_behind(mut self, behind: bool) -> Self {
        self.fold_behind = Some(behind);
        self
    }
}
