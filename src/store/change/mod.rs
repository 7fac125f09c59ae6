//! Saving, deleting and undeleting: one change of a head, as flows of the runner.
//!
//! ```text
//! StorageOperation -> ValidateData -> CheckConflicts -> WriteAtomic -> UpdateIndex -> Success
//!        |                 |           |  ^       |         |    |          |
//!   ParseError    ValidationError     |  |    Unchanged    |  WriteError  IndexError
//!                                       v  |                 |
//!                                   ResolveConflict <--------+
//!                                    |   |  ^  |
//!                       ConflictError    |  |  +-> Unchanged (theirs stands)
//!                                        v  |
//!                    WaitForLock, KeepEdit, MergeVersions (and on to CheckConflicts)
//! ```
//!
//! A conflict never goes straight to a write: whatever a resolver answers is noted as [`agreed`], and
//! CheckConflicts decides on what is there then.
//!
//! Deleting and undeleting have no document and start at CheckConflicts.

mod agreed;
mod answer;
mod check;
mod decide;
mod describe;
mod flows;
mod keep_edit;
mod merge_versions;
#[cfg(test)]
mod model;
mod parse;
mod resolve;
mod sides;
mod update_index;
mod wait;
mod write;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use agreed::Agreed;

use super::{Shared, copy::CopyState};
use crate::{
    Error, Result,
    conflict::{ChangeKind, Conflict, ConflictResolver, Expect, How, Obstacle, Policy, Resolved},
    document::Document,
    flow::Action,
    format::{Given, Head, Lease, LeaseRef, StoredVersion, VersionRecord, WorkflowId},
    lease::Standing,
    lock::LeaseRequest,
    operation,
    register::{Tries, Unsettled},
    repo::StoredHead,
};

pub(crate) use flows::Flows;
pub use flows::{Drawing, flows};

/// The actions of the seed's nodes, and those that it has no name for.
pub(super) mod actions {
    use crate::flow::Action;

    pub(crate) const PARSE_ERROR: Action = Action::named("parse_error");
    pub(crate) const VALIDATION_ERROR: Action = Action::named("validation_error");
    pub(crate) const HANDLE_CONFLICT: Action = Action::named("handle_conflict");
    pub(crate) const UNCHANGED: Action = Action::named("unchanged");
    pub(crate) const UPDATE_INDEX: Action = Action::named("update_index");
    pub(crate) const WRITE_ERROR: Action = Action::named("write_error");
    pub(crate) const REMOVE_LOCK: Action = Action::named("remove_lock");
    pub(crate) const WAIT_FOR_LOCK: Action = Action::named("wait_for_lock");
    pub(crate) const KEEP_EDIT: Action = Action::named("keep_edit");
    pub(crate) const MERGE: Action = Action::named("merge");
    pub(crate) const TAKE_THEIRS: Action = Action::named("take_theirs");
    pub(crate) const CANCELLED: Action = Action::named("cancelled");
    pub(crate) const SUCCESS: Action = Action::named("success");
    pub(crate) const INDEX_ERROR: Action = Action::named("index_error");
}

/// What a caller asks for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) id: WorkflowId,
    pub(super) kind: Kind,
    pub(super) expect: Expect,
    /// The lease that the caller holds.
    pub(super) lease: Option<LeaseRef>,
    /// The lease that the caller wants along with the change.
    pub(super) hold: Option<LeaseRequest>,
    pub(super) message: Option<String>,
    /// Who decides about conflicts.
    pub(super) resolver: Arc<dyn ConflictResolver>,
    /// How long locks of others are waited for; the resolver's own idea of it unless set.
    pub(super) lock_timeout: Option<Duration>,
    /// Ends waits and questions, never a write.
    pub(super) cancel: CancellationToken,
}

