//! Translates a resolver's answer to a conflict into the next step. Pure, so that tests can cover every case.

use std::time::Duration;

use crate::{
    conflict::{ChangeKind, Conflict, Obstacle, Resolution},
    format::{Lease, LeaseId, WorkflowId},
};

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Report the conflict.
    GiveUp,
    /// Wait until this lease ends or changes hands, for at most `limit`.
    Wait {
        lease: Box<Lease>,
        limit: Duration,
    },
    /// Break this lease in the swap.
    BreakLease(LeaseId),
    /// Save on top of the state that was read.
    BuildOnTheirs,
    /// Keep the edit as a version, then continue.
    KeepEdit,
    /// Keep the edit as the next version and drop the change.
    TakeEdit,
    /// Drop the change and return the state that was read.
    TakeTheirs,
    KeepBoth(Option<WorkflowId>),
    Merge,
}

/// Returns what `resolution` means for this conflict of a change of this kind.
///
/// # Errors
/// The resolution does not apply to the conflict.
pub(super) fn step(
    resolution: &Resolution,
    conflict: &Conflict,
    kind: ChangeKind,
) -> std::result::Result<Step, Obstacle> {
    use Conflict::{DeletedMeanwhile, Exists, LeaseLost, Locked, ModifiedOutside, Version};
    Ok(match (resolution, conflict) {
        (Resolution::Cancel, _) => Step::GiveUp,
        (Resolution::Wait { limit }, Locked { .. }) if limit.is_zero() => Step::GiveUp,
        (Resolution::Wait { limit }, Locked { lease, .. }) => {
            Step::Wait { lease: lease.clone(), limit: *limit }
        }
        (Resolution::Override, Locked { lease, .. }) => Step::BreakLease(lease.id.clone()),
        (Resolution::Override, Version { .. } | DeletedMeanwhile { .. } | Exists { .. }) => {
            Step::BuildOnTheirs
        }
        (Resolution::Override, ModifiedOutside { .. }) if kind != ChangeKind::Merge => Step::KeepEdit,
        (Resolution::TakeTheirs, ModifiedOutside { .. }) if kind != ChangeKind::Merge => Step::TakeEdit,
        // Without any version there is nothing to take.
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

/// Returns `<id>-conflict-<number>`, with the id shortened to fit.
pub(super) fn numbered(
    id: &WorkflowId,
    number: u32,
) -> std::result::Result<WorkflowId, crate::format::InvalidId> {
    let suffix = format!("-conflict-{number}");
    let room = WorkflowId::MAX_BYTES.saturating_sub(suffix.len());
    // Ids are ASCII, so every byte is a character.
    let kept = id.as_str().get(..room).unwrap_or(id.as_str());
    WorkflowId::parse(format!("{kept}{suffix}"))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use pflow_backend::{Environment, ManualEnvironment};

    use super::*;
    use crate::conflict::ExpectedVersion;
    use crate::{
        conflict::Found,
        document::ContentHash,
        format::Lease,
        lease::{Holder, Live, Standing},
    };

    const SECOND: Duration = Duration::from_secs(1);

    const LIVE: Standing = Standing::Live { why: Live::NotEnded, holder: Holder::Unknown };

    fn id() -> WorkflowId {
        WorkflowId::parse("a").unwrap()
    }

    fn now() -> DateTime<Utc> {
        ManualEnvironment::new(1).now()
    }

    fn lease() -> Box<Lease> {
        let environment = ManualEnvironment::new(1);
        let held = LeaseId::parse("held").unwrap();
        let (identity, now) = (environment.identity(), environment.now());
        Box::new(Lease::grant(held, 1, "edit".to_owned(), None, identity, now, SECOND))
    }

    /// Returns one word for the step of each answer, in the order of `answers`; `-` if the answer does not
    /// apply.
    fn row(conflict: &Conflict, kind: ChangeKind) -> String {
        let answers = [
            Resolution::Cancel,
            Resolution::Wait { limit: SECOND },
            Resolution::Wait { limit: Duration::ZERO },
            Resolution::Override,
            Resolution::TakeTheirs,
            Resolution::KeepBoth { id: None },
            Resolution::Merge,
        ];
        let word = |answer: &Resolution| match step(answer, conflict, kind) {
            Ok(Step::GiveUp) => "give-up",
            Ok(Step::Wait { limit: SECOND, .. }) => "wait",
            Ok(Step::Wait { .. }) => "wait?",
            Ok(Step::BreakLease(lease)) if lease.as_str() == "held" => "break",
            Ok(Step::BreakLease(_)) => "break?",
            Ok(Step::BuildOnTheirs) => "build",
            Ok(Step::KeepEdit) => "keep-edit",
            Ok(Step::TakeEdit) => "take-edit",
            Ok(Step::TakeTheirs) => "theirs",
            Ok(Step::KeepBoth(_)) => "both",
            Ok(Step::Merge) => "merge",
            Err(Obstacle::Unfit { resolution }) => {
                assert_eq!(resolution, answer.name());
                "-"
            }
            Err(other) => panic!("{other}"),
        };
        answers.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_resolution_is_mapped_for_every_conflict() {
        let found = |generation| Found { generation, ..Found::new(None) };
        let key = "workflows/a/workflow.json".to_owned();
        let mine = LeaseId::parse("mine").unwrap();
        let (save, delete) = (ChangeKind::Save, ChangeKind::Delete);
        for (conflict, of_a_save, of_a_deletion) in [
            (
                Conflict::Locked { id: id(), lease: lease(), standing: LIVE, now: now() },
                "give-up wait give-up break - both -",
                "give-up wait give-up break - - -",
            ),
            (
                Conflict::Version { id: id(), expected: ExpectedVersion::Generation(1), found: found(2) },
                "give-up - - build theirs both merge",
                "give-up - - build theirs - -",
            ),
            (
                Conflict::Version { id: id(), expected: ExpectedVersion::Generation(1), found: found(0) },
                "give-up - - build - both merge",
                "give-up - - build - - -",
            ),
            (
                Conflict::DeletedMeanwhile {
                    id: id(),
                    expected: ExpectedVersion::Generation(1),
                    found: found(2),
                },
                "give-up - - build theirs both merge",
                "give-up - - build theirs - -",
            ),
            (
                Conflict::Exists { id: id(), found: found(1) },
                "give-up - - build theirs both merge",
                "give-up - - build theirs - -",
            ),
            (
                Conflict::ModifiedOutside {
                    id: id(),
                    key,
                    generation: None,
                    found: ContentHash::of(b"edit"),
                },
                "give-up - - keep-edit take-edit both merge",
                "give-up - - keep-edit take-edit - -",
            ),
            (
                Conflict::LeaseLost { id: id(), lease_id: mine, held: None, ended: None, fence: 1 },
                "give-up - - - - both -",
                "give-up - - - - - -",
            ),
            (Conflict::Busy { id: id(), attempts: 1 }, "give-up - - - - - -", "give-up - - - - - -"),
        ] {
            assert_eq!(row(&conflict, save), of_a_save, "{conflict}");
            assert_eq!(row(&conflict, delete), of_a_deletion, "{conflict}");
            assert_eq!(row(&conflict, ChangeKind::Undelete), of_a_deletion, "{conflict}");
            // A merge of stored versions leaves an edit alone: its result follows from the versions.
            let of_a_merge = of_a_deletion.replace("keep-edit take-edit", "- -");
            assert_eq!(row(&conflict, ChangeKind::Merge), of_a_merge, "{conflict}");
        }
    }

    #[test]
    fn conflict_number_fits_behind_the_longest_id() {
        assert_eq!(numbered(&id(), 7).unwrap().as_str(), "a-conflict-7");
        let long = WorkflowId::parse("x".repeat(WorkflowId::MAX_BYTES)).unwrap();
        for number in [1, u32::MAX] {
            let id = numbered(&long, number).unwrap();
            assert_eq!(id.as_str().len(), WorkflowId::MAX_BYTES);
            assert!(id.as_str().ends_with(&format!("x-conflict-{number}")), "{id}");
        }
    }
}
