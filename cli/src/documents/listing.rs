use std::sync::Arc;

use chrono::{DateTime, Utc};
use pflow_store::{Entry, Unreadable};
use serde::Serialize;

/// The workflows that `list` or `search` found.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Listing<'a> {
    workflows: Vec<Listed<'a>>,
    unreadable: Vec<Unread<'a>>,
}

/// A workflow as the index has it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Listed<'a> {
    id: &'a str,
    generation: u64,
    version_id: &'a str,
    /// The hash of the content. Null if the workflow is deleted.
    hash: Option<String>,
    /// The size of the content in bytes.
    size: u64,
    media_type: &'a str,
    name: Option<&'a str>,
    description: Option<&'a str>,
    tags: Vec<&'a str>,
    /// The types of its nodes, each once.
    nodes: Vec<&'a str>,
    /// What the document calls its version.
    version: Option<&'a str>,
    /// When the first generation was made.
    created: DateTime<Utc>,
    /// When the current generation was made.
    modified: DateTime<Utc>,
    /// Who made the current generation.
    author: &'a str,
    deleted: bool,
}

/// A workflow that exists and cannot be read.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Unread<'a> {
    id: &'a str,
    /// `newer`, `damaged` or `inaccessible`.
    state: &'static str,
    reason: &'a str,
}

impl<'a> Listing<'a> {
    pub(crate) fn of(entries: &'a [Arc<Entry>], unreadable: &'a [Unreadable]) -> Self {
        let workflows = entries.iter().map(|entry| Listed::of(entry)).collect();
        Self { workflows, unreadable: Unread::all(unreadable) }
    }
}

impl<'a> Listed<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            id: entry.id.as_str(),
            generation: entry.generation,
            version_id: entry.version_id.as_str(),
            hash: entry.hash.map(|hash| hash.to_string()),
            size: entry.size,
            media_type: entry.media_type.as_str(),
            name: entry.name.as_deref(),
            description: entry.description.as_deref(),
            tags: entry.tags.iter().map(AsRef::as_ref).collect(),
            nodes: entry.nodes.iter().map(AsRef::as_ref).collect(),
            version: entry.version.as_deref(),
            created: entry.created,
            modified: entry.modified,
            author: &entry.author,
            deleted: entry.deleted,
        }
    }
}

impl<'a> Unread<'a> {
    pub(crate) fn all(unreadable: &'a [Unreadable]) -> Vec<Self> {
        let one =
            |it: &'a Unreadable| Self { id: it.id.as_str(), state: Self::state(it), reason: &it.reason };
        unreadable.iter().map(one).collect()
    }

    /// The word for what keeps a workflow from being read.
    pub(crate) fn state(unreadable: &Unreadable) -> &'static str {
        match unreadable.is_newer() {
            true => "newer",
            false if unreadable.is_damaged() => "damaged",
            false => "inaccessible",
        }
    }
}
