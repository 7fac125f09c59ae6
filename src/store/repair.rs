//! Repairs the objects of a store that belong to no workflow: `config.json`, and the files for git.

use pflow_backend::Operation;

use super::{
    Store,
    open::Opening,
    place::{is_empty, own_config, without_config},
    repository,
};
use crate::{
    Error, ErrorKind, Result,
    document::ContentHash,
    format::{Config, keys},
    register::{Around, swap},
    repo::{Objects, unreadable},
};

/// What a repair rebuilt or added. No workflow, version or lock is among it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Repaired {
    /// The fields of `config.json` that could not be read, each with what happened to it. Empty if the config
    /// was intact.
    pub config: Vec<String>,
    /// The key under which the damaged `config.json` is kept.
    pub kept: Option<String>,
    /// Files that were missing and were added.
    pub added: Vec<String>,
}

impl Opening {
    /// Opens the store, and rebuilds its config if that is damaged or missing.
    pub(super) async fn repair(self) -> Result<(Store, Repaired)> {
        let (objects, location) = (self.objects.clone(), self.location.clone());
        let mut repaired = Repaired::default();
        let damaged = match own_config(&objects, &location).await {
            Ok(Some(_)) => false,
            Ok(None) if is_empty(&objects).await? => return Err(Error::StoreMissing { location }),
            Ok(None) => match without_config(&objects, location).await? {
                Error::Corrupt { .. } => true,
                foreign => return Err(foreign),
            },
            Err(error @ (Error::Format { .. } | Error::Corrupt { .. }))
                if error.kind() == ErrorKind::Corrupt =>
            {
                true
            }
            Err(other) => return Err(other),
        };
        if damaged {
            rebuild(&objects, &mut repaired).await?;
        }
        let store = self.open().await?;
        store.shared.gate.check_writer()?;
        repaired.added = repository::add_missing(&objects).await?;
        Ok((store, repaired))
    }
}

/// Swaps a new config in for the damaged one that was read. If two clients repair at the same time, one of
/// them gets an error.
async fn rebuild(objects: &Objects, repaired: &mut Repaired) -> Result<()> {
    let key = keys::config();
    let damaged = objects.get(&key).await?;
    let bytes = damaged.as_ref().map(|object| object.bytes.clone()).unwrap_or_default();
    let new = Config::new(objects.environment.new_id(), objects.now());
    let salvaged = Config::salvage(&bytes, new).map_err(|source| unreadable(&key, source))?;
    let encoded = salvaged.config.encode().map_err(|source| unreadable(&key, source))?;
    let named = damaged.as_ref().map(|object| object.meta.version.clone());
    let mut around = Around::default();
    if let Some(object) = damaged {
        let kept = keys::odd_config(ContentHash::of(&object.bytes));
        repaired.kept = Some(kept.to_string());
        // Written before the config is replaced, so that a crash in between loses nothing.
        around.before.push(Operation::put(kept, object.bytes));
    }
    let swapped = swap(objects, key.clone(), encoded, named.as_ref(), around).await;
    if !swapped.did_land(|| format!("the repair of {key}"))? {
        let reason = "it changed while it was being repaired".to_owned();
        return Err(Error::Corrupt { key: key.to_string(), reason });
    }
    repaired.config = salvaged.rebuilt;
    Ok(())
}
