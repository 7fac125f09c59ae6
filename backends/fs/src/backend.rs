use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::stream::BoxStream;
use pflow_backend::{
    Batch, Capabilities, Commit, Durability, Environment, Error, ErrorKind, Excerpt, Key, Listed, Meta,
    Object, Outcome, Prefix, Result, StorageBackend, Versions, Waiting, async_trait, probe::Check,
};
use tokio::sync::oneshot;

use crate::{
    FsOptions, LostTail,
    current::{MetaOnly, Ranged, Whole},
    error::{failed, with_cause},
    files::MAX_OBJECT_BYTES,
    folder::Folder,
    list,
    medium::{Kind, Medium},
    queue::{Ticket, shutting_down},
    reads,
    root::{Root, absolute, create_folders},
    store::Store,
};

/// Between two tries for the lock by whoever opens or closes.
const PAUSE: Duration = Duration::from_millis(5);

/// A folder of a local disk as a storage. See the [crate] for what it needs of the disk and what a crash
/// leaves.
///
/// Objects are plain files: `runs/a/1` is the file `1` in the folder `runs/a`. A handle at rest holds one
/// descriptor and starts nothing in the background. Methods need a tokio runtime with its blocking threads.
///
/// A handle belongs to its path. When the folder is moved away or another one comes in its place, every
/// method fails ([`Missing`](pflow_backend::ErrorKind::Missing),
/// [`Unsafe`](pflow_backend::ErrorKind::Unsafe)) rather than work where nobody else looks.
///
/// Handles for one folder, in one process or several, are equal: they see each other's commits at once, and
/// take turns. Within one handle commits happen in the order in which they were first polled.
#[derive(Debug)]
pub struct FsBackend {
    store: Arc<Store>,
    lock_wait: Duration,
}

impl FsBackend {
    /// Opens the folder at `path`, which is made, with those above it, if it is not there.
    ///
    /// # Errors
    /// As [`open`](Self::open), and where a folder cannot be made.
    pub async fn create(path: impl AsRef<Path>, environment: Arc<dyn Environment>) -> Result<Self> {
        FsOptions::new().create(path, environment).await
    }

    /// Opens the folder at `path`. Links in the path are followed; links below it never are. Where everything
    /// is at rest it writes nothing, and a read-only medium can be read in any case.
    ///
    /// # Errors
    /// [`Missing`](pflow_backend::ErrorKind::Missing) if it is not there, [`InvalidInput`](pflow_backend::ErrorKind::InvalidInput) if it is no folder; [`Unsafe`](pflow_backend::ErrorKind::Unsafe) on
    /// a file system whose locks may not reach everybody ([`FsOptions::any_file_system`]); where a process
    /// left work in the journal:
    /// [`Busy`](pflow_backend::ErrorKind::Busy) while somebody else is at it, [`Incompatible`](pflow_backend::ErrorKind::Incompatible) if a newer program left it, [`Corrupt`](pflow_backend::ErrorKind::Corrupt) if it is
    /// damaged.
    pub async fn open(path: impl AsRef<Path>, environment: Arc<dyn Environment>) -> Result<Self> {
        FsOptions::new().open(path, environment).await
    }

    pub(crate) async fn start(
        path: PathBuf,
        options: FsOptions,
        environment: Arc<dyn Environment>,
        medium: Arc<dyn Medium>,
        create: bool,
    ) -> Result<Self> {
        let lock_wait = options.lock_wait;
        let store = blocking(move || {
            let path = absolute(&path)?;
            if create {
                create_folders(&medium, &path)?;
            }
            let root = Root::open(medium, &path)?;
            if !options.any_file_system {
                check_file_system(root.folder())?;
            }
            Ok(Arc::new(Store::new(root, environment, &options)))
        })
        .await?;
        let backend = Self { store, lock_wait };
        backend.under_lock(Store::first_look).await?;
        Ok(backend)
    }

    /// Does something that needs the lock, as soon as it is free.
    async fn under_lock<T: Send + 'static>(
        &self,
        work: impl Fn(&Store) -> Result<std::result::Result<T, String>> + Copy + Send + 'static,
    ) -> Result<T> {
        let environment = &self.store.environment;
        let deadline = environment.monotonic().saturating_add(self.lock_wait);
        loop {
            let store = self.store.clone();
            let holder = match blocking(move || work(&store)).await? {
                Ok(done) => return Ok(done),
                Err(holder) => holder,
            };
            let left = deadline.saturating_sub(environment.monotonic());
            if left.is_zero() {
                return Err(self.store.busy(&holder));
            }
            environment.sleep(PAUSE.mul_f64(0.5 + environment.jitter()).min(left)).await;
        }
    }

    /// What the folder was opened without, because it was committed and cannot be read: with
    /// [`FsOptions::accept_tail`], and in a copy of a folder, what its original had committed.
    pub fn lost_tail(&self) -> Option<&LostTail> {
        self.store.lost()
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
}

