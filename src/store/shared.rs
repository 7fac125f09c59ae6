use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use pflow_backend::Environment;
use std::sync::Arc;

use super::{StoreOptions, change::Flows};
use crate::{
    Error, Result,
    flow::{Run, Timer},
    index::Index,
    stored::{Config, Objects, layout, unreadable},
};

/// What all operations of one store share.
pub(crate) struct Shared {
    pub(crate) objects: Objects,
    pub(crate) index: Index,
    pub(crate) options: StoreOptions,
    pub(crate) location: String,
    pub(crate) flows: Flows,
    /// As last read. Never held across an await.
    config: Mutex<Config>,
}

impl Shared {
    pub(super) fn new(
        objects: Objects,
        options: StoreOptions,
        location: String,
        config: Config,
    ) -> Result<Self> {
        let index = Index::new(objects.clone(), options.fold);
        Ok(Self { objects, index, options, location, flows: Flows::build()?, config: Mutex::new(config) })
    }

    pub(crate) fn config(&self) -> Config {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this program knows everything that a writer must know here.
    pub(crate) fn check_writable(&self) -> Result<()> {
        gate(self.config().features.unknown_to_writers())
    }

    /// Reads `config.json` again. A long-lived writer notices a changed gate, and a store that was taken away from under it, before it
    /// adds a workflow.
    pub(crate) async fn read_config_again(&self) -> Result<()> {
        let config = read_config(&self.objects).await?;
        let config = config.ok_or_else(|| Error::StoreMissing { location: self.location.clone() })?;
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        self.check_writable()
    }

    /// How flows run here.
    pub(crate) fn run(&self) -> Run {
        Run::new(Arc::new(EnvironmentTimer(self.objects.environment.clone())))
    }

    /// A wait before trying again after `lost` lost races: at random up to a limit that doubles from 2 ms to 250 ms, so that those
    /// who raced do not meet again.
    pub(crate) async fn back_off(&self, lost: u32) {
        let environment = &self.objects.environment;
        let limit = Duration::from_millis(2_u64.saturating_pow(lost.min(7)).min(250));
        environment.sleep(limit.mul_f64(environment.jitter())).await;
    }
}

pub(super) fn gate(unknown: Vec<String>) -> Result<()> {
    if unknown.is_empty() { Ok(()) } else { Err(Error::MissingFeatures { features: unknown }) }
}

pub(super) async fn read_config(objects: &Objects) -> Result<Option<Config>> {
    let key = layout::config();
    let Some(object) = objects.get(&key).await? else { return Ok(None) };
    Config::decode(&object.bytes).map(Some).map_err(|source| unreadable(&key, source))
}

/// The flow runner's clock is the store's.
struct EnvironmentTimer(Arc<dyn Environment>);

#[async_trait]
impl Timer for EnvironmentTimer {
    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }

    fn now(&self) -> Duration {
        self.0.monotonic()
    }

    fn jitter(&self) -> f64 {
        self.0.jitter()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("location", &self.location)
            .field("objects", &self.objects)
            .finish_non_exhaustive()
    }
}
