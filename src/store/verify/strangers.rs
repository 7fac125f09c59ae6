//! Finds files and objects in a store that do not belong to it: conflicted copies of sync tools, workflows
//! that were copied in by hand, other files.
//!
//! Such files are not read, moved or deleted. Common leftovers of file managers, editors and sync tools are
//! not reported.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::Path,
};

use pflow_backend::{Key, Prefix};

use super::{Finding, Severity, Store};
use crate::{
    Error, Remedy, Result,
    format::{WorkflowId, is_litter, keys},
};

/// How much to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Depth<'a> {
    /// Everywhere.
    Everything,
    /// All but the versions, of which there may be many. In a bucket, where a listing costs requests, only
    /// these names, which are those below `workflows/`.
    WithoutVersions(&'a [Key]),
}

impl Store {
    /// Finds the names that do not belong to this store. Names that are not valid keys are included.
    pub(in crate::store) async fn strangers(&self, depth: Depth<'_>) -> Result<Vec<Finding>> {
        let mut found = Vec::new();
        let names = match &self.shared.folder {
            Some(folder) => {
                let (folder, with_versions) = (folder.clone(), depth == Depth::Everything);
                let walking = tokio::task::spawn_blocking(move || walk(&folder, with_versions));
                let walked =
                    walking.await.map_err(|_| Error::Internal("a look at a folder stopped".to_owned()))?;
                found.extend(walked.closed.iter().map(|(folder, error)| closed(folder, error)));
                walked.names
            }
            None => self.names_of_objects(depth).await?,
        };
        let known: HashSet<&str> = names.iter().map(String::as_str).collect();
        for name in &names {
            if let Some(folder) = keys::folder_of_copy(name) {
                // Nearly every workflow has the file of its head beside its content. Otherwise the head may
                // be in the journal only, so it is read.
                if !WorkflowId::parse(folder).is_ok_and(|id| known.contains(keys::head(&id).as_str())) {
                    found.extend(self.judge_copied(name, folder).await?);
                }
            } else if !keys::is_ours(name) {
                found.push(stranger(name));
            }
        }
        found.extend(self.other_copies(&known).await?);
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Finds files and objects under names that the working copy would have if the format were another one.
    async fn other_copies(&self, names: &HashSet<&str>) -> Result<Vec<Finding>> {
        let objects = &self.shared.objects;
        let mut copies: BTreeMap<WorkflowId, Vec<&str>> = BTreeMap::new();
        for name in names {
            if let Some(id) = keys::folder_of_copy(name).and_then(|folder| WorkflowId::parse(folder).ok()) {
                copies.entry(id).or_default().push(name);
            }
        }
        let mut found = Vec::new();
        for (id, names) in copies {
            // A verification has read the heads a moment ago. Without it a single copy is taken for the right one.
            let head = match objects.known_head(&id) {
                Some(stored) => stored.head.clone(),
                None if names.len() == 1 => continue,
                None => match objects.head(&id).await {
                    Ok(stored) => stored.head,
                    // It is reported with the workflow.
                    Err(error) if error.spares_others() => continue,
                    Err(other) => return Err(other),
                },
            };
            if head.current.is_none() {
                continue;
            }
            let own = keys::copy_of(&head);
            found.extend(names.iter().filter(|name| **name != own.as_str()).map(|name| {
                // People put files there. In a bucket it is a request that landed late.
                let (reason, remedy) = if objects.traits.plain_files {
                    (format!("not the copy of this workflow, which is {own}; it is left alone"), None)
                } else {
                    (format!("left over; the copy of this workflow is {own}"), Some(Remedy::RemoveLeftovers))
                };
                Finding { key: (*name).to_owned(), severity: Severity::Notice, reason, remedy }
            }));
        }
        Ok(found)
    }

    async fn names_of_objects(&self, depth: Depth<'_>) -> Result<Vec<String>> {
        let backend = &self.shared.objects.backend;
        let keys = match depth {
            Depth::Everything => {
                // Clears the names that earlier listings skipped; they may be gone.
                drop(backend.passed_over());
                &self.shared.objects.keys(&Prefix::root()).await?
            }
            Depth::WithoutVersions(workflows) => workflows,
        };
        let names = keys.iter().map(Key::to_string).chain(backend.passed_over());
        Ok(names.filter(|name| !name.split('/').any(is_litter)).collect())
    }

    /// Judges a working copy. Its folder may be that of a workflow, or of a workflow that lost its head,
    /// which is damage and reported as such.
    async fn judge_copied(&self, name: &str, folder: &str) -> Result<Option<Finding>> {
        let reason = "a workflow that was put there by hand; no version of it is saved".to_owned();
        let id = match WorkflowId::parse(folder) {
            Ok(id) => {
                let objects = &self.shared.objects;
                let has_head = match objects.get(&keys::head(&id)).await {
                    Ok(head) => head.is_some(),
                    // A link or a folder, for example. Reading the head reports it.
                    Err(error) if error.is_of_one_object() => true,
                    Err(other) => return Err(other),
                };
                if has_head || !objects.keys(&keys::versions_of(&id)).await?.is_empty() {
                    return Ok(None);
                }
                Some(id)
            }
            Err(_) => match original(&format!("workflows/{folder}")) {
                Some(original) => return Ok(Some(conflicted(&format!("workflows/{folder}"), &original))),
                None => WorkflowId::resembling(folder),
            },
        };
        let remedy = id.map(|id| Remedy::SaveStranger { id, key: name.to_owned() });
        Ok(Some(Finding { key: name.to_owned(), severity: Severity::Notice, reason, remedy }))
    }
}

fn stranger(name: &str) -> Finding {
    // A duplicated folder is one finding, whatever it contains.
    let folders = name.match_indices('/').map(|(at, _)| name.get(..at).unwrap_or(name));
    for place in folders.chain([name]) {
        if let Some(original) = original(place) {
            return conflicted(place, &original);
        }
    }
    let reason = "not a file of this store; it is left alone".to_owned();
    Finding { key: name.to_owned(), severity: Severity::Notice, reason, remedy: None }
}

/// A folder that cannot be listed. If it contains an object of the store, reading that object gives a better
/// error.
fn closed(folder: &str, error: &io::Error) -> Finding {
    let key = if folder.is_empty() { ".".to_owned() } else { folder.to_owned() };
    Finding {
        key,
        severity: Severity::Notice,
        reason: format!("cannot be looked into: {error}"),
        remedy: None,
    }
}

fn conflicted(place: &str, original: &str) -> Finding {
    let reason =
        format!("a copy of {original} as sync tools and editors make it; compare the two, then move it away");
    Finding { key: place.to_owned(), severity: Severity::Notice, reason, remedy: None }
}

/// The object or folder of the store that this is a copy of, by the naming of a sync tool or file manager;
/// none if it is not such a copy.
fn original(place: &str) -> Option<String> {
    let (folder, name) = place.rsplit_once('/').map_or(("", place), |(folder, name)| (folder, name));
    let within = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    let is_ours = |place: &String| {
        keys::is_ours(place)
            || place
                .strip_prefix("workflows/")
                .or_else(|| place.strip_prefix("versions/"))
                .is_some_and(|id| WorkflowId::parse(id).is_ok())
    };
    if WorkflowId::parse(name).is_ok() && matches!(folder, "workflows" | "versions") {
        return None;
    }
    uncopied(name).into_iter().map(|name| within(&name)).find(is_ours)
}

/// The names that a copy may have had before it was renamed.
fn uncopied(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    // Syncthing: `name.sync-conflict-20240115-103000-ABCDEFG.ext`.
    if let Some((stem, rest)) = name.split_once(".sync-conflict-") {
        found.push(match rest.split_once('.') {
            Some((_, extension)) => format!("{stem}.{extension}"),
            None => stem.to_owned(),
        });
    }
    // Written beside a file by merges, editors and Resilio.
    for suffix in [".orig", ".rej", ".Conflict", "~", ".bak"] {
        found.extend(name.strip_suffix(suffix).map(str::to_owned));
    }
    found.extend(name.strip_prefix("Copy of ").map(str::to_owned));
    let whole = [(name, "")];
    for (stem, extension) in name.rsplit_once('.').into_iter().chain(whole) {
        let named =
            |stem: &str| if extension.is_empty() { stem.to_owned() } else { format!("{stem}.{extension}") };
        // Dropbox, Nextcloud, Seafile, Google Drive: `name (Ann's conflicted copy 2024-01-15).ext`,
        // `name (1).ext`.
        if let Some((before, _)) = stem.strip_suffix(')').and_then(|stem| stem.rsplit_once(" (")) {
            found.push(named(before));
        }
        // iCloud and Finder: `name 2.ext`, `name copy.ext`, `name copy 2.ext`; Windows: `name - Copy.ext`.
        let unnumbered = match stem.rsplit_once(' ') {
            Some((before, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                found.push(named(before));
                before
            }
            _ => stem,
        };
        for suffix in [" - Copy", " copy"] {
            found.extend(unnumbered.strip_suffix(suffix).map(named));
        }
        // ownCloud: `name_conflict-20240115-103000.ext`. OneDrive: `name-MACHINE.ext`.
        found.extend(stem.split_once("_conflict-").map(|(before, _)| named(before)));
        found.extend(stem.rsplit_once('-').map(|(before, _)| named(before)));
    }
    found
}

/// The result of walking a folder, with paths relative to it.
#[derive(Debug, Default)]
struct Walked {
    /// The files and links. Links are not followed.
    names: Vec<String>,
    /// Folders that could not be listed completely, and why.
    closed: Vec<(String, io::Error)>,
}

/// Walks everything below `folder`, except litter and the disk backend's own files.
fn walk(folder: &Path, with_versions: bool) -> Walked {
    let mut walked = Walked::default();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let mut look = || -> io::Result<()> {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let is_top = prefix.is_empty();
                if is_litter(&name)
                    || is_top && name.eq_ignore_ascii_case(".journal")
                    || is_top && name == "versions" && !with_versions
                {
                    continue;
                }
                let path = if is_top { name } else { format!("{prefix}/{name}") };
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push((entry.path(), path)),
                    Ok(_) => walked.names.push(path),
                    Err(error) if is_gone(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        match look() {
            Err(error) if !is_gone(&error) => walked.closed.push((prefix, error)),
            _ => {}
        }
    }
    walked
}

/// Another process removed the listed file, or replaced a folder with a file.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_distinguished_from_foreign_files() {
        for (name, of) in [
            ("workflows/w/metadata (conflicted copy).json", "workflows/w/metadata.json"),
            ("workflows/w/metadata (Anna's conflicted copy 2024-01-15).json", "workflows/w/metadata.json"),
            ("workflows/w/workflow.sync-conflict-20240115-103000-ABCDEFG.json", "workflows/w/workflow.json"),
            ("workflows/w/workflow 2.json", "workflows/w/workflow.json"),
            ("workflows/w/workflow copy.json", "workflows/w/workflow.json"),
            ("workflows/w/workflow - Copy.json", "workflows/w/workflow.json"),
            ("workflows/w/metadata-LAPTOP.json", "workflows/w/metadata.json"),
            ("workflows/w/metadata_conflict-20240115-103000.json", "workflows/w/metadata.json"),
            ("workflows/w/metadata.json.orig", "workflows/w/metadata.json"),
            ("workflows/w/workflow (SFConflict a@b 2024-01-15-10-30-00).lock", "workflows/w/workflow.lock"),
            ("config 2.json", "config.json"),
            ("ops/checkpoint (1)", "ops/checkpoint"),
            ("ops/checkpoint.sync-conflict-20240115-103000-ABCDEFG", "ops/checkpoint"),
            (
                "versions/w/000000000001-00000000000000000000000000 2",
                "versions/w/000000000001-00000000000000000000000000",
            ),
            ("workflows/w 2/metadata.json", "workflows/w"),
        ] {
            let finding = stranger(name);
            assert!(finding.reason.contains(&format!("a copy of {of} ")), "{name}: {}", finding.reason);
        }
        for name in
            ["notes.txt", "workflows/w/notes.md", "ops/pending/x", "workflows/w/other.json", "a/b (1).json"]
        {
            assert!(stranger(name).reason.contains("not a file of this store"), "{name}");
        }
    }

    #[test]
    fn keys_of_the_store_are_recognized() {
        for name in [
            "config.json",
            ".gitattributes",
            "ops/probe/x/y",
            "workflows/a/workflow.json",
            "workflows/a/workflow.lock",
            "ops/pending/a.000000000001.00000000000000000000000000.00000000000000000000000000.1",
            "ops/base/00000000000000000000000000",
        ] {
            assert!(keys::is_ours(name), "{name}");
        }
    }
}
