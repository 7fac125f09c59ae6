//! The metadata of a document that is about to be saved as a version.

use crate::{
    document::{ContentHash, Document},
    format::{Given, Operation, StoredMediaType, VersionRecord},
};

/// The metadata of a version's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) operation: Operation,
    /// None for a deletion.
    pub(crate) hash: Option<ContentHash>,
    pub(crate) size: u64,
    pub(crate) media_type: StoredMediaType,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) given: Given,
    pub(crate) nodes: Vec<String>,
    pub(crate) version: Option<String>,
}

impl Described {
    /// Returns the metadata in a version record.
    pub(crate) fn of(record: &VersionRecord) -> Self {
        let VersionRecord {
            operation,
            hash,
            size,
            media_type,
            name,
            description,
            tags,
            given,
            nodes,
            version,
            ..
        } = record.clone();
        Self { operation, hash, size, media_type, name, description, tags, given, nodes, version }
    }

    /// Returns the deletion of a workflow with this metadata.
    pub(crate) fn deletion(self) -> Self {
        Self { operation: Operation::DELETE, hash: None, size: 0, ..self }
    }

    pub(crate) fn is_deletion(&self) -> bool {
        self.hash.is_none()
    }

    /// Whether saving this over `current` changes nothing: not the content, not the metadata, and not where
    /// the metadata comes from.
    pub(crate) fn says_the_same_as(&self, current: &VersionRecord) -> bool {
        (self.hash, &self.media_type, &self.given) == (current.hash, &current.media_type, &current.given)
            && (&self.name, &self.description, &self.tags)
                == (&current.name, &current.description, &current.tags)
    }
}

/// Describes a document that is saved over a version with the given metadata `before`, with the metadata that
/// the caller gives now.
pub(super) fn describe(document: &Document, given: &Given, before: Option<&Given>) -> Described {
    describe_exactly(document, given.carried(document.metadata(), before))
}

/// Describes a document with exactly this given metadata, whether it is given now or was given before.
///
/// Invariant: each field of a record is the given value, or else the document's own. So a record shows where
/// each field comes from, and a field that the document drops is gone.
pub(super) fn describe_exactly(document: &Document, given: Given) -> Described {
    let own = document.metadata().clone();
    let text =
        |given: &Option<String>, own: Option<String>| given.clone().or(own).filter(|text| !text.is_empty());
    let (name, description) = (text(&given.name, own.name), text(&given.description, own.description));
    let tags = given.tags.clone().unwrap_or(own.tags);
    Described {
        operation: Operation::SAVE,
        hash: Some(document.hash()),
        size: document.size(),
        media_type: document.media_type().into(),
        name,
        description,
        tags,
        given,
        nodes: own.nodes,
        version: own.version,
    }
}
