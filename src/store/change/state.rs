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
    /// The change is part of a batch, and the batch folds the index.
    pub(super) is_of_batch: bool,
    /// None until the document is parsed.
    pub(super) goal: Option<Goal>,
    pub(super) phase: Phase,
    pub(super) consent: Consent,
    pub(super) doubts: Doubts,
    pub(super) resolved: Resolved,
}

/// The result of one node and the input of the next.
pub(super) enum Phase {
    /// The document has to be parsed.
    Unread { content: Bytes, given: Given },
    /// The document was refused.
    Refused(DocumentError),
    /// The change has to be compared with the stored state.
    Open,
    /// The change has to be written.
    Planned(Arc<Plan>),
    /// Another swap of the head landed first. The next step depends on the current head.
    LostRace,
    /// The change does not fit on top of the state that was read.
    Conflict(Box<Met>),
    /// The change waits until this lease ends or changes hands, for at most `limit`.
    Waiting { lease: Box<Lease>, limit: Duration },
    /// The edit in the conflict becomes a version: the next one if the change `takes` it, else the one below.
    Keeping { met: Box<Met>, takes: bool },
    /// Our document has to be merged with the state that was read.
    Merging(Box<Met>),
    /// The change was committed, or was not needed.
    Done(Box<Written>),
    /// The change failed.
    Failed(Error),
}

/// A conflict of the change.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) conflict: Conflict,
    pub(super) basis: Basis,
    /// Why the last answer to it could not be carried out.
    pub(super) obstacle: Option<Obstacle>,
}

/// The answers of the resolver so far.
#[derive(Default)]
pub(super) struct Consent {
    pub(super) agreed: Agreed,
    pub(super) answers: u32,
    /// The number of waits in which the lock changed hands.
    pub(super) handovers: u32,
    /// The place in the queue for the lock; the next caller waits until this change is complete.
    pub(super) place: Place,
    pub(super) keeps: Keeps,
}

/// Whether the change is saved to another workflow than the requested one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Keeps {
    #[default]
    InPlace,
    /// Under an id that the resolver named.
    Named { instead_of: WorkflowId },
    /// Under an id with this number.
    Numbered { instead_of: WorkflowId, number: u32 },
}

/// The swaps of the change that did not land, or may not have.
#[derive(Default)]
pub(super) struct Doubts {
    pub(super) tries: Tries,
    /// Attempts that may have landed or may still land, oldest first.
    pub(super) open: Vec<Attempt>,
    /// Attempts that cannot land any more. Their versions are kept until the head has reached their
    /// generation by another version.
    pub(super) superseded: Vec<Unsettled>,
}

/// An unsettled swap, and the plan that it carries out.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) swap: Unsettled,
    pub(super) plan: Arc<Plan>,
}

/// The result of a successful change.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) head: Head,
    /// Nothing changed, so no version was made.
    pub(crate) unchanged: bool,
    /// The change is committed, but `workflow.json` or the mirror of the lease could not be refreshed.
    pub(crate) copy_error: Option<Error>,
    /// The change is committed, but the index could not be folded.
    pub(crate) index_error: Option<Error>,
    /// The conflicts that were resolved.
    pub(crate) resolved: Resolved,
}

impl Written {
    /// Returns the result for a head on top of which nothing had to be written.
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

    /// Marks the change as part of a batch: the batch folds the index.
    pub(crate) fn of_batch(self) -> Self {
        Self { is_of_batch: true, ..self }
    }

    /// Returns the goal of the change.
    ///
    /// # Errors
    /// The document is not parsed yet: a defect of the flow.
    pub(super) fn goal(&self) -> Result<&Goal> {
        self.goal.as_ref().ok_or_else(|| self.misplaced("a node behind ValidateData"))
    }

    /// Returns the document and its given metadata; none if the change saves nothing.
    pub(super) fn given_mut(&mut self) -> Option<(&crate::document::Document, &mut Given)> {
        match &mut self.goal {
            Some(Goal::Save { document, given }) => Some((&**document, given)),
            _ => None,
        }
    }

    pub(super) fn set_goal(&mut self, goal: Goal) {
        self.goal = Some(goal);
    }

    /// Returns the error for a node that the flow entered in the wrong phase: a defect of the flow.
    pub(super) fn misplaced(&self, node: &str) -> Error {
        Error::Internal(format!("{node} was entered while the change is {}", self.phase))
    }

    /// Records that the swap of `plan` landed with this head.
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

    /// Ends without a change: the stored head is the result.
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
