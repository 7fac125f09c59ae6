use std::fmt;

use super::{Conflict, Found};
use crate::format::{Current, Head, VersionId};

/// The state that the caller built its change on. There is no default: a change that overwrites any state
/// must say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The workflow does not exist: it never did, was only locked, or is deleted.
    Absent,
    /// This version is current, which may be a deletion. A version id names one version in the world, so this
    /// holds for exactly the state that the caller read.
    Version(VersionId),
    /// The workflow is at this generation. A deleted workflow is at the generation of its deletion; 0 means
    /// [`Expect::Absent`].
    ///
    /// A generation names one version of a chain. If the head was put back to an older state and saved over,
    /// another version has it: [`Expect::Version`] tells the two apart.
    Generation(u64),
    /// Any state. The current version becomes the parent of the change, so it stays in the history.
    Any,
}

impl Expect {
    /// Checks the expectation against a head.
    ///
    /// # Errors
    /// The conflict that a change on top of that head has.
    pub fn check(self, head: &Head) -> Result<(), Conflict> {
        let (id, found) = (|| head.id.clone(), || Found::new(head.current.as_ref()));
        let expected = match self {
            Self::Any => return Ok(()),
            Self::Absent | Self::Generation(0) if head.live().is_none() => return Ok(()),
            Self::Absent | Self::Generation(0) => {
                return Err(Conflict::Exists { id: id(), found: found() });
            }
            Self::Version(expected) => ExpectedVersion::Id(expected),
            Self::Generation(expected) => ExpectedVersion::Generation(expected),
        };
        if expected.is(head.current.as_ref()) {
            return Ok(());
        }
        Err(match head.current.is_some() && head.live().is_none() {
            true => Conflict::DeletedMeanwhile { id: id(), expected, found: found() },
            false => Conflict::Version { id: id(), expected, found: found() },
        })
    }

    /// The version that must be current; none if it is not one version.
    pub(crate) fn version(self) -> Option<ExpectedVersion> {
        match self {
            Self::Version(version_id) => Some(ExpectedVersion::Id(version_id)),
            Self::Generation(generation) if generation > 0 => Some(ExpectedVersion::Generation(generation)),
            Self::Absent | Self::Generation(_) | Self::Any => None,
        }
    }
}

/// The version that a caller expected to be current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpectedVersion {
    /// The version of this id.
    Id(VersionId),
    /// The version of this generation, at least 1.
    Generation(u64),
}

impl ExpectedVersion {
    /// `generation 3`, or `version 01h…`.
    pub(super) fn in_words(self) -> String {
        match self {
            Self::Id(_) => self.to_string(),
            Self::Generation(generation) => format!("generation {generation}"),
        }
    }

    /// Whether this version is the expected one.
    pub(crate) fn is(self, current: Option<&Current>) -> bool {
        let Some(Current { record, .. }) = current else { return false };
        match self {
            Self::Id(version_id) => record.version_id == version_id,
            Self::Generation(generation) => record.generation == generation,
        }
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(version_id) => write!(f, "version {version_id}"),
            Self::Generation(generation) => generation.fmt(f),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("nothing"),
            Self::Version(version_id) => write!(f, "version {version_id}"),
            Self::Generation(generation) => write!(f, "generation {generation}"),
            Self::Any => f.write_str("anything"),
        }
    }
}
