use std::{fmt, sync::Arc};

use super::{StoreOptions, change::Flows};
use crate::{
    Result,
    index::Index,
    lock::Locks,
    stored::{Config, Gate, Objects},
};

/// What all operations of one store share.
pub(crate) struct Shared {
    pub(crate) objects: Objects,
    pub(crate) gate: Arc<Gate>,
    pub(crate) index: Index,
    pub(crate) locks: Locks,
    pub(crate) flows: Flows,
    pub(crate) options: StoreOptions,
}

impl Shared {
    pub(super) fn new(
        objects: Objects,
        options: StoreOptions,
        location: String,
        config: Config,
    ) -> Result<Self> {
        let gate = Arc::new(Gate::enter(objects.clone(), location, config)?);
        let index = Index::new(objects.clone(), gate.clone(), options.fold);
        let locks = Locks::new(objects.clone(), gate.clone(), options.clock_skew)?;
        Ok(Self { objects, gate, index, locks, flows: Flows::build()?, options })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("location", &self.gate.location())
            .field("objects", &self.objects)
            .finish_non_exhaustive()
    }
}
