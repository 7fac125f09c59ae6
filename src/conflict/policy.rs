use std::{fmt, str::FromStr, time::Duration};

use async_trait::async_trait;

use super::{Case, ChangeKind, Conflict, ConflictResolver, Resolution};
use crate::Result;

/// How long [`Policy::Wait`] waits for a lock if the request does not say.
const WAIT: Duration = Duration::from_secs(30);

/// A fixed rule for conflicts, for unattended programs. It never asks a person.
///
/// If **another client holds the lock**, every policy waits as long as the request's `lock_timeout` says; by
/// default that is 30 seconds for `wait` and no time for the others. Then `override` breaks the lock; the
/// others report it. The other conflicts:
///
/// | | a version that was not expected | deleted meanwhile | exists already | edited in place |
/// |---|---|---|---|---|
/// | `fail`, `wait` | report it | report it | report it | report it |
/// | `ours`, `override` | ours becomes the next version of it | ours becomes the next version, so it is back | ours becomes the next version of it | the edit becomes a version, then ours the next one |
/// | `theirs` | nothing is saved | nothing is saved, it stays deleted | nothing is saved | the edit becomes a version, ours is not saved |
/// | `merge` | both, from the version that ours was built on; overlaps are reported | theirs if ours changed nothing, else reported | done if both are the same, else the differences are reported | both, as for a version; the edit becomes a version of its own before |
///
/// "Nothing is saved" is a success: the result is the current version. `merge` reports what it cannot merge.
/// For a deletion or an undeletion, which cannot be merged, it reports every conflict. A **lost lease** is
/// reported by every policy: a lease holder relies on being the only writer, and is told when it was not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Report the conflict.
    #[default]
    Fail,
    /// Wait for a lock; report anything else.
    Wait,
    /// Save on top of the current version.
    Ours,
    /// Keep the current version.
    Theirs,
    /// Save the merge of both sides.
    Merge,
    /// Same as [`Policy::Ours`], and break locks too.
    Override,
}

/// A word that is not the name of a [`Policy`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no policy: choose one of {words}", words = Policy::ALL.map(Policy::as_str).join(", "))]
#[non_exhaustive]
pub struct InvalidPolicy(pub String);

impl Policy {
    /// All policies.
    pub const ALL: [Self; 6] =
        [Self::Fail, Self::Wait, Self::Ours, Self::Theirs, Self::Merge, Self::Override];

    /// The word that [`FromStr`] reads.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Wait => "wait",
            Self::Ours => "ours",
            Self::Theirs => "theirs",
            Self::Merge => "merge",
            Self::Override => "override",
        }
    }

    /// How long to wait for a lock if the request does not say.
    pub const fn lock_timeout(self) -> Duration {
        match self {
            Self::Wait => WAIT,
            _ => Duration::ZERO,
        }
    }

    fn left(self, case: &Case) -> Duration {
        case.lock_timeout().unwrap_or(self.lock_timeout()).saturating_sub(case.waited())
    }

    /// The answer to a conflict if `left` of the time for locks remains.
    pub fn answer(self, conflict: &Conflict, left: Duration) -> Resolution {
        match (conflict, self) {
            (Conflict::Locked { .. }, _) if !left.is_zero() => Resolution::Wait { limit: left },
            (Conflict::Locked { .. }, Self::Override) => Resolution::Override,
            (
                Conflict::Version { .. }
                | Conflict::DeletedMeanwhile { .. }
                | Conflict::Exists { .. }
                | Conflict::ModifiedOutside { .. },
                _,
            ) => match self {
                Self::Fail | Self::Wait => Resolution::Cancel,
                Self::Ours | Self::Override => Resolution::Override,
                // There has never been a version to take.
                Self::Theirs if matches!(conflict, Conflict::Version { found, .. } if found.generation == 0) => {
                    Resolution::Cancel
                }
                Self::Theirs => Resolution::TakeTheirs,
                Self::Merge => Resolution::Merge,
            },
            _ => Resolution::Cancel,
        }
    }
}

#[async_trait]
impl ConflictResolver for Policy {
    async fn resolve(&self, case: &Case) -> Result<Resolution> {
        if case.obstacle().is_some() {
            // The rule would give the same answer again.
            return Ok(Resolution::Cancel);
        }
        if self == &Self::Merge && case.kind() != ChangeKind::Save {
            return Ok(Self::Fail.answer(case.conflict(), self.left(case)));
        }
        Ok(self.answer(case.conflict(), self.left(case)))
    }
}

