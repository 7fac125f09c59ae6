use pflow_backend::{
    Batch, Bytes, Commit, Error as StorageError, ErrorKind as StorageErrorKind, Key, Operation, Outcome,
    Position, Precondition, Result as StorageResult, Version,
};

use crate::{
    Error, Result,
    format::{Head, keys},
    repo::{Objects, unreadable},
};

/// Objects that are written around a register, in the same batch.
#[derive(Debug, Default)]
pub(crate) struct Around {
    /// The immutable objects that the new state refers to.
    pub(crate) before: Vec<Operation>,
    /// An object that must be in place before `after`, and that nothing refers to. It is written in the stage
    /// of the swap, without a condition of its own: a refusal of that stage is always one of the swap.
    pub(crate) beside: Option<Operation>,
    /// Objects that are derived from the new state.
    pub(crate) after: Vec<Operation>,
}

/// The outcome of a swap.
#[derive(Debug)]
pub(crate) enum Swapped {
    /// The register has the new state, with this version if the storage returned one.
    Landed(Option<Version>, Derived),
    /// The register had another state. The swap did not happen and never will.
    Lost {
        /// Whether objects of [`Around::before`] may be in place.
        leaves: bool,
    },
    /// The swap failed. It did not happen and never will.
    Failed {
        error: StorageError,
        /// Whether objects of [`Around::before`] may be in place.
        leaves: bool,
    },
    /// The swap has happened, may still happen, or never will: later reads of the register tell. There is no
    /// error if the swap was refused by a state that may be its own.
    InDoubt(Option<StorageError>),
    /// On a disk that reported a failed sync. What is read there may be gone after a power failure, so no read
    /// settles the swap: its outcome stays unknown.
    Unknown(StorageError),
}

/// The outcome of [`Around::after`] behind a swap that landed.
#[derive(Debug)]
pub(crate) enum Derived {
    InPlace,
    /// An object had been changed by another writer, and was left alone.
    Changed,
    Failed(StorageError),
}

/// Swaps a register from the state `named` (none: it does not exist) to `bytes`.
///
/// Invariant: the swap is the commit point. The objects that the new state refers to are durable before it,
/// and the derived objects are written after it. A crash leaves the old state with unreferenced objects, or
/// the new state with outdated derived objects. A cancelled call leaves one of these, or the batch continues
/// to its end in the backend. At most one of all swaps that name the same state lands.
pub(crate) async fn swap(
    objects: &Objects,
    key: Key,
    bytes: Bytes,
    named: Option<&Version>,
    around: Around,
) -> Swapped {
    let Around { before, beside, after } = around;
    debug_assert!(beside.as_ref().is_none_or(|beside| *beside.precondition() == Precondition::Always));
    let when = named.cloned().map_or(Precondition::Absent, Precondition::Is);
    let stage = usize::from(!before.is_empty());
    let mut batch = Batch::new();
    if stage > 0 {
        batch = batch.stage(before);
    }
    batch = batch.stage([Operation::put(key, bytes).when(when)].into_iter().chain(beside));
    if !after.is_empty() {
        batch = batch.stage(after);
    }
    let committed = objects.backend.commit(batch).await;
    classify(stage, committed, objects.traits.atomic_batch, objects.traits.loses_power)
}

/// A head and its bytes. It is encoded before the first write, so that nothing is left behind by a head that
/// cannot be encoded.
pub(crate) struct EncodedHead<'a> {
    head: &'a Head,
    bytes: Bytes,
}

impl<'a> EncodedHead<'a> {
    /// # Errors
    /// The head cannot be encoded.
    pub(crate) fn of(head: &'a Head) -> Result<Self> {
        let bytes = head.encode().map_err(|source| unreadable(&keys::head(&head.id), source))?;
        Ok(Self { head, bytes })
    }
}

/// Swaps a head from the state `named` (none: there is none) to `next`. Updates the process's cache of heads.
pub(crate) async fn swap_head(
    objects: &Objects,
    named: Option<&Version>,
    next: EncodedHead<'_>,
    around: Around,
) -> Swapped {
    let EncodedHead { head, bytes } = next;
    // The cached head may be outdated from here on.
    objects.forget_head(&head.id);
    let swapped = swap(objects, keys::head(&head.id), bytes, named, around).await;
    if let Swapped::Landed(Some(version), _) = &swapped {
        objects.remember_head(head, Some(version));
    }
    swapped
}

