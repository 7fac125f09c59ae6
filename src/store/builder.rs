use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use pflow_backend::{Environment, StorageBackend, SystemEnvironment, probe::Depth};
#[cfg(feature = "fs")]
use pflow_backend_fs::LostTail;
#[cfg(feature = "object")]
use pflow_backend_object::ObjectOptions;

use super::{
    Diagnosis, Location, Repaired, Store,
    open::{Opening, Place},
    settings::Settings,
};
use crate::{
    Error, Result,
    document::{Extractor, Limits},
};

/// Where a store is and how it is to be used. [`Store::builder`] and [`Store::on`] begin one; [`open`] or
/// [`init`] ends it. What is not set has the default that its method names.
///
/// ```
/// use std::time::Duration;
/// use pflow_store::Store;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), pflow_store::Error> {
/// # let temporary = tempfile::tempdir().unwrap();
/// let folder = temporary.path().join(".pflow");
/// Store::builder(&folder).init().await?;
/// let store = Store::builder(&folder).clock_skew(Duration::from_secs(5)).open().await?;
/// # store.close().await?;
/// # Ok(())
/// # }
/// ```
///
/// [`open`]: Self::open
/// [`init`]: Self::init
#[derive(Debug)]
#[must_use = "no store is opened before `open` or `init`"]
pub struct StoreBuilder {
    place: Result<Place>,
    environment: Option<Arc<dyn Environment>>,
    settings: Settings,
}

impl Store {
    /// Begins to open or create the store at a location: a URL or path as text, a path, or a [`Location`]. A
    /// [`Path`] is always a folder, even if it looks like a URL. A text that is no location is refused when
    /// the store is opened.
    pub fn builder<L>(location: L) -> StoreBuilder
    where
        L: TryInto<Location>,
        Error: From<L::Error>,
    {
        StoreBuilder::new(location.try_into().map(Place::At).map_err(Error::from))
    }

    /// Begins to open or create a store on the caller's backend.
    pub fn on(backend: Arc<dyn StorageBackend>) -> StoreBuilder {
        StoreBuilder::new(Ok(Place::On(backend)))
    }
}

impl StoreBuilder {
    fn new(place: Result<Place>) -> Self {
        Self { place, environment: None, settings: Settings::default() }
    }

