use chrono::{DateTime, SubsecRound, Utc};

use super::{ExpectedVersion, Obstacle};
use crate::{
    Remedy,
    document::ContentHash,
    format::{Current, Ended, Head, Lease, LeaseId, WorkflowId},
    lease::{Standing, human},
};

/// Why a change was not made. Nothing was changed. Every variant has the facts that a person needs to decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// Another client holds the lock. Wait, or ask its holder.
    #[error("{}", describe_locked(.id, .lease, .standing, .now, ""))]
    Locked {
        /// The workflow.
        id: WorkflowId,
        /// The lease.
        lease: Box<Lease>,
        /// Why the lease is not stale.
        standing: Standing,
        /// When this was found, by the local clock.
        now: DateTime<Utc>,
    },
    /// The same content that the lock was requested for is already locked. The request was not granted.
    #[error("{}", describe_locked(.id, .lease, .standing, .now, " already"))]
    AlreadyLocked {
        /// The workflow.
        id: WorkflowId,
        /// The lease of the holder.
        lease: Box<Lease>,
        /// Why the lease is not stale.
        standing: Standing,
        /// When this was found, by the local clock.
        now: DateTime<Utc>,
    },
    /// The lease that the caller relied on is gone: released, expired and overwritten, or taken over.
    #[error("the lease {lease_id} on {id} is lost: {}", describe_successor(lease_id, .held.as_deref(), .ended.as_deref(), *.fence))]
    LeaseLost {
        /// The workflow.
        id: WorkflowId,
        /// The lease that the caller named.
        lease_id: LeaseId,
        /// The present lease, if there is one.
        held: Option<Box<Lease>>,
        /// Who ended the lease, how and when, if that is known.
        ended: Option<Box<Ended>>,
        /// The present fence.
        fence: u64,
    },
    /// The workflow is not at the generation that the caller built on.
    #[error("{id} is at generation {}, expected {expected}{}", .found.generation, describe_change(.found))]
    Version {
        /// The workflow.
        id: WorkflowId,
        /// The version that the caller expected.
        expected: ExpectedVersion,
        /// The version that was found.
        found: Found,
    },
    /// The workflow was deleted after the caller read it: the current version is a deletion.
    #[error("{id} was deleted meanwhile{}: it is at generation {}, expected {expected}", describe_deletion(.found), .found.generation)]
    DeletedMeanwhile {
        /// The workflow.
        id: WorkflowId,
        /// The version that the caller expected.
        expected: ExpectedVersion,
        /// The deletion.
        found: Found,
    },
    /// The caller wanted to create a workflow that exists.
    #[error("{id} exists already, at generation {}{}", .found.generation, describe_change(.found))]
    Exists {
        /// The workflow.
        id: WorkflowId,
        /// The version that was found.
        found: Found,
    },
    /// A person or another program edited the current content in place, so overwriting it would lose an edit.
    #[error("{key} was {}: its hash is {found}", match .generation {
        Some(generation) => format!("modified outside of the store after generation {generation}"),
        None => "created outside of the store".to_owned(),
    })]
    ModifiedOutside {
        /// The workflow.
        id: WorkflowId,
        /// The file, as a key of the store.
        key: String,
        /// The current generation, which the file should hold; none if there is none, so that the file should
        /// not exist.
        generation: Option<u64>,
        /// The hash of the file's content.
        found: ContentHash,
    },
    /// Other clients rewrote the head at every attempt, although the caller's expectation still holds.
    #[error("{id} changed {attempts} times while it was being written")]
    Busy {
        /// The workflow.
        id: WorkflowId,
        /// The number of attempts.
        attempts: u32,
    },
    /// A resolution was chosen for a conflict, but could not be carried out.
    #[error("{conflict}; {obstacle}")]
    Unresolved {
        /// The conflict, never one of this kind.
        conflict: Box<Conflict>,
        /// Why it could not be carried out.
        obstacle: Obstacle,
    },
}

/// The version that was found where another one was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Its generation; 0 if the workflow has never had a version.
    pub generation: u64,
    /// Its author and time; none for generation 0.
    pub made: Option<(String, DateTime<Utc>)>,
    /// Whether it is a deletion of the workflow.
    pub deleted: bool,
}

impl Found {
    pub(crate) fn new(current: Option<&Current>) -> Self {
        current.map_or(Self { generation: 0, made: None, deleted: false }, |Current { record, .. }| Self {
            generation: record.generation,
            made: Some((record.author.clone(), record.modified)),
            deleted: record.deleted,
        })
    }
}

impl Conflict {
    /// The conflict for a lease `lease_id` that is not the one in `head`.
    pub fn lease_lost(lease_id: LeaseId, head: &Head) -> Self {
        let held = head.lease.clone().map(Box::new);
        let ended = head.ended.clone().filter(|ended| ended.lease_id == lease_id).map(Box::new);
        Self::LeaseLost { id: head.id.clone(), lease_id, held, ended, fence: head.fence }
    }

