//! What is known of a document that is to be saved, before it is a version.

use serde_json::Map;

use super::Fields;
use crate::{
    document::Document,
    stored::{Operation, VersionId, VersionRecord},
};

/// A record of which only the description counts.
pub(super) type Described = VersionRecord;

/// What is known of a document: what the caller says of it, else what it says itself, else what was known before.
pub(super) fn describe(document: &Document, fields: &Fields, before: Option<&VersionRecord>) -> Described {
    let own = document.metadata().clone();
    let name = fields.name.clone().or(own.name).or_else(|| before.and_then(|before| before.name.clone()));
    let description = fields
        .description
        .clone()
        .or(own.description)
        .or_else(|| before.and_then(|before| before.description.clone()));
    let own_tags = Some(own.tags).filter(|tags| !tags.is_empty());
    let tags = fields.tags.clone().or(own_tags).or_else(|| before.map(|before| before.tags.clone()));
    Described {
        generation: 0,
        version_id: VersionId::unnamed(),
        operation: Operation::SAVE,
        extra: Map::new(),
        parents: Vec::new(),
        hash: Some(document.hash()),
        size: document.size(),
        media_type: document.media_type(),
        // An empty text takes away what was there.
        name: name.filter(|name| !name.is_empty()),
        description: description.filter(|description| !description.is_empty()),
        tags: tags.unwrap_or_default(),
        nodes: own.nodes,
        version: own.version,
        created: chrono::DateTime::UNIX_EPOCH,
        modified: chrono::DateTime::UNIX_EPOCH,
        author: String::new(),
        message: None,
        deleted: false,
    }
}

pub(super) fn says_the_same(current: &VersionRecord, next: &Described) -> bool {
    let key = |record: &VersionRecord| {
        (record.hash, record.name.clone(), record.description.clone(), record.tags.clone(), record.media_type)
    };
    key(current) == key(next)
}
