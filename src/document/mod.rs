//! One workflow document: kept byte for byte, validated, hashed, with its metadata extracted.
//!
//! A document has a [format](DocumentFormat): pflow's [markdown], JSON of pflow, JSON of another tool, or
//! any bytes. Without a named format it is detected. The rules for JSON of pflow:
//!
//! - UTF-8 without a byte order mark, JSON (RFC 8259) with an object at the root, no object with a
//!   duplicate key, within [`Limits`]. These rules apply to the JSON of other tools as well.
//! - It is bare IR (`nodes` at the top), a saved workflow that wraps it (`ir` is an object), or any other
//!   object. Only the fields that a document has are checked, unless complete IR is required
//!   ([`DocumentFormat::Ir`]); unknown keys are kept. Null counts as absent.
//! - `nodes` is an array of objects, each with a non-empty, unique string `id` and a non-empty string
//!   `type`; `params` is an object.
//! - `edges` is an array of objects whose `from` and `to` are the ids of nodes; `action` and `condition`
//!   are strings. Cycles are legal.
//! - `start_node` is the id of a node; `ir_version` is a string of the form `N.N.N`.
//! - `name` and `description` are strings, `tags` is an array of strings, `version` a string or a number.
//!
//! The rules for the graph apply at the top and in `ir`, those for the descriptive fields in `metadata`
//! too.

mod body;
mod content_hash;
mod defects;
mod error;
mod extractor;
mod formats;
mod json;
pub mod markdown;
mod media_type;
mod metadata;
mod place;
mod reader;
mod syntax_error;
mod typed;
mod yaml;

use std::{fmt, sync::Arc};

use bytes::Bytes;

pub(crate) use body::{Body, is_volatile};
pub use content_hash::{ContentHash, InvalidContentHash};
pub use defects::MAX_DEFECTS;
pub use error::{Defect, DocumentError, Reason};
pub use extractor::{Extracted, Extractor};
pub use formats::{DocumentFormat, UnknownFormat};
pub use media_type::MediaType;
pub(crate) use metadata::written_bytes;
pub use metadata::{
    MAX_DESCRIPTION_BYTES, MAX_NAME_BYTES, MAX_NODE_TYPE_BYTES, MAX_NODE_TYPES, MAX_NODES_BYTES,
    MAX_TAG_BYTES, MAX_TAGS, MAX_TAGS_BYTES, MAX_VERSION_BYTES, Metadata,
};
pub(crate) use place::{is_identifier, quoted};
pub use reader::{DocumentReader, Limits};
pub use syntax_error::SyntaxError;
pub(crate) use typed::why_not_read;

/// A document that was checked. Cloning is cheap: everything is shared.
///
/// ```
/// use pflow_store::document::{Document, Limits};
///
/// let text = r#"{ "name": "greet", "nodes": [ { "id": "hello", "type": "echo" } ] }"#;
/// let document = Document::parse(text, &Limits::default())?;
/// assert_eq!(document.bytes(), text.as_bytes());
/// assert_eq!(document.metadata().name.as_deref(), Some("greet"));
/// assert_eq!(document.metadata().nodes, ["echo"]);
///
/// let text = r#"{ "nodes": [], "start_node": "hello" }"#;
/// let refused = Document::parse(text, &Limits::default()).unwrap_err();
/// assert_eq!(refused.to_string(), r#"start_node: no node has the id "hello""#);
/// # Ok::<(), pflow_store::document::DocumentError>(())
/// ```
#[derive(Clone)]
pub struct Document(Arc<Checked>);

/// A document and what is known of it.
struct Checked {
    bytes: Bytes,
    hash: ContentHash,
    metadata: Metadata,
    body: Option<Body>,
    /// How it was read, with its format named.
    reader: DocumentReader,
}

impl Document {
    /// Reads a document of any format; see [`DocumentReader::read`].
    ///
    /// # Errors
    ///
    /// The document is refused, with all reasons that can be found together; see [`DocumentError`].
    pub fn parse(bytes: impl Into<Bytes>, limits: &Limits) -> Result<Self, DocumentError> {
        DocumentReader::new().limits(*limits).read(bytes)
    }

    /// Reads another document in the format of this one.
    pub(crate) fn read_like_this(
        &self,
        bytes: impl Into<Bytes>,
        limits: &Limits,
    ) -> Result<Self, DocumentError> {
        self.0.reader.clone().limits(*limits).read(bytes)
    }

    /// The exact bytes of the document.
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// The hash of [`bytes`](Self::bytes).
    pub fn hash(&self) -> ContentHash {
        self.0.hash
    }

    /// The format.
    pub fn format(&self) -> DocumentFormat {
        self.0.reader.named_format().unwrap_or(DocumentFormat::Opaque)
    }

    /// The media type of the format.
    pub fn media_type(&self) -> MediaType {
        self.format().media_type()
    }

    /// What people wrote of it, if programs write other parts.
    pub(crate) fn body(&self) -> Option<&Body> {
        self.0.body.as_ref()
    }

    /// The metadata of the document.
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.0.bytes.len() as u64
    }
}

/// Omits the content, which may be long and may contain secrets.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("hash", &self.0.hash)
            .field("size", &self.size())
            .field("format", &self.format())
            .field("metadata", &self.0.metadata)
            .finish()
    }
}

/// Says why `bytes` are not JSON, as the error for a refused document; none if they are.
pub(crate) fn why_not_json(bytes: &[u8]) -> Option<DocumentError> {
    json::why_not_json(bytes)
}
