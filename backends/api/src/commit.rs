use crate::Version;

/// The result of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a batch that met a conflict did not commit"]
pub enum Commit {
    /// Every operation happened and is durable as [`crate::Capabilities::durability`] says.
    ///
    /// Without [`crate::Capabilities::exact_conflicts`], a put whose condition did not hold also has this
    /// result if the key already holds the same bytes: it cannot be distinguished from a put whose reply was
    /// lost. A caller that must distinguish them puts a unique value into the bytes. With
    /// [`crate::Capabilities::immutable_puts`] this is the result of a put of
    /// [`crate::WriteKind::Immutable`] whose key holds the same bytes, on every backend.
    Committed(Versions),
    /// A condition did not hold. This is a lost race, not an error.
    Conflict(Conflict),
    /// The key holds neither the version that the condition named nor the bytes of this batch. Either the
    /// condition did not hold, or the write was applied, its reply was lost, and another client has replaced
    /// it since. Only the history inside the object can tell which.
    ///
    /// The write is settled in both cases: it will not be applied later, and nothing beyond the named stages
    /// was touched. This only occurs without [`crate::Capabilities::exact_conflicts`], and only for objects
    /// that are rewritten.
    Overtaken(Conflict),
}

impl Commit {
    /// Returns the versions, or the conflict, even if it may be with this batch itself. For callers to whom
    /// it does not matter whether their own write was applied for a moment.
    ///
    /// # Errors
    /// The batch did not commit.
    pub fn into_result(self) -> Result<Versions, Conflict> {
        match self {
            Self::Committed(versions) => Ok(versions),
            Self::Conflict(conflict) | Self::Overtaken(conflict) => Err(conflict),
        }
    }
}

/// The position of an operation in its batch; both numbers from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The stage.
    pub stage: usize,
    /// The operation within the stage.
    pub operation: usize,
}

/// The condition that did not hold, and what remains of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict {
    /// The operation whose condition did not hold.
    pub at: Position,
    /// The version that was found instead; none if the key does not exist. It may be outdated already.
    pub current: Option<Version>,
    /// The number of stages that were applied and stay, counted from the first. If it is not `at.stage`, the
    /// backend checked the conditions before it began, and nothing beyond these stages was touched; if it is,
    /// some operations of that stage may have been applied too. Always 0 with
    /// [`crate::Capabilities::atomic_batch`], and then nothing was touched at all.
    pub applied: usize,
}

impl Conflict {
    /// A condition that did not hold. See the fields for the parameters.
    pub fn new(at: Position, current: Option<Version>, applied: usize) -> Self {
        Self { at, current, applied }
    }
}

/// The versions of the objects that a committed batch stored.
///
/// It has a place for every operation of the batch: for deletes too, and in empty stages none. So the place
/// of a put is the same as in the batch, also after a delete.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions(Vec<Vec<Option<Version>>>);

impl Versions {
    /// For backends: a version for each put and none for each delete, in the shape of the batch:
    /// `[[None, Some(version)]]` for a stage of a delete and a put.
    pub fn new(stages: Vec<Vec<Option<Version>>>) -> Self {
        Self(stages)
    }

    /// The number of places in each stage.
    #[cfg(feature = "conformance")]
    pub(crate) fn shape(&self) -> Vec<usize> {
        self.0.iter().map(Vec::len).collect()
    }

    /// The version of the object that the operation at `position` stored; none for a delete, and none for a
    /// put of a [`crate::WriteKind::Copy`] that is written after the answer.
    pub fn get(&self, position: Position) -> Option<&Version> {
        self.0.get(position.stage)?.get(position.operation)?.as_ref()
    }
}