    /// Sets the source of time, randomness and identity. The default is the system's.
    pub fn environment(mut self, environment: Arc<dyn Environment>) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Sets the limits for documents; [`Limits::default`] by default.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.reader = self.settings.reader.limits(limits);
        self
    }

    /// Sets what names the title, the tags and the node types of another tool's JSON; see [`Extractor`].
    pub fn extractor(mut self, extractor: impl Extractor + 'static) -> Self {
        self.settings.reader = self.settings.reader.extractor(Arc::new(extractor));
        self
    }

    /// Sets how long after its end a lease is still respected, because clocks differ; 60 seconds by default.
    /// It decides when a takeover is polite, never whether a write is safe.
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.settings.clock_skew = skew;
        self
    }

    /// Also opens folders on network file systems and on unknown file systems. Their locks may not reach
    /// other machines, so by default they are refused: set this only if a single machine uses the folder.
    #[cfg(feature = "fs")]
    pub fn any_file_system(mut self, any: bool) -> Self {
        self.settings.any_file_system = any;
        self
    }

    /// Sets the timeouts and retries for a bucket, and the settings of its cloud. The default is
    /// [`ObjectOptions::from_process`].
    #[cfg(feature = "object")]
    pub fn object_options(mut self, options: ObjectOptions) -> Self {
        self.settings.object = Some(options);
        self
    }

    /// Sets how many workflows of a batch are saved side by side, at least 1. The default is 64 on this
    /// machine, where they share a sync, and 32 on a remote storage.
    pub fn concurrency(mut self, workflows: usize) -> Self {
        self.settings.concurrency = Some(workflows.max(1));
        self
    }

    /// Sets how many pending records gather before a saver folds them into the index, at least 1; 64 by
    /// default. Fewer records make cold listings cheaper and saves more expensive. With `usize::MAX` no save
    /// folds.
    pub fn fold_after(mut self, records: usize) -> Self {
        self.settings.fold_after = Some(records.max(1));
        self
    }

    /// Sets whether a save that finds a fold due answers first and folds afterwards. [`Store::close`] waits
    /// for such a fold, and a failed one is logged as a warning. By default the fold comes after the answer
    /// on a remote storage, and before it on disk and in memory, where a fold takes hardly longer than a
    /// save.
    pub fn fold_behind(mut self, behind: bool) -> Self {
        self.settings.fold_behind = Some(behind);
        self
    }

    /// Opens the store, which must exist.
    ///
    /// # Errors
    /// [`Error::InvalidLocation`] if the text is no location, [`Error::StoreMissing`] if there is nothing,
    /// [`Error::Foreign`] if another program's data is there, [`Error::MissingFeatures`] and
    /// [`Error::Format`] if a newer program made the store; [`Error::Environment`] if the system provides no
    /// randomness; errors of the storage.
    ///
    /// # Panics
    /// For a folder or a bucket outside of a tokio runtime.
    pub async fn open(self) -> Result<Store> {
        Opening::of_existing(self.parts()?).await?.open().await
    }

    /// Creates the store, or opens the existing one. Missing parent folders are created.
    ///
    /// # Errors
    /// As [`open`](Self::open), without `StoreMissing`. A location that holds other data is not touched.
    /// [`Error::UnsafeStorage`] and [`Error::Unproven`] if a server was probed and cannot keep a store: then
    /// no part of a store is left there.
    ///
    /// # Panics
    /// As [`open`](Self::open).
    pub async fn init(self) -> Result<Store> {
        Opening::of_existing_or_new(self.parts()?).await?.init().await
    }

    /// Opens a store whose folder lost committed records of its journal, without those records. Returns what
    /// was lost; none if nothing was.
    ///
    /// The records are given up for every client: the store continues from the older state. Every other way
    /// to open such a folder refuses it. A copy of the damaged journal is kept in `.journal/quarantine`. A copy
    /// of a folder that was made while the store was in use does not need this: [`Store::instance`] tells that
    /// it is one, and its journal is read as far as it can be.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[cfg(feature = "fs")]
    pub async fn open_without_tail(self) -> Result<(Store, Option<LostTail>)> {
        let (opening, lost) = Opening::without_tail(self.parts()?).await?;
        Ok((opening.open().await?, lost))
    }

    /// Opens a store, and rebuilds its `config.json` if that is damaged or missing, from what can be read of
    /// it, including the store id. The damaged bytes are kept beside it. Also adds the files for git that an
    /// earlier program did not write.
    ///
    /// # Errors
    /// As [`open`](Self::open). A location without objects that only a store has is not touched. Neither is a
    /// newer program's store, even if its damaged `config.json` still names only its format.
    pub async fn repair(self) -> Result<(Store, Repaired)> {
        Opening::of_existing(self.parts()?).await?.repair().await
    }

    /// Probes the storage as [`Store::doctor`] does, without needing a store: finds what a store would meet
    /// there.
    ///
    /// # Errors
    /// As [`Store::doctor`]; [`Error::StoreMissing`] if the folder does not exist, [`Error::Foreign`] if the
    /// location holds other data, which is never written to.
    pub async fn doctor(self, depth: &Depth) -> Result<Diagnosis> {
        Opening::of_existing(self.parts()?).await?.doctor(depth).await
    }

    fn parts(self) -> Result<(Place, Arc<dyn Environment>, Settings)> {
        let place = self.place?;
        let environment = match self.environment {
            Some(environment) => environment,
            None => Arc::new(SystemEnvironment::new()?),
        };
        Ok((place, environment, self.settings))
    }
}

impl TryFrom<&str> for Location {
    type Error = Error;

    fn try_from(url: &str) -> Result<Self> {
        url.parse()
    }
}

impl TryFrom<&String> for Location {
    type Error = Error;

    fn try_from(url: &String) -> Result<Self> {
        url.parse()
    }
}

impl TryFrom<String> for Location {
    type Error = Error;

    fn try_from(url: String) -> Result<Self> {
        url.parse()
    }
}

impl From<&Path> for Location {
    fn from(folder: &Path) -> Self {
        Self::Folder(folder.to_owned())
    }
}

impl From<&PathBuf> for Location {
    fn from(folder: &PathBuf) -> Self {
        Self::Folder(folder.clone())
    }
}

impl From<PathBuf> for Location {
    fn from(folder: PathBuf) -> Self {
        Self::Folder(folder)
    }
}

impl From<&Location> for Location {
    fn from(location: &Location) -> Self {
        location.clone()
    }
}

/// The error of a conversion that cannot fail, such as that of a path into a [`Location`].
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
