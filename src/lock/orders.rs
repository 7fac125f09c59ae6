use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::task_tracker::TaskTrackerToken};

use super::{
    Locks,
    grants::{Guarded, Leaving},
    moment::Moment,
};
use crate::{
    Result,
    conflict::Conflict,
    format::{Lease, LeaseId, WorkflowId},
};

/// What is known of a lease that is held.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) lease: Lease,
    /// When the last renewal that succeeded was begun, or the grant.
    pub(super) refreshed: Moment,
    pub(super) lost: Option<Conflict>,
}

/// What the task is told.
#[derive(Debug)]
pub(super) struct Orders {
    /// To renew at once. A wish that comes while it renews is kept.
    pub(super) renew: Notify,
    /// To give the lease back, and end.
    pub(super) give_back: CancellationToken,
    ties: Mutex<Ties>,
}

/// What others wait for until the lease is given back.
///
/// Invariant: the task loosens the ties when it ends, however it ends. The guard may outlive it, in the
/// future of a release that its caller keeps and does not ask any more.
#[derive(Debug)]
struct Ties {
    /// There is no other guard for the lease.
    guarded: Option<Guarded>,
    /// From the order to give it back on: no request for the same id begins.
    leaving: Option<Leaving>,
    /// From then on too: closing the store waits.
    closing: Option<TaskTrackerToken>,
}

impl Orders {
    pub(super) fn new(guarded: Guarded) -> Self {
        let ties = Ties { guarded: Some(guarded), leaving: None, closing: None };
        Self { renew: Notify::new(), give_back: CancellationToken::new(), ties: Mutex::new(ties) }
    }

    pub(super) fn give_back(&self, locks: &Locks, id: &WorkflowId, lease_id: &LeaseId) {
        let mut ties = self.ties();
        if !self.give_back.is_cancelled() {
            ties.leaving = Some(locks.grants.leave(id, lease_id));
            ties.closing = Some(locks.behind.token());
            self.give_back.cancel();
        }
    }

    /// Notes how giving it back ended.
    pub(super) fn ended(&self, result: &Result<Lease>) {
        if let Some(leaving) = &self.ties().leaving {
            leaving.ended(result);
        }
    }

    /// The task has ended.
    pub(super) fn loosen(&self) {
        let loosened = Ties { guarded: None, leaving: None, closing: None };
        let Ties { guarded, leaving, closing } = std::mem::replace(&mut *self.ties(), loosened);
        // A request for the same id that waited for `leaving` finds no guard.
        drop(guarded);
        drop(leaving);
        drop(closing);
    }

    /// Never held across an await.
    fn ties(&self) -> MutexGuard<'_, Ties> {
        self.ties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
