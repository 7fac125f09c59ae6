use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::Key;

/// A backend's token for the present bytes of a key: an ETag, a generation, a hash.
///
/// It **differs whenever the bytes differ**, among all bytes that the key ever had, also before a delete. So
/// a count in the row of a table, which starts again when the row is deleted, is no version; a sequence of
/// the whole table or [`of_content`](Self::of_content) is one.
///
/// It may repeat for the same bytes (many servers derive it from the content). So a caller that must detect
/// "changed and changed back" puts a unique value into every body that it writes under a condition. The token
/// is opaque: compare it, never parse it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(Arc<str>);

impl Version {
    /// Takes the backend's own token.
    pub fn new(token: impl Into<Arc<str>>) -> Self {
        Self(token.into())
    }

    /// The version for backends without a token of their own: the SHA-256 of the bytes, in lowercase hex.
    pub fn of_content(bytes: &[u8]) -> Self {
        Self(base16ct::lower::encode_string(&Sha256::digest(bytes)).into())
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({})", self.0)
    }
}

/// The metadata of an object, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// The object's name.
    pub key: Key,
    /// Its length in bytes.
    pub size: u64,
    /// The version of its present bytes.
    pub version: Version,
    /// When it was written, according to the storage. For display and courtesy; **safety must not depend on
    /// it**.
    pub modified: DateTime<Utc>,
}

impl Meta {
    /// The metadata of one state of an object.
    pub fn new(key: Key, size: u64, version: Version, modified: DateTime<Utc>) -> Self {
        Self { key, size, version, modified }
    }
}

/// An object: all its bytes, and the metadata of exactly these bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Object {
    /// Name, size, version and time of `bytes`.
    pub meta: Meta,
    /// The content.
    pub bytes: Bytes,
}

impl Object {
    /// An object with the metadata of exactly these bytes.
    pub fn new(meta: Meta, bytes: impl Into<Bytes>) -> Self {
        Self { meta, bytes: bytes.into() }
    }

    /// The bytes of `range`, as [`crate::StorageBackend::get_range`] answers them.
    pub fn excerpt(&self, range: Range<u64>) -> Excerpt {
        let size = self.bytes.len() as u64;
        let within = Excerpt::within(&range, size);
        // Both ends are at most the length of the bytes.
        let [start, end] = [within.start, within.end].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        Excerpt::new(self.bytes.slice(start..end), size, Some(self.meta.version.clone()))
    }
}

/// Some consecutive bytes of one version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Excerpt {
    /// The bytes of the range that was asked for, as far as the object has them.
    pub bytes: Bytes,
    /// The length of the whole object in bytes.
    pub size: u64,
    /// The version that the bytes are of; none if the backend would have to read the whole object for it.
    pub version: Option<Version>,
}

impl Excerpt {
    /// The bytes of a range of an object with `size` bytes.
    pub fn new(bytes: impl Into<Bytes>, size: u64, version: Option<Version>) -> Self {
        Self { bytes: bytes.into(), size, version }
    }

    /// The part of `range` that an object of `size` bytes has. It is empty for an empty range and for one that
    /// begins at or after the end. Both ends of the answer are at most `size`.
    pub fn within(range: &Range<u64>, size: u64) -> Range<u64> {
        let start = range.start.min(size);
        start..range.end.clamp(start, size)
    }
}

/// One entry of a listing.
///
/// It has no [`Version`]: a disk would have to read every file for it, and the listing of GCS has none that
/// can be used in a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The object's name.
    pub key: Key,
    /// Its length in bytes.
    pub size: u64,
    /// When it was written, according to the storage; as [`Meta::modified`].
    pub modified: DateTime<Utc>,
}

impl Listed {
    /// An entry for an object.
    pub fn new(key: Key, size: u64, modified: DateTime<Utc>) -> Self {
        Self { key, size, modified }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpt_has_the_bytes_of_the_range_that_exist() {
        let version = Version::of_content(b"01234");
        let meta = Meta::new(Key::parse("a").unwrap(), 5, version.clone(), DateTime::<Utc>::UNIX_EPOCH);
        let object = Object::new(meta, "01234");
        let most = u64::MAX;
        #[allow(clippy::reversed_empty_ranges, reason = "a caller may ask for one")]
        let cases = [
            (0..5, "01234"),
            (1..3, "12"),
            (4..5, "4"),
            (3..9, "34"),
            (0..most, "01234"),
            (2..2, ""),
            (5..6, ""),
            (7..9, ""),
            (most..most, ""),
            (4..2, ""),
        ];
        for (range, bytes) in cases {
            let expected = Excerpt::new(bytes, 5, Some(version.clone()));
            assert_eq!(object.excerpt(range.clone()), expected, "{range:?}");
        }
    }
}
