use std::fmt;

use pflow_backend::Key;

/// The purpose of a request. Its text is shown to a person: "read a/b".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing<'a> {
    Read(&'a Key),
    /// Reads the metadata of the object without its bytes.
    LookAt(&'a Key),
    /// Settles a write, or reads the version of its object.
    ReadBack(&'a Key),
    Write(&'a Key),
    Delete(&'a Key),
    List,
    /// Used by a probe.
    WriteWithMetadata,
    /// Used by a probe.
    ReadRange,
}

/// The permission that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Read,
    Write,
    Delete,
    List,
}

impl Doing<'_> {
    pub(crate) fn right(self) -> Right {
        match self {
            Self::Read(_) | Self::LookAt(_) | Self::ReadBack(_) | Self::ReadRange => Right::Read,
            Self::Write(_) | Self::WriteWithMetadata => Right::Write,
            Self::Delete(_) => Right::Delete,
            Self::List => Right::List,
        }
    }

    /// Whether it reads one key.
    pub(crate) fn is_a_read(self) -> bool {
        self.right() == Right::Read
    }
}

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(key) => write!(f, "read {key}"),
            Self::LookAt(key) => write!(f, "look at {key}"),
            Self::ReadBack(key) => write!(f, "read {key} after writing it"),
            Self::Write(key) => write!(f, "write {key}"),
            Self::Delete(key) => write!(f, "delete {key}"),
            Self::List => f.write_str("list it"),
            Self::WriteWithMetadata => f.write_str("write with metadata"),
            Self::ReadRange => f.write_str("read a range"),
        }
    }
}
