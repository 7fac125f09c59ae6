//! Limits for what may be compared or merged at once.

use crate::document::Document;

/// The maximum total size in bytes of the documents of one comparison, not counting equal ones: three of
/// 16 MiB, the usual limit for a document.
pub const MAX_COMPARED_BYTES: u64 = 48 << 20;

/// The documents are too large to be compared at once. None of them was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TooMuch {
    /// Their total size is too large.
    #[error("the documents have {bytes} bytes together, {limit} can be compared at once")]
    Bytes {
        /// Their total size.
        bytes: u64,
        /// The allowed size.
        limit: u64,
    },
}

/// Refuses comparisons that would take seconds and hundreds of MiB, before anything is read.
pub(super) fn check<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Result<(), TooMuch> {
    let bytes = documents.into_iter().fold(0_u64, |bytes, document| bytes.saturating_add(document.size()));
    if bytes > MAX_COMPARED_BYTES { Err(TooMuch::Bytes { bytes, limit: MAX_COMPARED_BYTES }) } else { Ok(()) }
}