#[async_trait]
impl StorageBackend for FsBackend {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        None
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Power, MAX_OBJECT_BYTES)
            .atomic_batch(true)
            .exact_conflicts(true)
            .conditional_delete(true)
            .plain_files(true)
            .immutable_puts(true)
            .ranged_reads(true)
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        reads::read(&self.store, key, Whole).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        reads::read(&self.store, key, MetaOnly).await
    }

    /// The version is named where the journal has the value; a file would have to be hashed for it.
    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
        reads::read(&self.store, key, Ranged(range)).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        list::list(self.store.clone(), prefix.clone(), after.cloned())
    }

    /// The wait for other processes is bounded by [`FsOptions::lock_wait`] from the call on; one try is made
    /// at least.
    ///
    /// Dropping the future withdraws nothing: once polled, the batch goes on to its end on a blocking thread.
    async fn commit(&self, batch: Batch) -> Result<Commit> {
        batch.check(&self.capabilities())?;
        if batch.operations().next().is_none() {
            let empty = batch.stages().iter().map(|_| Vec::new()).collect();
            return Ok(Commit::Committed(Versions::new(empty)));
        }
        let deadline = self.store.environment.monotonic().saturating_add(self.lock_wait);
        let (answer, told) = oneshot::channel();
        if let Some(turn) = self.store.queue.push(&self.store, Ticket { batch, deadline, answer, number: 0 })
        {
            drop(tokio::task::spawn_blocking(move || Store::run(turn)));
        }
        // Whoever had the turn is gone, and perhaps had begun.
        told.await.unwrap_or_else(|_| Err(shutting_down().with_outcome(Outcome::Unknown)))
    }

    /// Waits for the commits of this handle that are under way, those with a dropped future included; then
    /// every object is in its file, durably, and the journal is empty, unless others go on committing. What
    /// cannot be written stays in the journal and is no error: see
    /// [`waiting`](StorageBackend::waiting). The handle works on.
    ///
    /// Where this handle committed nothing it is tried once, and no error: the process that wrote brings the
    /// folder to rest.
    async fn close(&self) -> Result<()> {
        let turn = self.store.queue.turn(&self.store).await;
        let result = match self.store.has_written() {
            true => self.under_lock(Store::rest).await.map(drop),
            false => {
                let store = self.store.clone();
                blocking(move || {
                    store.rest_if_possible();
                    Ok(())
                })
                .await
            }
        };
        if let Some(turn) = turn.end() {
            drop(tokio::task::spawn_blocking(move || Store::run(turn)));
        }
        result
    }

    /// The path.
    fn name(&self) -> Option<String> {
        Some(self.root().display().to_string())
    }

    /// The folder by its device and inode, whatever path leads to it.
    fn location_id(&self) -> Option<String> {
        let id = self.store.root.id();
        Some(format!("folder:{}:{}", id.device, id.inode))
    }

    /// The id in `.journal/instance`, if the folder is not a copy that has it from its original. None until the
    /// first commit at this place.
    async fn instance(&self) -> Result<Option<String>> {
        let store = self.store.clone();
        blocking(move || store.instance()).await
    }

    /// The objects that only the journal has because their files cannot be written. Where this process may
    /// not write at all, or another one keeps the lock, or the disk is full, everything that is not in its
    /// file yet.
    async fn waiting(&self) -> Result<Vec<Waiting>> {
        let reason = match self.under_lock(Store::rest).await {
            Ok(waiting) => return Ok(waiting),
            Err(error) => with_cause(&error),
        };
        let store = self.store.clone();
        blocking(move || store.all_wait(&reason)).await
    }

    /// The lock, the sync, the rename, the names and the kind of the file system.
    async fn examine(&self, ground: &Prefix) -> Result<Vec<Check>> {
        self.look_below(ground).await
    }
}

/// A folder was refused because its file system may be shared by several machines.
///
/// It is the source of the [`Unsafe`](ErrorKind::Unsafe) error that opening such a folder returns.
/// [`FsOptions::any_file_system`](crate::FsOptions::any_file_system) opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedFileSystem {
    /// The name of the file system.
    pub name: String,
}

impl std::fmt::Display for SharedFileSystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, whose locks may not reach other machines", self.name)
    }
}

impl std::error::Error for SharedFileSystem {}

/// Refuses a folder whose lock may not exclude everybody who can reach it.
fn check_file_system(folder: &Folder) -> Result<()> {
    let (name, kind) = folder
        .medium()
        .kind(folder.node())
        .map_err(|error| failed("ask for the file system of", folder.path(), error))?;
    if matches!(kind, Kind::Local | Kind::Memory) {
        return Ok(());
    }
    let what = format!("{} is on {name}, whose locks may not reach other machines", folder.path().display());
    let hint = "keep the store on a local disk; or, if this machine alone uses it, open it with `FsOptions::any_file_system`";
    Err(Error::not_applied(ErrorKind::Unsafe, what).with_hint(hint).with_source(SharedFileSystem { name }))
}

/// Runs a call that blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(shutting_down().with_source(error)),
        },
    }
}
