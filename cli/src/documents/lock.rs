use chrono::{DateTime, Utc};
use pflow_store::{
    LeaseId, WorkflowId,
    format::Lease,
    lock::{Holder, Inspection, Live, LockState, Mirror, Stale, Standing},
};
use serde::Serialize;

use super::Unread;

/// A lock.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Lock<'a> {
    id: &'a str,
    locked: bool,
    #[serde(flatten)]
    judgement: Judgement,
    fence: u64,
    #[serde(flatten)]
    grant: LastGrant<'a>,
    #[serde(flatten)]
    mirror: Option<InspectedMirror<'a>>,
}

/// Whether the lease must be respected, and why.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Judgement {
    stale: bool,
    /// Why it is live or stale: one of a fixed set of words.
    why: Option<&'static str>,
    /// What is known of the process that holds it: one of a fixed set of words. Null if it makes no difference.
    process: Option<&'static str>,
}

/// The lease. All fields are null if there is none.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct LastGrant<'a> {
    lease_id: Option<&'a str>,
    user: Option<&'a str>,
    host: Option<&'a str>,
    pid: Option<u32>,
    operation: Option<&'a str>,
    acquired: Option<DateTime<Utc>>,
    expires: Option<DateTime<Utc>>,
    renewals: Option<u64>,
}

/// What was found in `workflow.lock`. Absent if the file was not read.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct InspectedMirror<'a> {
    /// `faithful`, `missing`, `lagging`, `edited`, `foreign`, `unreadable` or `unknown`.
    mirror: &'static str,
    /// Whether it was written again.
    mended: bool,
    /// The file that keeps the previous content.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<&'a str>,
}

/// All locks.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Locks<'a> {
    pub(crate) locks: Vec<Lock<'a>>,
    pub(crate) unreadable: Vec<Unread<'a>>,
}

/// A grant or a renewal of a lease.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Granted<'a> {
    id: &'a str,
    lease_id: &'a str,
    fence: u64,
    expires: DateTime<Utc>,
    renewals: u64,
    already_held: bool,
}

/// A lease that was given back.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Released<'a> {
    id: &'a str,
    lease_id: &'a str,
    fence: u64,
}

/// A lease that was or would be broken, and the lock when the command ends.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Broken<'a> {
    dry_run: bool,
    /// Absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken_lease: Option<&'a str>,
    #[serde(flatten)]
    lock: Lock<'a>,
}

impl<'a> Lock<'a> {
    pub(crate) fn of(state: &'a LockState) -> Self {
        let (why, process) = state.standing.map(words).unzip();
        let stale = state.lease.is_some() && !state.live;
        Self {
            id: state.id.as_str(),
            locked: state.live,
            judgement: Judgement { stale, why, process: process.flatten() },
            fence: state.fence,
            grant: state.lease.as_ref().map(LastGrant::of).unwrap_or_default(),
            mirror: None,
        }
    }

    /// With its mirror.
    pub(crate) fn inspected(lock: &'a Inspection) -> Self {
        let mirror = match lock.mirror {
            Mirror::Faithful => "faithful",
            Mirror::Missing => "missing",
            Mirror::Lagging => "lagging",
            Mirror::Edited => "edited",
            Mirror::Foreign => "foreign",
            Mirror::Unreadable => "unreadable",
            _ => "unknown",
        };
        let mirror = InspectedMirror { mirror, mended: lock.mended, kept: lock.kept.as_deref() };
        Self { mirror: Some(mirror), ..Self::of(&lock.state) }
    }
}

impl<'a> LastGrant<'a> {
    fn of(lease: &'a Lease) -> Self {
        Self {
            lease_id: Some(lease.id.as_str()),
            user: Some(&lease.user),
            host: Some(&lease.host),
            pid: Some(lease.pid),
            operation: Some(&lease.operation),
            acquired: Some(lease.acquired),
            expires: Some(lease.expires),
            renewals: Some(lease.renewals),
        }
    }
}

impl<'a> Granted<'a> {
    pub(crate) fn of(id: &'a WorkflowId, lease: &'a Lease, already_held: bool) -> Self {
        let Lease { fence, expires, renewals, .. } = *lease;
        Self { id: id.as_str(), lease_id: lease.id.as_str(), fence, expires, renewals, already_held }
    }
}

impl<'a> Released<'a> {
    pub(crate) fn of(id: &'a WorkflowId, lease: &'a Lease) -> Self {
        Self { id: id.as_str(), lease_id: lease.id.as_str(), fence: lease.fence }
    }
}

impl<'a> Broken<'a> {
    /// What a break would do.
    pub(crate) fn planned(state: &'a LockState) -> Self {
        Self { dry_run: true, broken_lease: None, lock: Lock::of(state) }
    }

    pub(crate) fn done(lease: &'a LeaseId, after: &'a LockState) -> Self {
        Self { dry_run: false, broken_lease: Some(lease.as_str()), lock: Lock::of(after) }
    }
}

/// Returns the words for a judgement, which never change: why, and what is known of the process.
fn words(standing: Standing) -> (&'static str, Option<&'static str>) {
    let process = |holder| match holder {
        Holder::Running => "running",
        Holder::Gone | Holder::Replaced => "gone",
        Holder::Detached => "detached",
        Holder::OtherHost => "other_host",
        Holder::OtherBoot => "other_boot",
        Holder::OtherNamespace => "other_pid_namespace",
        _ => "unknown",
    };
    match standing {
        Standing::Live { why, holder } => {
            let why = match why {
                Live::NotEnded => "not_ended",
                Live::Allowance => "within_allowance",
                Live::Ahead => "clock_ahead",
                _ => "live",
            };
            (why, Some(process(holder)))
        }
        Standing::Stale(Stale::Expired { holder }) => ("expired", Some(process(holder))),
        Standing::Stale(Stale::Unrenewed { .. }) => ("not_renewed", None),
        Standing::Stale(Stale::ProcessGone) => ("process_gone", Some("gone")),
        Standing::Stale(Stale::PidReused) => ("pid_reused", Some("gone")),
        Standing::Stale(_) => ("stale", None),
    }
}
