use crate::Version;

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a batch that met a conflict did not commit"]
pub enum Commit {
    /// Every operation happened and is durable to the degree that [`crate::Capabilities::durability`] names.
    ///
    /// Where [`crate::Capabilities::exact_conflicts`] is not set, a put under a condition that did not hold
    /// is also this when the key already holds the very bytes: it cannot be told from one whose reply got
    /// lost. Whoever must know puts something fresh into them.
    Committed(Versions),
    /// A condition did not hold. This is a lost race, not an error.
    Conflict(Conflict),
    /// The key holds neither what the condition named nor what this batch put there. Either the condition did
    /// not hold, or the write was in place, its reply got lost on the way, and somebody has replaced it
    /// since. Which of the two only the history inside the object tells.
    ///
    /// It is over in both cases: that write will not get into place any more, and nothing beyond the stages
    /// named was touched. Only where
    /// [`crate::Capabilities::exact_conflicts`] is not set, and only for objects that are rewritten.
    Overtaken(Conflict),
}

impl Commit {
    /// The versions, or the conflict whether or not it may be with oneself. For callers to whom it makes no
    /// difference whether their own write was in place for a moment.
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

/// Where an operation stands in its batch; both numbers from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The stage.
    pub stage: usize,
    /// The operation within the stage.
    pub operation: usize,
}

/// The condition that did not hold, and what is left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The operation whose condition did not hold.
    pub at: Position,
    /// The version that was found instead; none if the key does not exist. It may be old news already.
    pub current: Option<Version>,
    /// How many stages are in place for good, counted from the first. Where it is not `at.stage`, the backend
    /// looked at the conditions before it began, and nothing beyond these stages was touched; where it is,
    /// some operations of that stage may be in place too. Always 0 with
    /// [`crate::Capabilities::atomic_batch`], and then nothing was touched at all.
    pub applied: usize,
}

/// The versions that a committed batch gave to the objects it stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions(Vec<Vec<Option<Version>>>);

impl Versions {
    /// For backends: a version for each put that was made and none for each delete, in the batch's own shape.
    pub fn new(stages: Vec<Vec<Option<Version>>>) -> Self {
        Self(stages)
    }

    /// The version of the object that the operation at `position` stored; none for a delete, and none for a
    /// put of a
    /// [`crate::WriteKind::Copy`] that follows the answer.
    pub fn get(&self, position: Position) -> Option<&Version> {
        self.0.get(position.stage)?.get(position.operation)?.as_ref()
    }
}
