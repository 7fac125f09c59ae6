//! The metadata of a document that is about to be saved as a version.

use serde_json::{Map, Value};

use crate::{
    document::{ContentHash, Document},
    format::{BodyHash, FieldChanges, Operation, SourcedFields, StoredMediaType, VersionRecord},
    store::copy::EditedCopy,
};

/// The metadata of a version's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) operation: Operation,
    /// None for a deletion.
    pub(crate) hash: Option<ContentHash>,
    pub(crate) size: u64,
    pub(crate) media_type: StoredMediaType,
    pub(crate) body: Option<BodyHash>,
    /// What programs noted last: in the content, or else in the working copy of the version before.
    pub(crate) statistics: Map<String, Value>,
    pub(crate) fields: SourcedFields,
    pub(crate) nodes: Vec<String>,
    pub(crate) version: Option<String>,
}

impl Described {
    /// Returns the metadata in a version record.
    pub(crate) fn of(record: &VersionRecord) -> Self {
        let fields = record.sourced_fields();
        let VersionRecord { operation, hash, size, media_type, body, statistics, nodes, version, .. } =
            record.clone();
        Self { operation, hash, size, media_type, body, statistics, fields, nodes, version }
    }

    /// Returns the deletion of a workflow with this metadata.
    pub(crate) fn deletion(self) -> Self {
        Self { operation: Operation::DELETE, hash: None, size: 0, body: None, ..self }
    }

    pub(crate) fn is_deletion(&self) -> bool {
        self.hash.is_none()
    }

    /// Whether saving this over `current` changes nothing: not what people wrote in the content, not the
    /// metadata, and not where the metadata comes from.
    pub(crate) fn says_the_same_as(&self, current: &VersionRecord) -> bool {
        self.media_type == current.media_type
            && (self.hash == current.hash || self.has_body_of(current.body.as_ref()))
            && self.fields == current.sourced_fields()
    }

    /// Whether the content and `other` have the same body, found by the same rule.
    fn has_body_of(&self, other: Option<&BodyHash>) -> bool {
        let same = |(own, other): (&BodyHash, &BodyHash)| (own.rule, own.hash) == (other.rule, other.hash);
        self.body.as_ref().zip(other).is_some_and(same)
    }

    /// Whether a file that a person wrote has the same content, as far as people wrote it.
    pub(crate) fn is_in(&self, file: &EditedCopy) -> bool {
        let body = self.body.as_ref().filter(|body| body.rule == BodyHash::RULE).map(|body| body.hash);
        Some(file.hash) == self.hash || (body.is_some() && body == file.body)
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
        body: document.body().map(|body| BodyHash::new(body.hash)),
        statistics: document.body().map(|body| body.statistics.clone()).unwrap_or_default(),
        fields,
        nodes: own.nodes,
        version: own.version,
    }
}