impl Request {
    pub(super) fn new(id: WorkflowId, kind: Kind, expect: Expect) -> Self {
        let (lease, hold, message, lock_timeout, cancel) = Default::default();
        Self {
            id,
            kind,
            expect,
            lease,
            hold,
            message,
            resolver: Arc::new(Policy::Fail),
            lock_timeout,
            cancel,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Save { content: Bytes, given: Given },
    Delete,
    Undelete,
}

/// The state that the nodes share.
pub(crate) struct Change {
    shared: Arc<Shared>,
    request: Request,
    /// Whoever saves the batch folds for all of it.
    is_of_batch: bool,
    /// From ValidateData.
    document: Option<Document>,
    /// What StorageOperation found out and ValidateData or the caller reports.
    refusal: Option<crate::document::DocumentError>,
    /// From CheckConflicts.
    basis: Option<Basis>,
    plan: Option<Plan>,
    /// For ResolveConflict.
    trouble: Option<Trouble>,
    tries: Tries,
    /// From ResolveConflict and the nodes that carry out what it was told.
    agreed: Agreed,
    obstacle: Option<Obstacle>,
    answers: u32,
    wait: Option<Duration>,
    /// Waits that saw the lock change hands.
    handovers: u32,
    /// From WaitForLock: others in line for the lock wait until this change is through.
    place: wait::Place,
    /// Whether the edit that KeepEdit reads is all that becomes of the change.
    takes_edit: bool,
    keeps: Keeps,
    resolved: Resolved,
    /// From WriteAtomic.
    written: Option<Written>,
    failure: Option<Error>,
    /// Attempts that may have landed or may land yet, the oldest first.
    unsettled: Vec<Unsettled>,
    /// Attempts that cannot land any more, whose versions stay until the head has reached their generation by
    /// another version.
    superseded: Vec<Unsettled>,
    /// From UpdateIndex.
    index_error: Option<Error>,
}

/// What CheckConflicts saw.
#[derive(Debug, Clone)]
struct Basis {
    stored: StoredHead,
    /// Whether the lease in the head must be respected; none if there is none.
    standing: Option<Standing>,
    copy: CopyState,
    /// What an undelete brings back.
    restored: Option<StoredVersion>,
    now: DateTime<Utc>,
}

/// What is to be written. Everything but what is new at each attempt.
#[derive(Debug, Clone)]
struct Plan {
    stored: StoredHead,
    copy: CopyState,
    /// A person's edit that becomes a version of its own, below the next one.
    kept: Option<(VersionRecord, Bytes)>,
    /// The next version and its content; none if only a lease is taken.
    version: Option<(VersionRecord, Bytes)>,
    lease: LeasePlan,
    /// The live lease of somebody else that `lease` takes away.
    breaks: Option<Lease>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum LeasePlan {
    /// Leave it as it is: the caller's own, or none.
    Keep,
    /// Somebody's that is not live any more: take it away and raise the fence, so that its holder's next
    /// write fails.
    Remove,
    /// Grant the caller one.
    Grant(LeaseRequest),
}

#[derive(Debug, Clone)]
enum Trouble {
    /// Somebody else's swap got in first; what to do depends on what is there now.
    LostRace,
    Conflict(Conflict),
}

/// Whether the change goes to another workflow than the one that it was meant for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Keeps {
    #[default]
    InPlace,
    /// Under an id that the resolver has named.
    Named { instead_of: WorkflowId },
    /// Under an id with this number.
    Numbered { instead_of: WorkflowId, number: u32 },
}

/// How a change ended well.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) head: Head,
    /// Nothing was different, so no version was made.
    pub(crate) unchanged: bool,
    /// The change stands, but `workflow.json` or the mirror of the lease could not be refreshed.
    pub(crate) copy_error: Option<Error>,
    /// The change stands, but the index could not be folded.
    pub(crate) index_error: Option<Error>,
    /// What was in the way.
    pub(crate) resolved: Resolved,
}

impl Written {
    /// Nothing was to be done on top of this head.
    fn unchanged(head: Head) -> Self {
        Self { head, unchanged: true, copy_error: None, index_error: None, resolved: Resolved::default() }
    }
}

impl Change {
    pub(super) fn new(shared: Arc<Shared>, request: Request) -> Self {
        Self {
            shared,
            request,
            is_of_batch: false,
            document: None,
            refusal: None,
            basis: None,
            plan: None,
            trouble: None,
            tries: Tries::default(),
            agreed: Agreed::default(),
            obstacle: None,
            answers: 0,
            wait: None,
            handovers: 0,
            place: wait::Place::default(),
            takes_edit: false,
            keeps: Keeps::default(),
            resolved: Resolved::default(),
            written: None,
            failure: None,
            unsettled: Vec::new(),
            superseded: Vec::new(),
            index_error: None,
        }
    }

