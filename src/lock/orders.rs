use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Locks,
    grants::{Guarded, Leaving},
    moment::Moment,
};
use crate::{
    Result,
    behind::Token,
    conflict::Conflict,
    format::{Lease, LeaseId, WorkflowId},
};

/// The state of a held lease.
#[derive(Debug, Clone)]
pub(super) struct LeaseState {
    pub(super) lease: Lease,
    /// When the last successful renewal, or the grant, was started.
    pub(super) refreshed: Moment,
    pub(super) lost: Option<Conflict>,
}

/// Instructions to the task.
#[derive(Debug)]
pub(super) struct Orders {
    /// Renew at once. A request that arrives during a renewal is kept.
    pub(super) renew: Notify,
    /// Release the lease and end.
    pub(super) give_back: CancellationToken,
    ties: Mutex<Ties>,
}

/// Tokens that make other callers wait until the lease is released.
///
/// Invariant: the task drops them when it ends, however it ends. The guard may outlive the task, in the
/// future of a release that its caller keeps without polling it.
#[derive(Debug)]
struct Ties {
    /// Prevents a second guard for the lease.
    guarded: Option<Guarded>,
    /// Set by the order to release: no request for the same id starts.
    leaving: Option<Leaving>,
    /// Set by the order to release: closing the store waits.
    closing: Option<Token>,
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

    /// Records how the release ended.
    pub(super) fn ended(&self, result: &Result<Lease>) {
        if let Some(leaving) = &self.ties().leaving {
            leaving.ended(result);
        }
    }

    /// Drops the tokens when the task has ended.
    pub(super) fn loosen(&self) {
        let loosened = Ties { guarded: None, leaving: None, closing: None };
        let Ties { guarded, leaving, closing } = std::mem::replace(&mut *self.ties(), loosened);
        // Drop `guarded` first: a request for the same id that waits for `leaving` must then find no guard.
        drop(guarded);
        drop(leaving);
        drop(closing);
    }

    /// Never held across an await.
    fn ties(&self) -> MutexGuard<'_, Ties> {
        self.ties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
