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

/// What a probe of the storage found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Where, for people.
    pub location: String,
    /// The server and the place in it, where there is a server.
    pub place: Option<String>,
    /// The store that is there; none if there is none yet.
    pub store_id: Option<String>,
    /// What was tried and what came of it.
    pub report: Report,
}

impl Diagnosis {
    /// Lets only those go on who know now that the storage keeps what a store needs.
    ///
    /// # Errors
    /// [`Error::UnsafeStorage`] with the promises that are broken, [`Error::Unproven`] where nobody can tell.
    pub fn check(&self) -> Result<()> {
        let place = self.place.as_ref().unwrap_or(&self.location);
        trust::verdict(place, &self.report)?.into_result(place)
    }
}

impl Store {
    /// Probes the storage again, as deep as the caller wants, whatever is remembered of it. It writes
    /// below a name of its own and deletes what it wrote; a bucket with versions keeps the versions.
    ///
    /// What it finds is remembered in `config.json` where the storage is a server: that it is safe, or no
    /// longer that it was. This store, too, takes no more writes then.
    ///
    /// # Errors
    /// The storage could not be probed; [`Error::MissingFeatures`] where only a newer program may write. A
    /// broken promise is no error here: see [`Diagnosis::check`].
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

    /// The same at a place that need not have a store yet: what a store would meet there.
    ///
    /// # Errors
    /// As [`Store::doctor`]; [`Error::StoreMissing`] where there is no such folder, [`Error::Foreign`] where
    /// something else lives, which is never written to.
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
