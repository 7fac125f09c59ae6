use std::{sync::Arc, time::Duration};

use pflow_backend::{Environment, SystemEnvironment};

use crate::{Result, document::Limits};

/// How a store is used. What belongs to the store itself stands in its `config.json`.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) limits: Limits,
    pub(crate) clock_skew: Duration,
    pub(crate) concurrency: usize,
    pub(crate) fold_after: Option<usize>,
    pub(crate) fold_behind: Option<bool>,
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
            concurrency: 16,
            fold_after: None,
            fold_behind: None,
        }
    }

    /// What a document may be.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How much longer than its own end a lease is respected, because clocks differ; 60 seconds unless set. It decides when a
    /// takeover is polite, never whether a write is safe.
    #[must_use]
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.clock_skew = skew;
        self
    }

    /// How many workflows of a batch are saved side by side, at least 1; 16 unless set.
    #[must_use]
    pub fn concurrency(mut self, workflows: usize) -> Self {
        self.concurrency = workflows.max(1);
        self
    }

    /// How many pending records a saver lets gather before it folds them into the index, at least 1; 64 unless set. Fewer make
    /// cold listings cheaper and saves dearer.
    #[must_use]
    pub fn fold_after(mut self, records: usize) -> Self {
        self.fold_after = Some(records.max(1));
        self
    }

    /// Whether a save that finds a fold due answers first and folds behind its answer. [`crate::Store::close`] waits for such a fold, and a warning
    /// tells where it failed. Unless set: behind the answer on a remote storage, before it on disk and in memory, where a fold
    /// takes hardly longer than a save.
    #[must_use]
    pub fn fold_behind(mut self, behind: bool) -> Self {
        self.fold_behind = Some(behind);
        self
    }
}
