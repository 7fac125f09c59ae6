use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::stream::BoxStream;
use pflow_backend::{
    Batch, Capabilities, Commit, Durability, Environment, Error, ErrorKind, Key, Listed, Meta, Object,
    Outcome, Prefix, Result, StorageBackend, Versions, async_trait, probe::Check,
};
use tokio::sync::Mutex;

use crate::{
    FsOptions,
    commit::{Attempt, attempt},
    content,
    disk::Disk,
    journal, list,
    root::{Root, absolute, create_folders},
};

/// The first pause between two tries for the lock. Most commits take a few milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause: nobody is woken when the lock becomes free, so this is what a waiter loses at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// A folder of a local disk as a storage. See the [crate] for what it needs of the disk and what a crash leaves.
///
/// Objects are plain files: `runs/a/1` is the file `1` in the folder `runs/a`. A handle at rest holds one descriptor and
/// starts nothing in the background. Methods need a tokio runtime with its blocking threads.
///
/// A handle belongs to its path. When the folder is moved away or another one comes in its place, every method fails
/// ([`ErrorKind::Missing`], [`ErrorKind::Unsafe`]) rather than work where nobody else looks.
///
/// Handles for one folder, in one process or several, are equal: they see each other's commits at once, and take
/// turns. Within one handle commits happen in the order in which they were first polled.
#[derive(Debug)]
pub struct FsBackend {
    store: Arc<Store>,
    /// Whose turn it is among the commits of this handle. A tokio mutex is fair, and its owned guard moves into the
    /// blocking call: **a commit whose future is dropped keeps its turn until its last system call.** It is held across the
    /// pauses in between, which are bounded by `lock_wait`.
    turn: Arc<Mutex<()>>,
    lock_wait: Duration,
}

/// What the blocking half works with.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) root: Root,
    pub(crate) disk: Disk,
    pub(crate) environment: Arc<dyn Environment>,
    poisoned: AtomicBool,
}

impl FsBackend {
    /// Opens the folder at `path`, which is made, with those above it, if it is not there.
    ///
    /// # Errors
    /// As [`open`](Self::open), and where a folder cannot be made.
    pub async fn create(path: impl AsRef<Path>, environment: Arc<dyn Environment>) -> Result<Self> {
        FsOptions::new().create(path, environment).await
    }

    /// Opens the folder at `path`. Links in the path are followed; links below it never are. It writes nothing, so that
    /// a read-only medium can be read.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] if it is not there, [`ErrorKind::InvalidInput`] if it is no folder,
    /// [`ErrorKind::Incompatible`] if a newer program left work to finish in it.
    pub async fn open(path: impl AsRef<Path>, environment: Arc<dyn Environment>) -> Result<Self> {
        FsOptions::new().open(path, environment).await
    }

    pub(crate) async fn start(
        path: PathBuf,
        options: FsOptions,
        environment: Arc<dyn Environment>,
        create: bool,
    ) -> Result<Self> {
        let root = blocking(move || {
            let path = absolute(&path)?;
            if create {
                create_folders(&path)?;
            }
            let root = Root::open(&path)?;
            journal::check_root(root.folder())?;
            Ok(root)
        })
        .await?;
        let store = Store { root, disk: Disk::default(), environment, poisoned: AtomicBool::new(false) };
        Ok(Self { store: Arc::new(store), turn: Arc::default(), lock_wait: options.lock_wait })
    }

    /// The folder, as an absolute path.
    pub fn root(&self) -> &Path {
        self.store.root.path()
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(crate) fn lock_wait(&self) -> Duration {
        self.lock_wait
    }

    /// For tests that count or break system calls.
    #[cfg(test)]
    pub(crate) fn disk(&self) -> &Disk {
        &self.store.disk
    }
}

#[async_trait]
impl StorageBackend for FsBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // All conditions are checked before anything is touched, but a crash between two stages leaves the first.
            atomic_batch: false,
            exact_conflicts: true,
            conditional_delete: true,
            plain_files: true,
            durability: Durability::Power,
            // What a file's length can say. A file system that takes less refuses while the object is staged.
            max_object_size: content::MAX_OBJECT_BYTES,
        }
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        let (store, key) = (self.store.clone(), key.clone());
        blocking(move || {
            store.root.check_in_place()?;
            content::get(store.root.folder(), &key)
        })
        .await
    }

    async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        let (store, key) = (self.store.clone(), key.clone());
        blocking(move || {
            store.root.check_in_place()?;
            content::stat(store.root.folder(), &key)
        })
        .await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        list::list(self.store.clone(), prefix.clone(), after.cloned())
    }

    /// The wait for other processes is bounded by [`FsOptions::lock_wait`] from the call on; behind other commits of the same
    /// handle it may take as long as theirs take, and then tries once at least.
    ///
    /// Dropping the future while it waits for the lock leaves nothing; later the batch may go on to its end on a blocking thread.
    async fn commit(&self, batch: Batch) -> Result<Commit> {
        batch.check(&self.capabilities())?;
        if batch.operations().next().is_none() {
            let empty = batch.stages().iter().map(|_| Vec::new()).collect();
            return Ok(Commit::Committed(Versions::new(empty)));
        }
        let environment = &self.store.environment;
        let deadline = environment.monotonic().saturating_add(self.lock_wait);
        let batch = Arc::new(batch);
        let mut turn = self.turn.clone().lock_owned().await;
        let mut pause = FIRST_PAUSE;
        loop {
            let (store, work) = (self.store.clone(), batch.clone());
            let tried = blocking(move || {
                let tried = attempt(&store, &work);
                Ok((tried, turn))
            });
            let (tried, mine) = tried.await.map_err(|error| error.with_outcome(Outcome::Unknown))?;
            turn = mine;
            let holder = match tried {
                Attempt::Finished(result) => return result,
                Attempt::Held(holder) => holder,
            };
            let left = deadline.saturating_sub(environment.monotonic());
            if left.is_zero() {
                let what = format!("Failed to lock {}: held by {holder}", self.root().display());
                return Err(Error::new(ErrorKind::Busy, what));
            }
            // Between half and one and a half of it, so that two waiters do not stay in step.
            environment.sleep(pause.mul_f64(0.5 + environment.jitter()).min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits for the commits of this handle that are under way, those with a dropped future included. The handle works on.
    async fn close(&self) -> Result<()> {
        drop(self.turn.lock().await);
        Ok(())
    }

    /// The lock, the sync, the rename, the names and the kind of the file system.
    async fn examine(&self, ground: &Prefix) -> Result<Vec<Check>> {
        self.look_below(ground).await
    }
}

impl Store {
    /// Refuses every later commit of this handle.
    pub(crate) fn poison(&self, error: &Error) {
        tracing::warn!(%error, path = %self.root.path().display(), "no more writes through this handle");
        self.poisoned.store(true, Ordering::Release);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }
}

/// Runs a call that blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => {
                Err(Error::new(ErrorKind::Unavailable, "The runtime is shutting down").with_source(error))
            }
        },
    }
}