    /// The workflow of the conflict.
    pub fn id(&self) -> &WorkflowId {
        match self {
            Self::Locked { id, .. }
            | Self::AlreadyLocked { id, .. }
            | Self::LeaseLost { id, .. }
            | Self::Version { id, .. }
            | Self::Exists { id, .. }
            | Self::DeletedMeanwhile { id, .. }
            | Self::ModifiedOutside { id, .. }
            | Self::Busy { id, .. } => id,
            Self::Unresolved { conflict, .. } => conflict.id(),
        }
    }

    /// The conflict itself, without the obstacle to its resolution.
    pub fn cause(&self) -> &Self {
        match self {
            Self::Unresolved { conflict, .. } => conflict,
            other => other,
        }
    }

    /// The obstacle to its resolution, if one was tried.
    pub fn obstacle(&self) -> Option<&Obstacle> {
        match self {
            Self::Unresolved { obstacle, .. } => Some(obstacle),
            _ => None,
        }
    }

    /// Whether it is about a lock, and not about the stored version.
    pub fn is_about_a_lock(&self) -> bool {
        matches!(self.cause(), Self::Locked { .. } | Self::AlreadyLocked { .. } | Self::LeaseLost { .. })
    }

    /// What helps against the conflict.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Locked { id, lease, .. } | Self::AlreadyLocked { id, lease, .. } => {
                Remedy::WaitForLock { id: id.clone(), lease: lease.id.clone() }
            }
            Self::LeaseLost { id, .. } => Remedy::AcquireAgain { id: id.clone() },
            Self::Version { id, found, .. } => {
                Remedy::ExpectGeneration { id: id.clone(), generation: found.generation }
            }
            Self::DeletedMeanwhile { id, found, .. } => {
                Remedy::UndeleteOrSaveOver { id: id.clone(), generation: found.generation }
            }
            Self::Exists { id, found, .. } => {
                Remedy::SaveOver { id: id.clone(), generation: found.generation }
            }
            Self::ModifiedOutside { id, key, generation: None, .. } => {
                Remedy::KeepFile { id: id.clone(), key: key.clone() }
            }
            Self::ModifiedOutside { id, key, generation: Some(generation), .. } => {
                Remedy::KeepOrDropEdit { id: id.clone(), key: key.clone(), generation: *generation }
            }
            Self::Busy { .. } => Remedy::Repeat,
            Self::Unresolved { conflict, obstacle } => obstacle.remedy().unwrap_or_else(|| conflict.remedy()),
        }
    }
}

fn describe_locked(
    id: &WorkflowId,
    lease: &Lease,
    standing: &Standing,
    now: &DateTime<Utc>,
    already: &str,
) -> String {
    let left = lease.expires.signed_duration_since(*now);
    let lasts = if left >= chrono::Duration::zero() {
        format!("for another {}", human(left))
    } else {
        format!("ended {} ago", human(left))
    };
    format!(
        "{id} is{already} locked by {holder} (pid {pid}), {operation}, since {since}, {lasts}; lease {lease_id}, fence {fence}; \
         it is not stale: {reason}",
        holder = lease.holder(),
        pid = lease.pid,
        operation = lease.operation,
        since = moment(lease.acquired),
        lease_id = lease.id,
        fence = lease.fence,
        reason = standing.reason(lease, *now),
    )
}

fn describe_successor(lease_id: &LeaseId, held: Option<&Lease>, ended: Option<&Ended>, fence: u64) -> String {
    let holds = |lease: &Lease| {
        let (holder, pid, since) = (lease.holder(), lease.pid, moment(lease.acquired));
        format!("{holder} (pid {pid}) holds it since {since} under fence {fence}, {}", lease.operation)
    };
    match (held, ended) {
        (Some(lease), _) if lease.id == *lease_id => format!(
            "that id belongs to the grant to {} (pid {}) of {} under fence {}, and each id is for one grant; choose another one",
            lease.holder(),
            lease.pid,
            moment(lease.acquired),
            lease.fence
        ),
        (Some(lease), Some(Ended { how, by, at, .. })) => {
            format!("it was {how} by {by} at {}, and {}", moment(*at), holds(lease))
        }
        (Some(lease), None) => holds(lease),
        (None, Some(Ended { how, by, at, .. })) => {
            format!("it was {how} by {by} at {}, and the lock is free now; the fence is {fence}", moment(*at))
        }
        (None, None) => format!("the lock is free now, and the fence is {fence}"),
    }
}

fn moment(at: DateTime<Utc>) -> String {
    at.trunc_subsecs(0).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn describe_change(found: &Found) -> String {
    let verb = if found.deleted { "deleted" } else { "saved" };
    found.made.as_ref().map_or_else(String::new, |(author, at)| {
        format!(" ({verb} by {author} at {})", at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    })
}

fn describe_deletion(found: &Found) -> String {
    found.made.as_ref().map_or_else(String::new, |(author, at)| {
        format!(" by {author} at {}", at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    })
}
