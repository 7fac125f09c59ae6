use std::{path::Path, sync::Arc, time::Duration};

use pflow_backend::{Environment, Result};

use crate::FsBackend;

/// How a folder is opened, where the defaults do not fit.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::{sync::Arc, time::Duration};
/// use pflow_backend::SystemEnvironment;
/// use pflow_backend_fs::FsOptions;
///
/// let environment = Arc::new(SystemEnvironment::new()?);
/// let backend = FsOptions::new().lock_wait(Duration::from_secs(1)).open("/srv/plans", environment).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FsOptions {
    pub(crate) lock_wait: Duration,
}

impl FsOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self { lock_wait: Duration::from_secs(10) }
    }

    /// How long a commit waits at most, from its beginning, for other processes and handles that hold the folder's lock; 10
    /// seconds unless set. With zero it tries once.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// As [`FsBackend::create`].
    ///
    /// # Errors
    /// As [`FsBackend::create`].
    pub async fn create(
        self,
        path: impl AsRef<Path>,
        environment: Arc<dyn Environment>,
    ) -> Result<FsBackend> {
        FsBackend::start(path.as_ref().to_owned(), self, environment, true).await
    }

    /// As [`FsBackend::open`].
    ///
    /// # Errors
    /// As [`FsBackend::open`].
    pub async fn open(self, path: impl AsRef<Path>, environment: Arc<dyn Environment>) -> Result<FsBackend> {
        FsBackend::start(path.as_ref().to_owned(), self, environment, false).await
    }
}

impl Default for FsOptions {
    fn default() -> Self {
        Self::new()
    }
}
