//! Reads documents, in a named format or in the one that is detected.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Body, Checked, ContentHash, Document, DocumentError, DocumentFormat, Extractor, MediaType, Metadata,
};

/// Limits for documents: their size and their depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum size in bytes.
    pub max_bytes: usize,
    /// The maximum number of nested arrays and objects, counting the root.
    pub max_depth: usize,
}

impl Limits {
    /// The depth that no document may exceed, whatever [`max_depth`](Self::max_depth) says. Documents are
    /// read by recursion: this many levels were measured to take less than 192 KiB of stack, and less than 1
    /// MiB in an unoptimised build. Threads usually have 2 MiB.
    pub const DEPTH_CEILING: usize = 256;

    /// 16 MiB and 128 levels.
    #[must_use]
    pub fn new() -> Self {
        Self { max_bytes: 16 << 20, max_depth: 128 }
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

    /// The limits for what was accepted once: only the depth that no document may exceed.
    pub(crate) fn of_stored() -> Self {
        Self { max_bytes: usize::MAX, max_depth: Self::DEPTH_CEILING }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

/// What a format knows of a document.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) metadata: Metadata,
    pub(super) body: Option<Body>,
}

/// Reads documents. [`Document::parse`] is the reader without a format and without an extractor.
///
/// ```
/// use pflow_store::document::{DocumentFormat, DocumentReader, MediaType};
///
/// let reader = DocumentReader::new().format(DocumentFormat::Opaque);
/// let document = reader.read("not a workflow of pflow")?;
/// assert_eq!(document.media_type(), MediaType::Opaque);
/// # Ok::<(), pflow_store::document::DocumentError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct DocumentReader {
    pub(crate) limits: Limits,
    format: Option<DocumentFormat>,
    extractor: Option<Arc<dyn Extractor>>,
}

impl DocumentReader {
    /// A reader with the default limits that detects the format.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the format; none if it is to be detected.
    #[must_use]
    pub fn format(mut self, format: impl Into<Option<DocumentFormat>>) -> Self {
        self.format = format.into();
        self
    }

    /// Sets the extractor.
    #[must_use]
    pub fn extractor(mut self, extractor: Arc<dyn Extractor>) -> Self {
        self.extractor = Some(extractor);
        self
    }

    /// A reader for a stored content of this media type, or for a person's edit of it.
    #[must_use]
    pub(crate) fn of_stored(&self, media_type: MediaType) -> Self {
        self.clone().format(DocumentFormat::of_stored(media_type))
    }

    /// Checks `bytes`, hashes them and extracts their metadata. The bytes are not changed.
    ///
    /// Time and memory are proportional to the size: some tenths of a second for 16 MiB. An async caller with
    /// large documents should call this on a thread that may block.
    ///
    /// # Errors
    ///
    /// The document is refused, with all reasons that can be found together; see [`DocumentError`].
    pub fn read(&self, bytes: impl Into<Bytes>) -> Result<Document, DocumentError> {
        let bytes = bytes.into();
        let (size, limit) = (bytes.len(), self.limits.max_bytes);
        if size > limit {
            return Err(DocumentError::TooLarge { size, limit });
        }
        let (format, facts) = match self.extracted(&bytes) {
            Some(facts) => (DocumentFormat::OtherJson, facts),
            None => {
                let format = self.format.unwrap_or_else(|| DocumentFormat::detect(&bytes));
                (format, format.rules().read(&bytes, &self.limits)?)
            }
        };
        let Facts { metadata, body } = facts;
        let (hash, reader) = (ContentHash::of(&bytes), self.clone().format(format));
        Ok(Document(Arc::new(Checked { bytes, hash, metadata, body, reader })))
    }

    /// Asks the extractor, if there is one and no format of pflow was named. None if the document is not one
    /// that it knows.
    fn extracted(&self, bytes: &Bytes) -> Option<Facts> {
        let extractor = self.extractor.as_ref()?;
        let may_be = match self.format {
            None => DocumentFormat::detect(bytes) == DocumentFormat::Json,
            Some(format) => format == DocumentFormat::OtherJson,
        };
        if !may_be {
            return None;
        }
        // If it breaks a general rule of JSON, it is read once more for the reason.
        let facts = DocumentFormat::OtherJson.rules().read(bytes, &self.limits).ok()?;
        let extracted = extractor.extract(std::str::from_utf8(bytes).ok()?)?;
        Some(Facts { metadata: extracted.into_metadata(), ..facts })
    }

    /// The format that was set.
    pub(super) fn named_format(&self) -> Option<DocumentFormat> {
        self.format
    }
}
