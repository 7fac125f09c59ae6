//! Decides what a location holds: a store (perhaps with a damaged `config.json`), another program's data, or
//! nothing.

use std::path::Path;

use futures::StreamExt;
use pflow_backend::{Key, Prefix};

use crate::{
    Error, Result,
    format::{Config, FormatError, keys},
    gate::read_config,
    repo::Objects,
};

/// How many names of a foreign location its error lists.
const NAMED: usize = 3;

/// Reads the config of the store, if there is one.
///
/// # Errors
/// [`Error::Foreign`] if `config.json` is another program's. If it cannot be parsed but objects that only a
/// store has are beside it, it is damaged, and the error says that instead.
pub(super) async fn own_config(objects: &Objects, location: &str) -> Result<Option<Config>> {
    match read_config(objects).await {
        Err(Error::Format { key, source }) if may_be_foreign(&source) => {
            if has_traces(objects).await? {
                return Err(Error::Format { key, source });
            }
            let reason = whose(&source, &first_names(objects).await?);
            Err(Error::Foreign { location: location.to_owned(), reason })
        }
        other => other,
    }
}

/// The error for a location that has data but no `config.json`: it is another program's, or a store that lost
/// its config.
pub(super) async fn without_config(objects: &Objects, location: String) -> Result<Error> {
    if has_traces(objects).await? {
        return Ok(missing_config());
    }
    Ok(foreign_names(location, &first_names(objects).await?))
}

fn missing_config() -> Error {
    let reason = "it is missing, but there are versions or an index of a store".to_owned();
    Error::Corrupt { key: keys::CONFIG.to_owned(), reason }
}

/// The same as [`without_config`] for a folder, which may contain files that are not objects.
pub(super) fn folder_without_config(location: String, folder: &Path) -> Error {
    if folder_has_traces(folder) {
        return missing_config();
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    foreign_names(location, &names)
}

fn foreign_names(location: String, names: &[String]) -> Error {
    let reason = match known_owner(names) {
        Some(owner) => format!("it is {owner}"),
        None => format!("it has {}, but no config.json of ours", listed(names)),
    };
    Error::Foreign { location, reason }
}

/// Whether a config that cannot be read may be another program's. A config with our `format` is ours.
fn may_be_foreign(source: &FormatError) -> bool {
    matches!(source, FormatError::OtherKind { .. } | FormatError::NotJson { .. })
}

/// Says who wrote a `config.json` without our `format`.
fn whose(source: &FormatError, names: &[String]) -> String {
    match (source, known_owner(names)) {
        (_, Some(owner)) => format!("it is {owner}"),
        (FormatError::OtherKind { found, .. }, None) if found.is_empty() => {
            "its config.json has no `format`, so another program wrote it; pflow's first storage had one like that".to_owned()
        }
        (source, None) => format!("its config.json is {source}"),
    }
}

/// The program that is recognized by its files.
fn known_owner(names: &[String]) -> Option<&'static str> {
    let has = |name: &str| names.iter().any(|it| it == name || it.starts_with(&format!("{name}/")));
    if has("settings.json") {
        Some("pflow's own folder, with its settings.json")
    } else if has(".git") || has("HEAD") && has("refs") {
        Some("a git repository")
    } else {
        None
    }
}

fn listed(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(NAMED).cloned().collect();
    if let Some(more) = names.len().checked_sub(NAMED).filter(|more| *more > 0) {
        shown.push(format!("{more} more"));
    }
    if shown.is_empty() { "something".to_owned() } else { shown.join(", ") }
}

/// Whether an object is none of a store: a probe or an `init` that was killed left it.
fn is_left_over(key: &Key) -> bool {
    keys::probes().contains(key) || keys::instances().contains(key)
}

/// The names at the top of the location, as far as they are objects or folders with objects, except leftovers.
async fn first_names(objects: &Objects) -> Result<Vec<String>> {
    const ENOUGH: usize = 1000;
    let mut listing = objects.backend.list(&Prefix::root(), None).take(ENOUGH);
    let mut names: Vec<String> = Vec::new();
    while let Some(listed) = listing.next().await {
        let key = listed.map_err(Error::Storage)?.key;
        if is_left_over(&key) {
            continue;
        }
        let top = key.as_str().split('/').next().unwrap_or_default();
        if names.last().is_none_or(|last| last != top) {
            names.push(top.to_owned());
        }
    }
    Ok(names)
}

/// Whether there is an object that only a store has: an index root or a version. Neither the seed nor pflow
/// has these.
pub(super) async fn has_traces(objects: &Objects) -> Result<bool> {
    if objects.get(&keys::index_root()).await?.is_some() {
        return Ok(true);
    }
    let mut listing = objects.backend.list(&keys::versions(), None);
    while let Some(listed) = listing.next().await {
        let key = listed.map_err(Error::Storage)?.key;
        if keys::workflow_of_version(&key).and_then(|id| keys::parse_version(&id, &key)).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The same for a folder that is not open yet. It may block.
pub(super) fn folder_has_traces(folder: &Path) -> bool {
    folder.join(keys::index_root().as_str()).is_file()
        || std::fs::read_dir(folder.join("versions")).is_ok_and(|mut entries| entries.next().is_some())
}

/// Whether there is anything except the disk backend's own files. The backend reports a folder that cannot be
/// read.
pub(super) fn holds_anything(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        !(name.eq_ignore_ascii_case(".journal") || name == "ops" && holds_only_probes(&entry.path()))
    })
}

/// Whether there are only leftovers of a probe that was killed before the store was created.
fn holds_only_probes(ops: &Path) -> bool {
    std::fs::read_dir(ops).is_ok_and(|entries| entries.flatten().all(|entry| entry.file_name() == "probe"))
}

#[cfg(feature = "fs")]
pub(super) fn holds_journal(folder: &Path) -> bool {
    folder.join(".journal/journal").symlink_metadata().is_ok_and(|it| it.len() > 0)
}

pub(super) fn holds_config(folder: &Path) -> bool {
    folder.join(keys::CONFIG).symlink_metadata().is_ok()
}

/// Whether there is no object except leftovers of a probe or an `init` that was killed.
pub(super) async fn is_empty(objects: &Objects) -> Result<bool> {
    let mut listing = objects.backend.list(&Prefix::root(), None);
    while let Some(listed) = listing.next().await {
        if !is_left_over(&listed.map_err(Error::Storage)?.key) {
            return Ok(false);
        }
    }
    Ok(true)
}