impl FromStr for Policy {
    type Err = InvalidPolicy;

    fn from_str(text: &str) -> std::result::Result<Self, InvalidPolicy> {
        let named = Self::ALL.into_iter().find(|policy| policy.as_str() == text);
        named.ok_or_else(|| InvalidPolicy(text.to_owned()))
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use pflow_backend::{Environment, ManualEnvironment};

    use super::*;
    use crate::conflict::ExpectedVersion;
    use crate::{
        conflict::Found,
        document::ContentHash,
        format::{Lease, LeaseId, WorkflowId},
        lease::{Holder, Live, Standing},
    };

    const LIVE: Standing = Standing::Live { why: Live::NotEnded, holder: Holder::Unknown };

    fn id() -> WorkflowId {
        WorkflowId::parse("a").unwrap()
    }

    fn lease() -> Box<Lease> {
        let environment = ManualEnvironment::new(1);
        let (identity, now) = (environment.identity(), environment.now());
        let lease_id = LeaseId::parse("held").unwrap();
        Box::new(Lease::grant(lease_id, 1, "edit".to_owned(), None, identity, now, WAIT))
    }

    fn seen() -> Found {
        Found { generation: 2, ..Found::new(None) }
    }

    /// One conflict of each kind, in the order of the rows below.
    fn conflicts() -> [Conflict; 8] {
        let (now, found) = (ManualEnvironment::new(1).now(), seen());
        let lease_id = LeaseId::parse("mine").unwrap();
        let key = "workflows/a/workflow.json".to_owned();
        [
            Conflict::Locked { id: id(), lease: lease(), standing: LIVE, now },
            Conflict::Version { id: id(), expected: ExpectedVersion::Generation(1), found: found.clone() },
            Conflict::DeletedMeanwhile {
                id: id(),
                expected: ExpectedVersion::Generation(1),
                found: found.clone(),
            },
            Conflict::Exists { id: id(), found },
            Conflict::ModifiedOutside { id: id(), key, generation: None, found: ContentHash::of(b"edit") },
            Conflict::LeaseLost { id: id(), lease_id, held: None, ended: None, fence: 1 },
            Conflict::AlreadyLocked { id: id(), lease: lease(), standing: LIVE, now },
            Conflict::Busy { id: id(), attempts: 1 },
        ]
    }

    #[test]
    fn every_policy_has_an_answer_to_every_conflict() {
        use Resolution::{Cancel, Merge, Override, TakeTheirs};
        let rest = [Cancel, Cancel, Cancel];
        for (policy, lock, others) in [
            (Policy::Fail, Cancel, [Cancel, Cancel, Cancel, Cancel]),
            (Policy::Wait, Cancel, [Cancel, Cancel, Cancel, Cancel]),
            (Policy::Ours, Cancel, [Override, Override, Override, Override]),
            (Policy::Theirs, Cancel, [TakeTheirs, TakeTheirs, TakeTheirs, TakeTheirs]),
            (Policy::Merge, Cancel, [Merge, Merge, Merge, Merge]),
            (Policy::Override, Override, [Override, Override, Override, Override]),
        ] {
            let wanted = [vec![lock], others.to_vec(), rest.to_vec()].concat();
            for (conflict, wanted) in conflicts().iter().zip(wanted) {
                assert_eq!(policy.answer(conflict, Duration::ZERO), wanted, "{policy}: {conflict}");
                let patient = policy.answer(conflict, WAIT);
                match conflict {
                    Conflict::Locked { .. } => assert_eq!(patient, Resolution::Wait { limit: WAIT }),
                    _ => assert_eq!(patient, wanted, "time is for locks alone: {policy}: {conflict}"),
                }
            }
        }
    }

    #[test]
    fn theirs_is_cancelled_if_there_was_never_a_version() {
        let never =
            Conflict::Version { id: id(), expected: ExpectedVersion::Generation(1), found: Found::new(None) };
        assert_eq!(Policy::Theirs.answer(&never, Duration::ZERO), Resolution::Cancel);
    }

    #[test]
    fn policy_names_parse_back() {
        for policy in Policy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        let refused = "Ours".parse::<Policy>().unwrap_err();
        assert_eq!(
            refused.to_string(),
            r#""Ours" is no policy: choose one of fail, wait, ours, theirs, merge, override"#
        );
    }
}