impl Swapped {
    /// Whether the swap landed, for callers that read the register again after a lost or ambiguous swap.
    ///
    /// # Errors
    /// The swap of `what` failed, or an error left its outcome unknown.
    pub(crate) fn did_land(self, what: impl FnOnce() -> String) -> Result<bool> {
        match self {
            Self::Landed(..) => Ok(true),
            Self::Lost { .. } | Self::InDoubt(None) => Ok(false),
            Self::Failed { error, .. } | Self::InDoubt(Some(error)) | Self::Unknown(error) => {
                Err(Error::of_commit(what, error))
            }
        }
    }
}

/// Classifies the reply to a batch whose swap is the first operation of stage `at`.
fn classify(at: usize, committed: StorageResult<Commit>, atomic: bool, loses_power: bool) -> Swapped {
    match committed {
        Ok(Commit::Committed(versions)) => {
            let version = versions.get(Position { stage: at, operation: 0 }).cloned();
            Swapped::Landed(version, Derived::InPlace)
        }
        Ok(Commit::Conflict(conflict) | Commit::Overtaken(conflict)) if conflict.applied > at => {
            Swapped::Landed(None, Derived::Changed)
        }
        Ok(Commit::Conflict(conflict)) => Swapped::Lost { leaves: conflict.applied > 0 },
        Ok(Commit::Overtaken(_)) => Swapped::InDoubt(None),
        Err(error) => match error.outcome() {
            Outcome::NotApplied { applied } if applied > at => Swapped::Landed(None, Derived::Failed(error)),
            Outcome::NotApplied { applied } => {
                // A writer that only waited for another writer's lock has put nothing in place.
                let begun = !atomic && at > 0 && error.kind() != StorageErrorKind::Busy;
                Swapped::Failed { leaves: applied > 0 || begun, error }
            }
            Outcome::Unknown if loses_power => Swapped::Unknown(error),
            Outcome::Unknown => Swapped::InDoubt(Some(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use pflow_backend::{Conflict, Versions};

    use super::*;

    fn of(committed: StorageResult<Commit>, at: usize) -> String {
        let told = classify(at, committed, false, false);
        match told {
            Swapped::Landed(_, derived) => format!("landed {derived:?}"),
            Swapped::Lost { leaves } => format!("lost {leaves}"),
            Swapped::Failed { leaves, .. } => format!("failed {leaves}"),
            Swapped::InDoubt(error) => format!("in doubt {}", error.is_some()),
            Swapped::Unknown(_) => "unknown".to_owned(),
        }
    }

    fn conflict(applied: usize) -> Conflict {
        Conflict::new(Position { stage: applied, operation: 0 }, None, applied)
    }

    fn failed(kind: StorageErrorKind, applied: usize) -> StorageError {
        StorageError::not_applied(kind, "no").with_outcome(Outcome::NotApplied { applied })
    }

    #[test]
    fn batch_reply_is_classified() {
        let io = StorageErrorKind::Io;
        let unknown = || Err(StorageError::unknown(io, "lost"));
        for (committed, at, told) in [
            (Ok(Commit::Committed(Versions::default())), 1, "landed InPlace"),
            (Ok(Commit::Conflict(conflict(0))), 1, "lost false"),
            (Ok(Commit::Conflict(conflict(1))), 1, "lost true"),
            (Ok(Commit::Conflict(conflict(0))), 0, "lost false"),
            (Ok(Commit::Conflict(conflict(2))), 1, "landed Changed"),
            (Ok(Commit::Overtaken(conflict(1))), 1, "in doubt false"),
            (Ok(Commit::Overtaken(conflict(2))), 1, "landed Changed"),
            (Err(failed(io, 0)), 1, "failed true"),
            (Err(failed(io, 0)), 0, "failed false"),
            (Err(failed(StorageErrorKind::Busy, 0)), 1, "failed false"),
            (Err(failed(io, 1)), 1, "failed true"),
            (unknown(), 1, "in doubt true"),
        ] {
            assert_eq!(of(committed, at), told);
        }
        assert!(of(Err(failed(io, 2)), 1).starts_with("landed Failed"));
        assert!(matches!(classify(1, unknown(), true, true), Swapped::Unknown(_)));
        let all_or_nothing = classify(1, Err(failed(io, 0)), true, false);
        assert!(matches!(all_or_nothing, Swapped::Failed { leaves: false, .. }));
    }
}
