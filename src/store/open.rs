use std::{path::PathBuf, sync::Arc};

use pflow_backend::{Environment, Operation, StorageBackend, probe::Depth};
#[cfg(feature = "fs")]
use pflow_backend_fs::LostTail;
use pflow_backend_memory::MemoryBackend;
#[cfg(feature = "object")]
use pflow_backend_object::{ObjectBackend, ObjectOptions, ObjectUrl};

use super::{
    Location, Shared, Store,
    change::Flows,
    folder,
    place::{is_empty, own_config, without_config},
    repository,
    settings::Settings,
};
use crate::{
    Error, Result,
    format::{Config, keys},
    gate::{ensure_instance, trust},
    index,
    register::{Around, Derived, Swapped, swap},
    repo::{Objects, unreadable},
};

/// Where a storage is.
#[derive(Debug)]
pub(super) enum Place {
    At(Location),
    On(Arc<dyn StorageBackend>),
}

/// A storage on which a store is to be opened or created.
pub(super) struct Opening {
    pub(super) objects: Objects,
    /// The location, for people.
    pub(super) location: String,
    /// The folder, if it is one on the local disk.
    pub(super) folder: Option<PathBuf>,
    pub(super) settings: Settings,
}

type Parts = (Place, Arc<dyn Environment>, Settings);

impl Opening {
    /// Reaches a storage, which must exist.
    pub(super) async fn of_existing((place, environment, settings): Parts) -> Result<Self> {
        let backend: Arc<dyn StorageBackend> = match &place {
            Place::At(Location::Folder(path)) => folder::open(path, &settings, &environment).await?,
            Place::At(Location::Memory) => {
                return Err(Error::StoreMissing { location: Location::Memory.to_string() });
            }
            #[cfg(feature = "object")]
            Place::At(Location::Bucket(url)) => bucket(url, &settings, &environment)?,
            Place::On(backend) => backend.clone(),
        };
        Ok(Self::new(place, backend, environment, settings))
    }

    /// The same, and creates a folder that does not exist.
    pub(super) async fn of_existing_or_new((place, environment, settings): Parts) -> Result<Self> {
        let backend: Arc<dyn StorageBackend> = match &place {
            Place::At(Location::Folder(path)) => folder::create(path, &settings, &environment).await?,
            Place::At(Location::Memory) => Arc::new(MemoryBackend::new(environment.clone())),
            _ => return Self::of_existing((place, environment, settings)).await,
        };
        Ok(Self::new(place, backend, environment, settings))
    }

    /// Reaches a storage, which must exist, without what its journal lost.
    #[cfg(feature = "fs")]
    pub(super) async fn without_tail(
        (place, environment, settings): Parts,
    ) -> Result<(Self, Option<LostTail>)> {
        let Place::At(Location::Folder(path)) = &place else {
            return Ok((Self::of_existing((place, environment, settings)).await?, None));
        };
        let (backend, lost) = folder::without_tail(path, &settings, &environment).await?;
        Ok((Self::new(place, backend, environment, settings), lost))
    }

    fn new(
        place: Place,
        backend: Arc<dyn StorageBackend>,
        environment: Arc<dyn Environment>,
        settings: Settings,
    ) -> Self {
        let location = match &place {
            Place::At(location) => location.to_string(),
            Place::On(backend) => backend.name().unwrap_or_else(|| "the given backend".to_owned()),
        };
        let folder = match place {
            Place::At(Location::Folder(path)) => Some(path),
            _ => None,
        };
        Self { objects: Objects::new(backend, environment), location, folder, settings }
    }

    /// Opens the store, which must exist.
    pub(super) async fn open(self) -> Result<Store> {
        match own_config(&self.objects, &self.location).await? {
            Some(config) => self.with(config),
            None if is_empty(&self.objects).await? => Err(Error::StoreMissing { location: self.location }),
            None => Err(without_config(&self.objects, self.location).await?),
        }
    }

    /// Creates the store, or opens the existing one.
    pub(super) async fn init(self) -> Result<Store> {
        let (objects, location) = (&self.objects, &self.location);
        if let Some(config) = own_config(objects, location).await? {
            return self.with(config);
        }
        if !is_empty(objects).await? {
            return Err(without_config(objects, location.clone()).await?);
        }
        let mut config = Config::new(objects.environment.new_id(), objects.now());
        // IMPORTANT: the probe comes before any other write, so that no store is ever created on a storage
        // that cannot keep one.
        if let Some(place) = objects.backend.endpoint() {
            let report = trust::probe(objects, &Depth::default()).await?;
            trust::verdict(&place, &report)?.into_result(&place)?;
            // A killed `init` leaves it alone here, and `is_empty` passes it over.
            ensure_instance(objects, &place).await?;
            config.remember_probe(&place, objects.now());
        }
        let encoded = config.encode().map_err(|source| unreadable(&keys::config(), source))?;
        // IMPORTANT: config.json alone makes a store, so all other objects are written after it. A crash in
        // between leaves a store whose index is read from the heads until the first fold writes one. An index
        // root must never be created later than here: an empty one would hide the existing workflows.
        let mut rest = vec![Operation::put(keys::index_root(), index::empty_root(objects)?).absent()];
        rest.extend(repository::files(objects).map(Operation::absent));
        let around = Around { after: rest, ..Around::default() };
        let theirs = || own_config(objects, location);
        let what = || format!("the creation of {location}");
        let config = match swap(objects, keys::config(), encoded, None, around).await {
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
        self.with(config)
    }

    pub(super) fn with(self, config: Config) -> Result<Store> {
        let Self { objects, location, folder, settings } = self;
        let shared = Arc::new(Shared::new(objects, settings, location, folder, config)?);
        Ok(Store { shared, flows: Arc::new(Flows::build()?) })
    }
}

#[cfg(feature = "object")]
fn bucket(
    url: &ObjectUrl,
    settings: &Settings,
    environment: &Arc<dyn Environment>,
) -> Result<Arc<dyn StorageBackend>> {
    let options = settings.object.clone().unwrap_or_else(ObjectOptions::from_process);
    Ok(Arc::new(ObjectBackend::open(url, options, environment.clone()).map_err(Error::Storage)?))
}
