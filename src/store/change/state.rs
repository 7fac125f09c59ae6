use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    agreed::Agreed,
    place::Place,
    plan::{Basis, Plan},
    request::{Goal, Request, Task},
};
use crate::{
    Error, Result,
    conflict::{Conflict, How, Obstacle, Resolved},
    document::DocumentError,
    format::{Given, Head, Lease, WorkflowId},
    register::{Tries, Unsettled},
    store::Shared,
};

/// The state that the nodes share.
pub(crate) struct Change {
    pub(super) shared: Arc<Shared>,
    pub(super) request: Request,
    /// The index is folded by the save of the whole batch.
    pub(super) is_of_batch: bool,
    /// None until the document is read.
    pub(super) goal: Option<Goal>,
    pub(super) phase: Phase,
    pub(super) consent: Consent,
    pub(super) doubts: Doubts,
    pub(super) resolved: Resolved,
}

/// What a node leaves for the next one.
pub(super) enum Phase {
    /// The document is to be read.
    Unread { content: Bytes, given: Given },
    /// The document is refused.
    Refused(DocumentError),
    /// The change is to be compared with what is there.
    Open,
    /// The change is to be written.
    Planned(Arc<Plan>),
    /// Another swap of the head landed first. What to do depends on what is there now.
    LostRace,
    /// The change does not fit on top of what was seen.
    Conflict(Box<Met>),
    /// This lease is to end or to change hands, for so long at most.
    Waiting { lease: Box<Lease>, limit: Duration },
    /// The edit that the conflict is about becomes a version: the next one if the change `takes` it, else the
    /// one below.
    Keeping { met: Box<Met>, takes: bool },
    /// Ours is to be merged with what was seen.
    Merging(Box<Met>),
    /// The change stands, or was not needed.
    Done(Box<Written>),
    /// The change ended with an error.
    Failed(Error),
}

/// A conflict that the change met.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) conflict: Conflict,
    pub(super) basis: Basis,
    /// Why the last answer to it could not be carried out.
    pub(super) obstacle: Option<Obstacle>,
}

/// What the resolver has answered so far.
#[derive(Default)]
pub(super) struct Consent {
    pub(super) agreed: Agreed,
    pub(super) answers: u32,
    /// Waits that saw the lock change hands.
    pub(super) handovers: u32,
    /// Others in line for the lock wait until this change is through.
    pub(super) place: Place,
    pub(super) keeps: Keeps,
}

/// Whether the change goes to another workflow than the one that it was meant for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Keeps {
    #[default]
    InPlace,
    /// Under an id that the resolver has named.
    Named { instead_of: WorkflowId },
    /// Under an id with this number.
    Numbered { instead_of: WorkflowId, number: u32 },
}

/// The swaps of the change that did not land, or may not have.
#[derive(Default)]
pub(super) struct Doubts {
    pub(super) tries: Tries,
    /// May have landed or may land yet, the oldest first.
    pub(super) open: Vec<Attempt>,
    /// Cannot land any more. Their versions stay until the head has reached their generation by another
    /// version.
    pub(super) superseded: Vec<Unsettled>,
}

/// A swap of open outcome, and the plan that it carries out.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) swap: Unsettled,
    pub(super) plan: Arc<Plan>,
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
    pub(super) fn unchanged(head: Head) -> Self {
        Self { head, unchanged: true, copy_error: None, index_error: None, resolved: Resolved::default() }
    }
}

impl Change {
    pub(crate) fn new(shared: Arc<Shared>, request: Request, task: Task) -> Self {
        let (goal, phase) = match task {
            Task::Save { content, given } => (None, Phase::Unread { content, given }),
            Task::Delete => (Some(Goal::Delete), Phase::Open),
            Task::Undelete => (Some(Goal::Undelete), Phase::Open),
        };
        let (consent, doubts, resolved) = Default::default();
        Self { shared, request, is_of_batch: false, goal, phase, consent, doubts, resolved }
    }

    /// As one of many: the index is folded by the save of all of them.
    pub(crate) fn of_batch(self) -> Self {
        Self { is_of_batch: true, ..self }
    }

    /// What the change makes of the workflow.
    ///
    /// # Errors
    /// The document is not read yet: a defect of the flow.
    pub(super) fn goal(&self) -> Result<&Goal> {
        self.goal.as_ref().ok_or_else(|| self.misplaced("a node behind ValidateData"))
    }

    /// What is given beside the document; none where nothing is saved.
    pub(super) fn given_mut(&mut self) -> Option<(&crate::document::Document, &mut Given)> {
        match &mut self.goal {
            Some(Goal::Save { document, given }) => Some((&**document, given)),
            _ => None,
        }
    }

    pub(super) fn set_goal(&mut self, goal: Goal) {
        self.goal = Some(goal);
    }

    /// The error of a node that the flow entered in a phase of another one: a defect of the flow.
    pub(super) fn misplaced(&self, node: &str) -> Error {
        Error::Internal(format!("{node} was entered while the change is {}", self.phase))
    }

    /// The swap of `plan` is in place, with this head.
    pub(super) fn landed(&mut self, plan: &Plan, head: Head, copy_error: Option<Error>) {
        self.consent.place.leave();
        self.resolved.kept_edit = plan.kept.as_ref().map(|kept| kept.generation);
        self.resolved.broken = plan.breaks.clone();
        if let Some(broken) = &self.resolved.broken {
            tracing::info!(id = %head.id, lease = %broken.id, holder = %broken.holder(), fence = head.fence, "took a live lease away");
            self.resolved.how.get_or_insert(How::Overridden);
        }
        let unchanged = plan.version.is_none();
        self.phase = Phase::Done(Box::new(Written { copy_error, unchanged, ..Written::unchanged(head) }));
    }

    /// Ends without a change: what is there is the answer.
    pub(super) fn left_as_it_is(&mut self, head: Head) {
        self.phase = Phase::Done(Box::new(Written::unchanged(head)));
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unread { .. } => "unread",
            Self::Refused(_) => "refused",
            Self::Open => "open",
            Self::Planned(_) => "planned",
            Self::LostRace => "behind another swap",
            Self::Conflict(_) => "in conflict",
            Self::Waiting { .. } => "waiting for a lock",
            Self::Keeping { .. } => "keeping an edit",
            Self::Merging(_) => "merging",
            Self::Done(_) => "done",
            Self::Failed(_) => "failed",
        })
    }
}
