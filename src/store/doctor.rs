use pflow_backend::probe::{Depth, Report};

use super::{
    Store,
    open::Opening,
    place::{folder_without_config, holds_anything, holds_config, is_empty, own_config, without_config},
};
use crate::{Error, Result, gate::trust};

/// The result of a probe of the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The location, for people.
    pub location: String,
    /// The server and the place in it, if there is a server.
    pub place: Option<String>,
    /// The id of the store at the location; none if there is no store yet.
    pub store_id: Option<String>,
    /// The id of this place of the store: see [`Store::instance`]. None if there is no store yet.
    pub instance: Option<String>,
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
        let report = gate.probe_again(depth).await?;
        Ok(Diagnosis {
            location: gate.location().to_owned(),
            place: self.shared.objects.backend.endpoint(),
            store_id: Some(gate.config().store_id),
            instance: self.readable_instance().await?,
            report,
        })
    }
}

impl Opening {
    /// Probes the storage, whether it has a store or not.
    pub(super) async fn doctor(self, depth: &Depth) -> Result<Diagnosis> {
        let backend = self.objects.backend.clone();
        let diagnosis = match own_config(&self.objects, &self.location).await? {
            Some(config) => self.with(config)?.doctor(depth).await?,
            None => self.examine(depth).await?,
        };
        backend.close().await.map_err(Error::Storage)?;
        Ok(diagnosis)
    }

    /// Probes a storage without a store.
    async fn examine(self, depth: &Depth) -> Result<Diagnosis> {
        if let Some(path) = &self.folder
            && holds_anything(path)
            && !holds_config(path)
        {
            return Err(folder_without_config(self.location, path));
        }
        if !is_empty(&self.objects).await? {
            return Err(without_config(&self.objects, self.location).await?);
        }
        let report = trust::probe(&self.objects, depth).await?;
        Ok(Diagnosis {
            location: self.location,
            place: self.objects.backend.endpoint(),
            store_id: None,
            instance: None,
            report,
        })
    }
}
