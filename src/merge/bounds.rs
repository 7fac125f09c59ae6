//! Limits for what may be compared or merged at once.

use crate::document::Document;

/// The maximum total size in bytes of the documents of one comparison, not counting equal ones: 4 MiB for
/// each of three.
///
/// A merge uses some 30 bytes of memory for each byte that it reads.
pub const MAX_COMPARED_BYTES: u64 = 12 << 20;

/// The maximum cost of a comparison, in bytes that are read. A document that is only large or only deep stays
/// far below. A document that is both, or whose keys come in another order at every level, is read again from
/// every level above.
pub const MAX_EFFORT: u64 = 512 << 20;

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
    /// They are nested too deeply for their size.
    #[error("the documents are nested too deeply for their size of {bytes} bytes to be compared")]
    Effort {
        /// Their total size.
        bytes: u64,
    },
}

/// Refuses comparisons that would take seconds and hundreds of MiB, before anything is read.
pub(super) fn check<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Result<(), TooMuch> {
    let (mut bytes, mut effort) = (0_u64, 0_u64);
    for document in documents {
        bytes = bytes.saturating_add(document.size());
        effort = effort.saturating_add(document.effort());
    }
    if bytes > MAX_COMPARED_BYTES {
        return Err(TooMuch::Bytes { bytes, limit: MAX_COMPARED_BYTES });
    }
    if effort > MAX_EFFORT { Err(TooMuch::Effort { bytes }) } else { Ok(()) }
}
