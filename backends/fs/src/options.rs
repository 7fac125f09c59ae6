use std::{path::Path, sync::Arc, time::Duration};

use pflow_backend::{Environment, Result};

use crate::{FsBackend, medium::System};

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
    pub(crate) journal_limit: u64,
    pub(crate) follow: bool,
    pub(crate) any_file_system: bool,
    pub(crate) accept_tail: bool,
}

impl FsOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            lock_wait: Duration::from_secs(10),
            journal_limit: 16 * 1024 * 1024,
            follow: true,
            any_file_system: false,
            accept_tail: false,
        }
    }

    /// How long a commit waits at most, from its beginning, for other processes and handles that hold the
    /// folder's lock; 10 seconds unless set. With zero it tries once.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// How large the journal may grow, in bytes, before the files follow and it begins anew; 16 MiB unless
    /// set. So much of what was committed is in memory too. A single batch that is larger is taken all the
    /// same.
    #[must_use]
    pub fn journal_limit(mut self, bytes: u64) -> Self {
        self.journal_limit = bytes;
        self
    }

    /// Whether the files follow by themselves when nothing has been committed for a moment, so that people
    /// see what is there. They do unless this says otherwise; without it they follow when the journal is full
    /// and at [`close`](pflow_backend::StorageBackend::close).
    #[must_use]
    pub fn follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }

    /// Opens folders on network file systems and on those of an unknown kind too, which are refused unless
    /// this says otherwise: their locks may not reach other machines. With it the caller answers for it that
    /// **one machine alone** uses the folder.
    #[must_use]
    pub fn any_file_system(mut self, any: bool) -> Self {
        self.any_file_system = any;
        self
    }

    /// Opens a folder whose journal is damaged without the committed records that cannot be read, and without
    /// those after them;
    /// [`FsBackend::lost_tail`] says which these are. They are given up: the folder goes on with what is older. A copy of the damaged journal
    /// stays in `.journal/quarantine`. Unless this is set such a folder is refused as
    /// [`Corrupt`](pflow_backend::ErrorKind::Corrupt).
    ///
    /// A copy of a folder does not need it: its journal is read as far as it can be.
    #[must_use]
    pub fn accept_tail(mut self, accept: bool) -> Self {
        self.accept_tail = accept;
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
        FsBackend::start(path.as_ref().to_owned(), self, environment, Arc::new(System), true).await
    }

    /// As [`FsBackend::open`].
    ///
    /// # Errors
    /// As [`FsBackend::open`].
    pub async fn open(self, path: impl AsRef<Path>, environment: Arc<dyn Environment>) -> Result<FsBackend> {
        FsBackend::start(path.as_ref().to_owned(), self, environment, Arc::new(System), false).await
    }
}

impl Default for FsOptions {
    fn default() -> Self {
        Self::new()
    }
}
