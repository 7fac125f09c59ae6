//! One workflow document: kept byte for byte, validated, hashed, with its metadata extracted.
//!
//! A document is bare IR (`nodes` at the top), a saved workflow that wraps it (`ir` is an object), or any
//! other JSON object. Only the fields that a document has are checked, unless complete IR is required
//! ([`Strictness::Ir`]); unknown keys are kept. Null counts as absent. The rules:
//!
//! - UTF-8 without a byte order mark, JSON (RFC 8259) with an object at the root, no object with a duplicate
//!   key, within [`Limits`].
//! - `nodes` is an array of objects, each with a non-empty, unique string `id` and a non-empty string `type`;
//!   `params` is an object.
//! - `edges` is an array of objects whose `from` and `to` are the ids of nodes; `action` and `condition` are
//!   strings. Cycles are legal.
//! - `start_node` is the id of a node; `ir_version` is a string of the form `N.N.N`.
//! - `name` and `description` are strings, `tags` is an array of strings, `version` a string or a number.
//!
//! The rules for the graph apply at the top and in `ir`, those for the descriptive fields in `metadata` too.

mod check;
mod content_hash;
mod defects;
mod error;
mod media_type;
mod metadata;
mod outline;
mod place;
mod read;
mod scan;
mod syntax;
mod syntax_error;
mod typed;

use std::fmt;

use bytes::Bytes;

pub use content_hash::{ContentHash, InvalidContentHash};
pub use defects::MAX_DEFECTS;
pub use error::{Defect, DocumentError, Reason};
pub use media_type::MediaType;
pub(crate) use metadata::written_bytes;
pub use metadata::{
    MAX_DESCRIPTION_BYTES, MAX_NAME_BYTES, MAX_NODE_TYPE_BYTES, MAX_NODE_TYPES, MAX_NODES_BYTES,
    MAX_TAG_BYTES, MAX_TAGS, MAX_TAGS_BYTES, MAX_VERSION_BYTES, Metadata,
};
pub(crate) use place::{is_identifier, quoted};
pub use syntax_error::SyntaxError;
pub(crate) use typed::why_not_read;

use check::Check;

/// A workflow document that was checked. Cloning is cheap: the bytes are shared.
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
pub struct Document {
    bytes: Bytes,
    hash: ContentHash,
    media_type: MediaType,
    metadata: Metadata,
    effort: u64,
}

/// Limits for documents: their size, their depth, and how much of the IR they must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum size in bytes.
    pub max_bytes: usize,
    /// The maximum number of nested arrays and objects, counting the root.
    pub max_depth: usize,
    /// How much of the IR a document must have.
    pub strictness: Strictness,
}

impl Limits {
    /// The depth that no document may exceed, whatever [`max_depth`](Self::max_depth) says. Documents are
    /// read by recursion: this many levels were measured to take less than 192 KiB of stack, and less than 1
    /// MiB in an unoptimised build. Threads usually have 2 MiB.
    pub const DEPTH_CEILING: usize = 256;

    /// 16 MiB, 128 levels, and [`Strictness::Plain`].
    #[must_use]
    pub fn new() -> Self {
        Self { max_bytes: 16 << 20, max_depth: 128, strictness: Strictness::Plain }
    }

    /// Sets the field of this name.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets the field of this name, up to [`DEPTH_CEILING`](Self::DEPTH_CEILING).
    #[must_use]
    pub fn max_depth(mut self, levels: usize) -> Self {
        self.max_depth = levels.min(Self::DEPTH_CEILING);
        self
    }

    /// Sets the field of this name.
    #[must_use]
    pub fn strictness(mut self, strictness: Strictness) -> Self {
        self.strictness = strictness;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

/// How much of the IR a document must have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strictness {
    /// Only existing fields are checked.
    #[default]
    Plain,
    /// `ir_version` and at least one node are required. The version may be in the wrapper.
    Ir,
}

impl Document {
    /// Checks `bytes`, hashes them and extracts their metadata. The bytes are not changed.
    ///
    /// Time and memory are proportional to the size: some tenths of a second for 16 MiB. An async caller with
    /// large documents should call this on a thread that may block.
    ///
    /// # Errors
    ///
    /// The document is refused, with all reasons that can be found together; see [`DocumentError`].
    pub fn parse(bytes: impl Into<Bytes>, limits: &Limits) -> Result<Self, DocumentError> {
        let bytes = bytes.into();
        let (size, limit) = (bytes.len(), limits.max_bytes);
        if size > limit {
            return Err(DocumentError::TooLarge { size, limit });
        }
        let mut check = Check::new();
        let max_depth = limits.max_depth;
        let (root, effort) = read::read(decode(&bytes)?, max_depth, &mut check)?;
        let metadata = check.finish(&root, limits.strictness)?;
        let hash = ContentHash::of(&bytes);
        Ok(Self { bytes, hash, media_type: MediaType::Json, metadata, effort })
    }

    /// The exact bytes of the document.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The hash of [`bytes`](Self::bytes).
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    /// The format.
    pub fn media_type(&self) -> MediaType {
        self.media_type
    }

    /// The metadata of the document.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The cost of comparing the document with another one, in bytes that may be read: for each array and
    /// object its size, multiplied by its depth.
    pub(crate) fn effort(&self) -> u64 {
        self.effort
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// Omits the content, which may be long and may contain secrets.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("hash", &self.hash)
            .field("size", &self.size())
            .field("media_type", &self.media_type)
            .field("metadata", &self.metadata)
            .finish()
    }
}

fn decode(bytes: &[u8]) -> Result<&str, DocumentError> {
    const MARKS: [(&[u8], &str); 3] =
        [(b"\xEF\xBB\xBF", "UTF-8"), (b"\xFF\xFE", "UTF-16LE"), (b"\xFE\xFF", "UTF-16BE")];
    if let Some((_, encoding)) = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        return Err(DocumentError::ByteOrderMark { encoding });
    }
    std::str::from_utf8(bytes).map_err(|error| {
        if let Some(encoding) = syntax::unmarked_encoding(bytes) {
            return DocumentError::Syntax { line: 1, column: 1, reason: SyntaxError::Encoding { encoding } };
        }
        let offset = error.valid_up_to();
        let before = bytes.get(..offset).map(String::from_utf8_lossy).unwrap_or_default();
        let (line, column) = syntax::position(&before);
        DocumentError::NotUtf8 { line, column, offset, truncated: error.error_len().is_none() }
    })
}

/// Says why `bytes` are not JSON, as the error for a refused document; none if they are.
pub(crate) fn why_not_json(bytes: &[u8]) -> Option<DocumentError> {
    let read = |text| read::read(text, Limits::DEPTH_CEILING, &mut Check::new()).map(drop);
    decode(bytes).and_then(read).err()
}
