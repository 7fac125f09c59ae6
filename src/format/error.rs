use crate::document::DocumentError;

/// Why stored bytes are not what they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Not JSON, or cut off.
    #[error("not JSON, where a document of the form {expected} was expected: {reason}")]
    NotJson {
        /// The `format` that was expected.
        expected: String,
        /// Where and why.
        reason: DocumentError,
    },
    /// Not of the form that this kind of document has.
    #[error("not a document of the form {expected}: {reason}")]
    Malformed {
        /// The `format` that was expected.
        expected: String,
        /// Where and why.
        reason: String,
    },
    /// JSON, but of another kind, or without a `format`.
    #[error("{}, expected {expected:?}", if .found.is_empty() { "it has no format".to_owned() } else { format!("the format is {found:?}") })]
    OtherKind {
        /// The `format` that was expected.
        expected: String,
        /// The one that stands there; empty if there is none.
        found: String,
    },
    /// A later program wrote it.
    #[error("the format is {found}, this program knows up to {known}: use a newer pflow-store")]
    TooNew {
        /// The `format` that stands there.
        found: String,
        /// The newest that is known here.
        known: String,
    },
    /// The content is in a format that a later program added.
    #[error("the media type is {found}, this program knows {known}: use a newer pflow-store")]
    UnknownMediaType {
        /// The one that stands there.
        found: String,
        /// Those that are known here.
        known: String,
    },
    /// The checksum that every document of this kind has is not there.
    #[error("it has no checksum: its end was changed or cut off")]
    NoChecksum,
    /// The content is not the one that the checksum was made of.
    #[error("its checksum does not fit its content: it was changed by something other than this program")]
    Checksum,
    /// The fields contradict each other, or what they should describe.
    #[error("{0}")]
    Contradiction(String),
}

impl FormatError {
    /// Whether a newer program wrote this. It is no damage, and must not be taken for lost.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::TooNew { .. } | Self::UnknownMediaType { .. })
    }
}
