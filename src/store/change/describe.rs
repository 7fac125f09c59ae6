//! The metadata of a document that is about to be saved as a version.

use crate::{
    document::{ContentHash, Document},
    format::{FieldChanges, Operation, SourcedFields, StoredMediaType, VersionRecord},
};

/// The metadata of a version's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) operation: Operation,
    /// None for a deletion.
    pub(crate) hash: Option<ContentHash>,
    pub(crate) size: u64,
    pub(crate) media_type: StoredMediaType,
    pub(crate) fields: SourcedFields,
    pub(crate) nodes: Vec<String>,
    pub(crate) version: Option<String>,
}

impl Described {
    /// Returns the metadata in a version record.
    pub(crate) fn of(record: &VersionRecord) -> Self {
        let fields = record.sourced_fields();
        let VersionRecord { operation, hash, size, media_type, nodes, version, .. } = record.clone();
        Self { operation, hash, size, media_type, fields, nodes, version }
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
        (self.hash, &self.media_type) == (current.hash, &current.media_type)
            && self.fields == current.sourced_fields()
    }
}

/// Describes a document that is saved with these changes of its fields over a version that has the fields
/// `before`.
pub(super) fn describe(
    document: &Document,
    changes: &FieldChanges,
    before: Option<&SourcedFields>,
) -> Described {
    let own = document.metadata();
    describe_exactly(
        document,
        SourcedFields {
            name: changes.name.over(own.name.clone(), before.map(|it| &it.name)),
            description: changes.description.over(own.description.clone(), before.map(|it| &it.description)),
            tags: changes.tags.over(own.tags.clone(), before.map(|it| &it.tags)),
        },
    )
}

/// Describes a document with these fields. The value of a derived one is that of the document.
///
/// Invariant: each field of a record is a given value, or else the document's own. So a field that the
/// document drops is gone.
pub(super) fn describe_exactly(document: &Document, fields: SourcedFields) -> Described {
    let own = document.metadata().clone();
    let fields = SourcedFields {
        name: fields.name.or_derived(own.name),
        description: fields.description.or_derived(own.description),
        tags: fields.tags.or_derived(own.tags),
    };
    Described {
        operation: Operation::SAVE,
        hash: Some(document.hash()),
        size: document.size(),
        media_type: document.media_type().into(),
        fields,
        nodes: own.nodes,
        version: own.version,
    }
}
