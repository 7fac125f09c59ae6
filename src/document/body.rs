//! What people wrote of a document, without the parts that programs write.

use serde_json::{Map, Value};

use super::{ContentHash, MediaType};

/// The part of a document that people wrote, and what programs noted beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    /// The hash of what people wrote, by rule 1 of `docs/format.md`.
    pub(crate) hash: ContentHash,
    /// The last values that programs noted, at most 512 bytes as JSON.
    pub(crate) statistics: Map<String, Value>,
}

impl Body {
    /// Finds the body in a content of this media type. None if the type has no such part, or if it cannot be
    /// found because the content is damaged.
    pub(crate) fn of(media_type: MediaType, _bytes: &[u8]) -> Option<Self> {
        match media_type {
            MediaType::Json | MediaType::OtherJson | MediaType::Opaque => None,
        }
    }
}
