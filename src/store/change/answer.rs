//! What an answer to a conflict comes to. Pure, so that every case can be tried.

use std::time::Duration;

use crate::{
    conflict::{ChangeKind, Conflict, Obstacle, Resolution},
    stored::{LeaseId, WorkflowId},
};

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The conflict is the answer.
    GiveUp,
    Wait(Duration),
    /// Take this lease away in the swap.
    BreakLease(LeaseId),
    /// Save on top of what was seen.
    BuildOnTheirs,
    /// Keep the edit as a version, then go on.
    KeepEdit,
    /// Keep the edit as the next version, and leave the change.
    TakeEdit,
    /// Leave the change: what was seen is the answer.
    TakeTheirs,
    KeepBoth(Option<WorkflowId>),
    Merge,
}

/// What `resolution` means for this conflict of a change of this kind.
///
/// # Errors
/// It is no answer to it.
pub(super) fn step(
    resolution: &Resolution,
    conflict: &Conflict,
    kind: ChangeKind,
) -> std::result::Result<Step, Obstacle> {
    use Conflict::{DeletedMeanwhile, Exists, LeaseLost, Locked, ModifiedOutside, Version};
    Ok(match (resolution, conflict) {
        (Resolution::Cancel, _) => Step::GiveUp,
        (Resolution::Wait { limit }, Locked { .. }) if limit.is_zero() => Step::GiveUp,
        (Resolution::Wait { limit }, Locked { .. }) => Step::Wait(*limit),
        (Resolution::Override, Locked { lease, .. }) => Step::BreakLease(lease.id.clone()),
        (Resolution::Override, Version { .. } | DeletedMeanwhile { .. } | Exists { .. }) => {
            Step::BuildOnTheirs
        }
        (Resolution::Override, ModifiedOutside { .. }) => Step::KeepEdit,
        (Resolution::TakeTheirs, ModifiedOutside { .. }) => Step::TakeEdit,
        // Where there has never been a version there is nothing to take.
        (Resolution::TakeTheirs, Version { found, .. }) if found.generation == 0 => {
            return Err(unfit(resolution));
        }
        (Resolution::TakeTheirs, Version { .. } | DeletedMeanwhile { .. } | Exists { .. }) => {
            Step::TakeTheirs
        }
        (
            Resolution::Merge,
            Version { .. } | DeletedMeanwhile { .. } | Exists { .. } | ModifiedOutside { .. },
        ) if kind == ChangeKind::Save => Step::Merge,
        (
            Resolution::KeepBoth { id },
            Locked { .. }
            | LeaseLost { .. }
            | Version { .. }
            | DeletedMeanwhile { .. }
            | Exists { .. }
            | ModifiedOutside { .. },
        ) if kind == ChangeKind::Save => Step::KeepBoth(id.clone()),
        _ => return Err(unfit(resolution)),
    })
}

fn unfit(resolution: &Resolution) -> Obstacle {
    Obstacle::Unfit { resolution: resolution.name() }
}

/// `<id>-conflict-<number>`, with as much of the id as fits.
pub(super) fn numbered(
    id: &WorkflowId,
    number: u32,
) -> std::result::Result<WorkflowId, crate::stored::InvalidId> {
    let suffix = format!("-conflict-{number}");
    let room = WorkflowId::MAX_BYTES.saturating_sub(suffix.len());
    // Ids are ASCII, so every byte is a character.
    let kept = id.as_str().get(..room).unwrap_or(id.as_str());
    WorkflowId::parse(format!("{kept}{suffix}"))
}
