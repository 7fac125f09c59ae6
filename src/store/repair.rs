//! Making what stands around the workflows of a store anew: `config.json`, and the files for git.

use pflow_backend::Operation;

use super::{
    Location, Store, StoreOptions,
    open::existing,
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

/// What a repair made anew. Nothing of it is a workflow, a version or a lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repaired {
    /// The fields of `config.json` that could not be read, each with what became of it. Empty if the config
    /// was sound.
    pub config: Vec<String>,
    /// Where the damaged `config.json` is kept, as a key.
    pub kept: Option<String>,
    /// Files that were missing and are there now.
    pub added: Vec<String>,
}

impl Store {
    /// Opens a store, and makes its `config.json` anew if that is damaged or missing: from what can be read
    /// of it, the store id included. The damaged bytes are kept beside it. Also adds the files for git that
    /// an earlier program did not write.
    ///
    /// # Errors
    /// As [`Store::open_url`]. A place without anything that only a store of ours has is not touched, nor is
    /// a newer program's, also where what is left of its `config.json` only names its format.
    pub async fn repair_location(location: &Location, options: StoreOptions) -> Result<(Self, Repaired)> {
        let backend = existing(location, &options).await?;
        let objects = Objects::new(backend.clone(), options.environment.clone());
        let mut repaired = Repaired::default();
        let damaged = match own_config(&objects, &location.to_string()).await {
            Ok(Some(_)) => false,
            Ok(None) if is_empty(&objects).await? => {
                return Err(Error::StoreMissing { location: location.to_string() });
            }
            Ok(None) => match without_config(&objects, location.to_string()).await? {
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
        let store = Self::open_at(backend, options, location.to_string()).await?.in_folder(location);
        store.shared.gate.check_writer()?;
        repaired.added = repository::add_missing(&objects).await?;
        Ok((store, repaired))
    }
}

/// Swaps a new config in for the damaged one that was read. Two who repair at the same time: one of them is
/// told of the other.
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
        // Before the config is replaced, so that a crash in between loses nothing.
        around.before.push(Operation::put(kept, object.bytes));
    }
    let swapped = swap(objects, key.clone(), encoded, named.as_ref(), around).await;
    if !swapped.landed(|| format!("the repair of {key}"))? {
        let reason = "it changed while it was being repaired".to_owned();
        return Err(Error::Corrupt { key: key.to_string(), reason });
    }
    repaired.config = salvaged.rebuilt;
    Ok(())
}
