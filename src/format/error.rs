use crate::document::DocumentError;

/// Why stored bytes cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Not JSON, or truncated.
    #[error("not JSON, where a document of the form {expected} was expected: {reason}")]
    NotJson {
        /// The `format` that was expected.
        expected: String,
        /// Where and why.
        reason: DocumentError,
    },
    /// JSON that does not have the structure of this kind of document.
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
        /// The one that was found; empty if there is none.
        found: String,
    },
    /// A newer program wrote it.
    #[error("the format is {found}, this program knows up to {known}: use a newer pflow-store")]
    TooNew {
        /// The `format` that was found.
        found: String,
        /// The newest format that this program knows.
        known: String,
    },
    /// The content has a media type that a newer program added.
    #[error("the media type is {found}, which this program does not know: use a newer pflow-store")]
    UnknownMediaType {
        /// The media type that was found.
        found: String,
    },
    /// The checksum that every document of this kind must have is missing.
    #[error("it has no checksum: its end was changed or cut off")]
    NoChecksum,
    /// The content does not match its checksum.
    #[error("its checksum does not fit its content: it was changed by something other than this program")]
    Checksum,
    /// The fields contradict each other, or the object that they describe.
    #[error("{0}")]
    Contradiction(String),
}

impl FormatError {
    /// Whether a newer program wrote this. This is not damage, and the object must not be treated as lost.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::TooNew { .. } | Self::UnknownMediaType { .. })
    }
}
