use std::sync::{Mutex, PoisonError};

use super::{Config, Objects, layout, unreadable};
use crate::{Error, Result};

/// What stands between a program and a store that a newer program has changed: the features in `config.json`.
#[derive(Debug)]
pub(crate) struct Gate {
    objects: Objects,
    location: String,
    /// As last read. Never held across an await.
    config: Mutex<Config>,
}

impl Gate {
    /// Lets a reader in who knows everything that a reader must know here.
    pub(crate) fn enter(objects: Objects, location: String, config: Config) -> Result<Self> {
        check(config.features.unknown_to_readers())?;
        Ok(Self { objects, location, config: Mutex::new(config) })
    }

    pub(crate) fn config(&self) -> Config {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// Whether this program knows everything that a writer must know here.
    pub(crate) fn check_writer(&self) -> Result<()> {
        check(self.config().features.unknown_to_writers())
    }

    /// The same by what `config.json` says now. A long-lived writer notices a changed gate, and a store that was taken away from under
    /// it, before it adds a workflow.
    pub(crate) async fn check_writer_again(&self) -> Result<()> {
        let config = read_config(&self.objects).await?;
        let config = config.ok_or_else(|| Error::StoreMissing { location: self.location.clone() })?;
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        self.check_writer()
    }
}

pub(crate) async fn read_config(objects: &Objects) -> Result<Option<Config>> {
    let key = layout::config();
    let Some(object) = objects.get(&key).await? else { return Ok(None) };
    Config::decode(&object.bytes).map(Some).map_err(|source| unreadable(&key, source))
}

fn check(unknown: Vec<String>) -> Result<()> {
    if unknown.is_empty() { Ok(()) } else { Err(Error::MissingFeatures { features: unknown }) }
}
