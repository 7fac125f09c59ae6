use std::{fmt, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::Key;

/// What a backend calls the present bytes of a key: an ETag, a generation, a hash.
///
/// It **differs whenever the bytes differ**, and may repeat for the same bytes (many servers make it from the
/// content). So a caller that must notice "changed and changed back" puts something fresh into every body
/// that it writes under a condition. Opaque: compare it, never read it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(Arc<str>);

impl Version {
    /// Takes the backend's own token.
    pub fn new(token: impl Into<Arc<str>>) -> Self {
        Self(token.into())
    }

    /// The version that backends use which have no token of their own: the SHA-256 of the bytes, in lowercase
    /// hex.
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

/// What is known of an object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The object's name.
    pub key: Key,
    /// Its length in bytes.
    pub size: u64,
    /// What its present bytes are called.
    pub version: Version,
    /// When the storage says that it was written. For people and for politeness; **no safety may rest on
    /// it**.
    pub modified: DateTime<Utc>,
}

/// An object: all its bytes, and what is known of exactly these bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Name, size, version and time of `bytes`.
    pub meta: Meta,
    /// The content.
    pub bytes: Bytes,
}

/// One line of a listing.
///
/// It carries no [`Version`]: a disk would have to read every file for it, and GCS lists none that a
/// condition takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The object's name.
    pub key: Key,
    /// Its length in bytes.
    pub size: u64,
    /// When the storage says that it was written; as [`Meta::modified`].
    pub modified: DateTime<Utc>,
}
