use std::sync::Arc;

use pflow_backend::{Operation, StorageBackend, probe::Depth};
use pflow_backend_memory::MemoryBackend;
#[cfg(feature = "object")]
use pflow_backend_object::{ObjectBackend, ObjectUrl};

use super::{
    Location, Shared, Store, StoreOptions,
    change::Flows,
    disk,
    place::{is_empty, own_config, without_config},
    repository,
};
use crate::{
    Error, Result,
    format::{Config, keys},
    index,
    register::{Around, Derived, Swapped, swap},
    repo::{Objects, trust, unreadable},
};

impl Store {
    /// Opens the store at a URL or path ([`Location`]).
    ///
    /// # Errors
    /// [`Error::StoreMissing`] if there is nothing, [`Error::Foreign`] if another program's data is there,
    /// [`Error::MissingFeatures`] and [`Error::Format`] if a newer program made the store; errors of the
    /// storage.
    pub async fn open_url(url: &str, options: StoreOptions) -> Result<Self> {
        Self::open_location(&url.parse()?, options).await
    }

    /// Opens the store at a parsed location.
    ///
    /// # Errors
    /// As [`Store::open_url`].
    pub async fn open_location(location: &Location, options: StoreOptions) -> Result<Self> {
        let backend = existing(location, &options).await?;
        Ok(Self::open_at(backend, options, location.to_string()).await?.in_folder(location))
    }

    /// Creates a store at a URL or path, or opens the existing one. Missing parent folders are created.
    ///
    /// # Errors
    /// As [`Store::open_url`], without `StoreMissing`. A location that holds other data is not touched.
    /// [`Error::UnsafeStorage`] and [`Error::Unproven`] if a server was probed and cannot keep a store: then
    /// no part of a store is left there.
    pub async fn init_url(url: &str, options: StoreOptions) -> Result<Self> {
        Self::init_location(&url.parse()?, options).await
    }

    /// Creates a store at a parsed location, or opens the existing one.
    ///
    /// # Errors
    /// As [`Store::init_url`].
    pub async fn init_location(location: &Location, options: StoreOptions) -> Result<Self> {
        let backend: Arc<dyn StorageBackend> = match location {
            Location::Folder(path) => disk::create(path, location, &options).await?,
            Location::Memory => Arc::new(MemoryBackend::new(options.environment.clone())),
            #[cfg(feature = "object")]
            Location::Bucket(url) => bucket(url, &options)?,
        };
        Ok(Self::init_at(backend, options, location.to_string()).await?.in_folder(location))
    }

    /// Remembers the folder of the store.
    pub(super) fn in_folder(self, location: &Location) -> Self {
        if let Location::Folder(path) = location {
            self.shared.folder.get_or_init(|| path.clone());
        }
        self
    }

    /// Opens the store on the caller's backend.
    ///
    /// # Errors
    /// As [`Store::open_url`].
    pub async fn open(backend: Arc<dyn StorageBackend>, options: StoreOptions) -> Result<Self> {
        Self::open_at(backend, options, "the given backend".to_owned()).await
    }

    /// Creates a store on the caller's backend, or opens the existing one.
    ///
    /// # Errors
    /// As [`Store::init_url`].
    pub async fn init(backend: Arc<dyn StorageBackend>, options: StoreOptions) -> Result<Self> {
        Self::init_at(backend, options, "the given backend".to_owned()).await
    }

    pub(super) async fn open_at(
        backend: Arc<dyn StorageBackend>,
        options: StoreOptions,
        location: String,
    ) -> Result<Self> {
        let objects = Objects::new(backend, options.environment.clone());
        match own_config(&objects, &location).await? {
            Some(config) => Self::with(objects, options, location, config),
            None if is_empty(&objects).await? => Err(Error::StoreMissing { location }),
            None => Err(without_config(&objects, location).await?),
        }
    }

    async fn init_at(
        backend: Arc<dyn StorageBackend>,
        options: StoreOptions,
        location: String,
    ) -> Result<Self> {
        let objects = Objects::new(backend, options.environment.clone());
        if let Some(config) = own_config(&objects, &location).await? {
            return Self::with(objects, options, location, config);
        }
        if !is_empty(&objects).await? {
            return Err(without_config(&objects, location).await?);
        }
        let mut config = Config::new(objects.environment.new_id(), objects.now());
        // IMPORTANT: the probe comes before any other write, so that no store is ever created on a storage
        // that cannot keep one.
        if let Some(place) = objects.backend.place() {
            let report = trust::probe(&objects, &Depth::default()).await?;
            trust::verdict(&place, &report)?.into_result(&place)?;
            config.remember_probe(&place, objects.now());
        }
        let encoded = config.encode().map_err(|source| unreadable(&keys::config(), source))?;
        // IMPORTANT: config.json alone makes a store, so all other objects are written after it. A crash in
        // between leaves a store whose index is read from the heads until the first fold writes one. An index
        // root must never be created later than here: an empty one would hide the existing workflows.
        let mut rest = vec![Operation::put(keys::index_root(), index::empty_root(&objects)?).absent()];
        rest.extend(repository::files(&objects).map(Operation::absent));
        let around = Around { after: rest, ..Around::default() };
        let theirs = || own_config(&objects, &location);
        let what = || format!("the creation of {location}");
        let config = match swap(&objects, keys::config(), encoded, None, around).await {
            Swapped::Landed(_, Derived::InPlace | Derived::Changed) => config,
            Swapped::Landed(_, Derived::Failed(error)) => return Err(Error::Storage(error)),
            // Another client created the store at the same time; its config is the store's.
            Swapped::Lost { .. } | Swapped::InDoubt(None) => {
                theirs().await?.ok_or_else(|| Error::StoreMissing { location: location.clone() })?
            }
            // A reply was lost: the stored config decides.
            Swapped::InDoubt(Some(error)) => match theirs().await {
                Ok(Some(config)) => config,
                _ => return Err(Error::of_commit(what, error)),
            },
            Swapped::Failed { error, .. } | Swapped::Unknown(error) => {
                return Err(Error::of_commit(what, error));
            }
        };
        Self::with(objects, options, location, config)
    }

    fn with(objects: Objects, options: StoreOptions, location: String, config: Config) -> Result<Self> {
        let shared = Arc::new(Shared::new(objects, options, location, config)?);
        Ok(Self { shared, flows: Arc::new(Flows::build()?) })
    }
}

/// Opens the storage at a location, which must exist.
pub(super) async fn existing(location: &Location, options: &StoreOptions) -> Result<Arc<dyn StorageBackend>> {
    match location {
        Location::Folder(path) => disk::open(path, location, options).await,
        Location::Memory => Err(missing(location)),
        #[cfg(feature = "object")]
        Location::Bucket(url) => bucket(url, options),
    }
}

pub(super) fn missing(location: &Location) -> Error {
    Error::StoreMissing { location: location.to_string() }
}

#[cfg(feature = "object")]
fn bucket(url: &ObjectUrl, options: &StoreOptions) -> Result<Arc<dyn StorageBackend>> {
    let (settings, environment) = (options.object(), options.environment.clone());
    Ok(Arc::new(ObjectBackend::open(url, settings, environment).map_err(Error::Storage)?))
}
