use pflow_backend::probe::{Depth, Report};

use super::{
    Location, Store, StoreOptions,
    open::existing,
    place::{folder_without_config, holds_anything, holds_config, is_empty, own_config, without_config},
};
use crate::{
    Error, Result,
    repo::{Objects, trust},
};

/// The result of a probe of the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The location, for people.
    pub location: String,
    /// The server and the place in it, if there is a server.
    pub place: Option<String>,
    /// The id of the store at the location; none if there is no store yet.
    pub store_id: Option<String>,
    /// What was tested, with the results.
    pub report: Report,
}

impl Diagnosis {
    /// Checks that the storage keeps the guarantees that a store needs.
    ///
    /// # Errors
    /// [`Error::UnsafeStorage`] with the broken guarantees, [`Error::Unproven`] if the probe was
    /// inconclusive.
    pub fn check(&self) -> Result<()> {
        let place = self.place.as_ref().unwrap_or(&self.location);
        trust::verdict(place, &self.report)?.into_result(place)
    }
}

impl Store {
    /// Probes the storage again, as deep as the caller wants, whatever is recorded of it. The probe writes
    /// below a prefix of its own and deletes what it wrote; a bucket with object versions keeps those
    /// versions.
    ///
    /// If the storage is a server, the verdict is recorded in `config.json`: a safe place is added, an unsafe
    /// one is removed, and this handle then refuses writes as well.
    ///
    /// # Errors
    /// The storage could not be probed; [`Error::MissingFeatures`] if only a newer program may write. A
    /// broken guarantee is not an error here: see [`Diagnosis::check`].
    pub async fn doctor(&self, depth: &Depth) -> Result<Diagnosis> {
        let gate = &self.shared.gate;
        let report = gate.probe_anew(depth).await?;
        Ok(Diagnosis {
            location: gate.location().to_owned(),
            place: self.shared.objects.backend.place(),
            store_id: Some(gate.config().store_id),
            report,
        })
    }

    /// The same for a location that need not have a store yet: finds what a store would meet there.
    ///
    /// # Errors
    /// As [`Store::doctor`]; [`Error::StoreMissing`] if the folder does not exist, [`Error::Foreign`] if the
    /// location holds other data, which is never written to.
    pub async fn doctor_location(
        location: &Location,
        options: StoreOptions,
        depth: &Depth,
    ) -> Result<Diagnosis> {
        let backend = existing(location, &options).await?;
        let objects = Objects::new(backend.clone(), options.environment.clone());
        let diagnosis = match own_config(&objects, &location.to_string()).await? {
            Some(_) => {
                let store = Self::open_at(backend.clone(), options, location.to_string()).await?;
                store.doctor(depth).await?
            }
            None => {
                if let Location::Folder(path) = location
                    && holds_anything(path)
                    && !holds_config(path)
                {
                    return Err(folder_without_config(location.to_string(), path));
                }
                if !is_empty(&objects).await? {
                    return Err(without_config(&objects, location.to_string()).await?);
                }
                let (place, report) = (backend.place(), trust::probe(&objects, depth).await?);
                Diagnosis { location: location.to_string(), place, store_id: None, report }
            }
        };
        backend.close().await.map_err(Error::Storage)?;
        Ok(diagnosis)
    }
}
