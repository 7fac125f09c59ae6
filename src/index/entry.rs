use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    document::ContentHash,
    format::{Head, Operation, StoredMediaType, VersionId, VersionRecord, WorkflowId, generation},
};

/// What the index knows of a workflow: its current version without the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// The workflow.
    pub id: WorkflowId,
    /// Its current generation.
    #[serde(deserialize_with = "generation")]
    pub generation: u64,
    /// The id of that version.
    pub version_id: VersionId,
    /// Of the content; none if the workflow is deleted.
    pub hash: Option<ContentHash>,
    /// Of the content, in bytes.
    pub size: u64,
    /// Of the content.
    pub media_type: StoredMediaType,
    /// The name, from the document or from the save.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Words to find it by.
    pub tags: Arc<[Arc<str>]>,
    /// The types of its nodes, each once.
    pub nodes: Arc<[Arc<str>]>,
    /// The document's own idea of its version.
    pub version: Option<String>,
    /// When its first generation was made.
    pub created: DateTime<Utc>,
    /// When the current one was made.
    pub modified: DateTime<Utc>,
    /// Who made the current one.
    pub author: Arc<str>,
    /// Whether it is deleted.
    pub deleted: bool,
}

/// A version as a line of the operation history names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamedVersion {
    #[serde(deserialize_with = "generation")]
    pub(crate) generation: u64,
    pub(crate) version_id: VersionId,
    /// Of the content; none if it is a deletion.
    pub(crate) hash: Option<ContentHash>,
    /// Of the line in its version object.
    pub(crate) record_hash: ContentHash,
}

impl NamedVersion {
    pub(crate) fn of(record: &VersionRecord, record_hash: ContentHash) -> Self {
        let (generation, version_id) = (record.generation, record.version_id);
        Self { generation, version_id, hash: record.hash, record_hash }
    }
}

/// A version that a chain gained: one line of the operation history. It has what people filter a history by,
/// so that no version is read for that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gained {
    pub(crate) id: WorkflowId,
    #[serde(flatten)]
    pub(crate) version: NamedVersion,
    pub(crate) operation: Operation,
    /// When it was made.
    pub(crate) modified: DateTime<Utc>,
    /// `user@host`.
    pub(crate) author: String,
    pub(crate) message: Option<String>,
}

impl Gained {
    pub(crate) fn of(id: &WorkflowId, record: &VersionRecord, record_hash: ContentHash) -> Self {
        Self {
            id: id.clone(),
            version: NamedVersion::of(record, record_hash),
            operation: record.operation.clone(),
            modified: record.modified,
            author: record.author.clone(),
            message: record.message.clone(),
        }
    }
}

/// A version that a writer left ahead of the head and that a fold fenced: its swap can never happen. The
/// version itself stays, for `prune --unconfirmed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unconfirmed {
    pub(crate) id: WorkflowId,
    #[serde(flatten)]
    pub(crate) version: NamedVersion,
}

fn texts(texts: &[String]) -> Arc<[Arc<str>]> {
    texts.iter().map(|text| Arc::from(text.as_str())).collect()
}

impl Entry {
    /// The entry that a head gives; none for generation 0.
    pub(crate) fn of(head: &Head) -> Option<Self> {
        let record = &head.current.as_ref()?.record;
        Some(Self {
            id: head.id.clone(),
            generation: record.generation,
            version_id: record.version_id,
            hash: record.hash,
            size: record.size,
            media_type: record.media_type.clone(),
            name: record.name.value().clone(),
            description: record.description.value().clone(),
            tags: texts(record.tags.value()),
            nodes: texts(&record.nodes),
            version: record.version.clone(),
            created: record.created,
            modified: record.modified,
            author: record.author.as_str().into(),
            deleted: record.deleted,
        })
    }

    /// What to show: the name, or the id of a workflow that has none.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(self.id.as_str())
    }
}