    /// As one of many: the index is folded by whoever saves all of them.
    pub(super) fn of_batch(self) -> Self {
        Self { is_of_batch: true, ..self }
    }

    /// Runs the flow that the request asks for and says what became of it.
    pub(super) async fn run(mut self, flows: &Flows) -> Result<Written> {
        let shared = Arc::clone(&self.shared);
        shared.gate.admit_writer().await?;
        let flow = match self.request.kind {
            Kind::Save { .. } => &flows.save,
            Kind::Delete => &flows.delete,
            Kind::Undelete => &flows.undelete,
        };
        let ended = operation::run(flow, &mut self, &shared.objects.environment).await;
        if let Some(written) = self.written {
            // What is written is written, whatever went wrong after.
            let index_error = ended.err().or(self.index_error);
            return Ok(Written { index_error, resolved: self.resolved, ..written });
        }
        let unsettled = !self.unsettled.is_empty();
        let (id, doubt) = (self.request.id.clone(), self.tries.take_doubt());
        match ended.and_then(|action| self.failed(&action)) {
            // IMPORTANT: whatever else went wrong, an attempt may be in place.
            Err(error) if unsettled => Err(Error::in_doubt(format!("the change of {id}"), doubt, error)),
            Err(error) => Err(shared.explain(error).await),
            written => written,
        }
    }

    fn kind(&self) -> ChangeKind {
        match self.request.kind {
            Kind::Save { .. } => ChangeKind::Save,
            Kind::Delete => ChangeKind::Delete,
            Kind::Undelete => ChangeKind::Undelete,
        }
    }

    /// The swap of the present plan is in place, with this head.
    fn landed(&mut self, head: Head, copy_error: Option<Error>) {
        self.place.leave();
        let unchanged = self.plan.as_ref().is_none_or(|plan| plan.version.is_none());
        if let Some(plan) = &self.plan {
            self.resolved.kept_edit = plan.kept.as_ref().map(|(record, _)| record.generation);
            self.resolved.broken = plan.breaks.clone();
        }
        if let Some(broken) = &self.resolved.broken {
            tracing::info!(id = %head.id, lease = %broken.id, holder = %broken.holder(), fence = head.fence, "took a live lease away");
            self.resolved.how.get_or_insert(How::Overridden);
        }
        self.written = Some(Written { copy_error, unchanged, ..Written::unchanged(head) });
    }

    fn failed(self, action: &Action) -> Result<Written> {
        if let Some(source) = self.refusal {
            return Err(Error::Document { id: self.request.id, source });
        }
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        match self.trouble {
            Some(Trouble::Conflict(conflict)) => Err(match self.obstacle {
                Some(obstacle) => Conflict::Unresolved { conflict: Box::new(conflict), obstacle }.into(),
                None => conflict.into(),
            }),
            Some(Trouble::LostRace) => {
                Err(Conflict::Busy { id: self.request.id, attempts: self.tries.lost() }.into())
            }
            None => Err(Error::Internal(format!("a change ended with {action} and without a result"))),
        }
    }
}
