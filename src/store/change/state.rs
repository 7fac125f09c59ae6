use std::{fmt, sync::Arc, time::Duration};

use super::{
    agreed::{Agreed, Instead, current_id},
    attempt::Attempt,
    place::Place,
    plan::{Basis, Plan},
    request::{Request, Task, Unread},
};
use crate::{
    Error, Result,
    conflict::{Conflict, Goal, How, Obstacle, Resolved},
    document::{Document, DocumentError},
    format::{FieldChanges, Head, Lease, WorkflowId},
    register::Tries,
    store::Shared,
};

/// The state that the nodes share.
pub(crate) struct Change {
    pub(super) shared: Arc<Shared>,
    pub(super) request: Request,
    /// The change is part of a batch, and the batch folds the index.
    pub(super) is_of_batch: bool,
    pub(super) phase: ChangePhase,
    pub(super) consent: Consent,
    pub(super) doubts: Doubts,
    pub(super) resolved: Resolved,
    /// The change is committed, but the index could not be folded.
    pub(super) index_error: Option<Error>,
}

/// The result of one node, with all that the next one needs of it.
pub(super) enum ChangePhase {
    /// The document has to be parsed.
    Unread { document: Unread, fields: FieldChanges },
    /// The document was refused.
    Refused(DocumentError),
    /// The goal has to be compared with the stored state.
    Open(Goal),
    /// The plan has to be written.
    Planned { goal: Goal, plan: Arc<Plan> },
    /// Another swap of the head landed first. The next step depends on the current head.
    LostRace(Goal),
    /// The swap is in doubt. The current head tells whether it landed.
    InDoubt(Goal),
    /// The change does not fit on top of the state that was read.
    Conflict(Arc<Met>),
    /// The change waits until this lease ends or changes hands, for at most `limit`.
    Waiting { goal: Goal, lease: Box<Lease>, limit: Duration },
    /// The edit in the conflict becomes a version: the next one if the change `takes` it, else the one below.
    Keeping { met: Arc<Met>, takes: bool },
    /// Our document has to be merged with the state that was read.
    Merging(Arc<Met>),
    /// The change was committed, or was not needed.
    Done(Box<Written>),
    /// The change failed.
    Failed(Error),
}

/// A conflict of the change.
#[derive(Debug, Clone)]
pub(super) struct Met {
    pub(super) goal: Goal,
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

impl Consent {
    /// Records that the change may build on `basis`, with this document in place of the caller's and with
    /// this edit kept. The consent to break a lease remains.
    pub(super) fn agree_to(&mut self, basis: &Basis, instead: Option<Instead>, edit: Option<Document>) {
        let (on_top_of, lease) = (Some(current_id(basis)), self.agreed.lease.take());
        self.agreed = Agreed { on_top_of, instead, edit, lease };
    }
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
    /// Attempts in doubt, oldest first.
    pub(super) open: Vec<Attempt>,
    /// Attempts that cannot land any more. Their versions are kept until the head has reached their
    /// generation by another version.
    pub(super) superseded: Vec<Attempt>,
}

/// The result of a successful change.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) head: Head,
    /// Nothing changed, so no version was made.
    pub(crate) unchanged: bool,
    /// The change is committed, but the working copy or the mirror of the lease could not be refreshed.
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

impl Met {
    /// Returns the phase after an answer to this conflict could not be carried out.
    pub(super) fn blocked(&self, obstacle: Obstacle) -> ChangePhase {
        ChangePhase::Conflict(Arc::new(Self { obstacle: Some(obstacle), ..self.clone() }))
    }
}

impl Change {
    pub(crate) fn new(shared: Arc<Shared>, request: Request, task: Task) -> Self {
        let phase = match task {
            Task::Save { document, fields } => ChangePhase::Unread { document, fields },
            Task::Delete => ChangePhase::Open(Goal::Delete),
            Task::Undelete => ChangePhase::Open(Goal::Undelete),
            Task::Merge(with) => ChangePhase::Open(Goal::Merge(with)),
        };
        let (consent, doubts, resolved) = Default::default();
        Self { shared, request, is_of_batch: false, phase, consent, doubts, resolved, index_error: None }
    }

    /// Marks the change as part of a batch: the batch folds the index.
    pub(crate) fn of_batch(self) -> Self {
        Self { is_of_batch: true, ..self }
    }

    /// Returns the input of a node. Every node reads the phase here and nowhere else, and only once a visit.
    ///
    /// # Errors
    /// [`Error::Internal`]: the graph of the flow leads to the node from a phase that is not for it.
    pub(super) fn input<T>(&self, node: &str, of: impl FnOnce(&ChangePhase) -> Option<T>) -> Result<T> {
        let phase = &self.phase;
        of(phase).ok_or_else(|| Error::Internal(format!("{node} was entered while the change is {phase}")))
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
        self.phase =
            ChangePhase::Done(Box::new(Written { copy_error, unchanged, ..Written::unchanged(head) }));
    }
}

impl ChangePhase {
    /// Returns the end of a change on top of which nothing has to be written: the stored head is the result.
    pub(super) fn unchanged(basis: &Basis) -> Self {
        Self::Done(Box::new(Written::unchanged(basis.stored.head.clone())))
    }
}

impl fmt::Display for ChangePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unread { .. } => "unread",
            Self::Refused(_) => "refused",
            Self::Open(_) => "open",
            Self::Planned { .. } => "planned",
            Self::LostRace(_) => "behind another swap",
            Self::InDoubt(_) => "in doubt",
            Self::Conflict(_) => "in conflict",
            Self::Waiting { .. } => "waiting for a lock",
            Self::Keeping { .. } => "keeping an edit",
            Self::Merging(_) => "merging",
            Self::Done(_) => "done",
            Self::Failed(_) => "failed",
        })
    }
}
