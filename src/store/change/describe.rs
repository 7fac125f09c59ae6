//! What is known of a document that is to be saved, before it is a version.

use serde_json::Map;

use crate::{
    document::Document,
    format::{Given, Operation, VersionId, VersionRecord},
};

/// A record of which only the description counts.
pub(super) type Described = VersionRecord;

/// What is known of a document that is saved over the version of `before`, with what the caller gives beside
/// it.
pub(super) fn describe(document: &Document, given: &Given, before: Option<&VersionRecord>) -> Described {
    describe_exactly(document, given.carried(document.metadata(), before.map(|record| &record.given)))
}

/// What is known of a document if exactly this is given beside it, now or before.
///
/// Invariant: each field of a record is what is given for it, else what the document says. So a record tells
/// where each comes from, and what the document drops is gone.
pub(super) fn describe_exactly(document: &Document, given: Given) -> Described {
    let own = document.metadata().clone();
    let text =
        |given: &Option<String>, own: Option<String>| given.clone().or(own).filter(|text| !text.is_empty());
    let (name, description) = (text(&given.name, own.name), text(&given.description, own.description));
    let tags = given.tags.clone().unwrap_or(own.tags);
    Described {
        generation: 0,
        version_id: VersionId::unnamed(),
        operation: Operation::SAVE,
        extra: Map::new(),
        parents: Vec::new(),
        hash: Some(document.hash()),
        size: document.size(),
        media_type: document.media_type().into(),
        name,
        description,
        tags,
        given,
        nodes: own.nodes,
        version: own.version,
        created: chrono::DateTime::UNIX_EPOCH,
        modified: chrono::DateTime::UNIX_EPOCH,
        author: String::new(),
        message: None,
        deleted: false,
    }
}

/// Whether a save of `next` over `current` would change anything: the content, what is known of it, or where
/// that comes from.
pub(super) fn says_the_same(current: &VersionRecord, next: &Described) -> bool {
    let key = |record: &VersionRecord| {
        let (name, description, tags) = (&record.name, &record.description, &record.tags);
        (
            record.hash,
            record.media_type.clone(),
            name.clone(),
            description.clone(),
            tags.clone(),
            record.given.clone(),
        )
    };
    key(current) == key(next)
}
