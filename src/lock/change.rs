use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Grant, LeaseRequest, Locks, broken};
use crate::{
    Error, Result,
    conflict::Conflict,
    format::{Lease, LeaseRef, VersionId, WorkflowId},
    operation,
    register::{Tries, Unsettled},
};

/// The state of the lock flow.
pub(crate) struct LockChange {
    pub(super) locks: Locks,
    pub(super) id: WorkflowId,
    pub(super) wish: Wish,
    /// Names the record of a break in the operation history, whichever attempt writes it.
    pub(super) record: Option<VersionId>,
    /// Nobody waits for the answer any more, so nothing new is begun.
    pub(super) abandoned: CancellationToken,
    pub(super) tries: Tries,
    /// The last swap of an open outcome; none where no swap is in doubt.
    pub(super) attempt: Option<LockAttempt>,
    pub(super) grant: Option<Grant>,
    pub(super) conflict: Option<Conflict>,
    pub(super) failure: Option<Error>,
}

/// A swap of open outcome. Those before it named the same head, or one that is gone.
#[derive(Debug, Clone)]
pub(crate) struct LockAttempt {
    pub(crate) swap: Unsettled,
    /// What it granted, renewed, gave back or broke, if it landed.
    pub(crate) lease: Lease,
}

#[derive(Debug, Clone)]
pub(crate) enum Wish {
    Acquire(LeaseRequest),
    /// Of this lease.
    Of(LeaseRef, Act),
}

/// What can be done with a lease that is there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// From now on for so long; for as long as before where nothing is said.
    Renew(Option<Duration>),
    Release,
    Break,
}

impl Wish {
    /// Whether a lease that is gone is what was wished for.
    pub(super) fn ends_lease(&self) -> bool {
        matches!(self, Self::Of(_, Act::Release | Act::Break))
    }

    pub(super) fn is_renewal(&self) -> bool {
        matches!(self, Self::Of(_, Act::Renew(_)))
    }

    pub(super) fn is_break(&self) -> bool {
        matches!(self, Self::Of(_, Act::Break))
    }
}

impl LockChange {
    pub(super) fn new(locks: Locks, id: WorkflowId, wish: Wish) -> Result<Self> {
        let record = if wish.is_break() { Some(broken::new_id(&locks.objects, &id)?) } else { None };
        Ok(Self {
            locks,
            id,
            wish,
            record,
            abandoned: CancellationToken::new(),
            tries: Tries::default(),
            attempt: None,
            grant: None,
            conflict: None,
            failure: None,
        })
    }

    /// The same, which begins nothing new once the token is cancelled.
    pub(super) fn unless(self, abandoned: CancellationToken) -> Self {
        Self { abandoned, ..self }
    }

    pub(super) async fn run(mut self) -> Result<Grant> {
        self.locks.gate.admit_writer().await?;
        let (flow, environment) = (self.locks.flow.clone(), self.locks.objects.environment.clone());
        let ended = operation::run(&flow, &mut self, &environment).await;
        let (unsettled, decided) = (self.attempt.is_some(), self.conflict.is_some());
        let doubt = self.tries.take_doubt();
        let result = ended.and_then(|action| match (self.grant, self.conflict, self.failure) {
            (Some(grant), ..) => Ok(grant),
            (None, Some(conflict), _) => Err(conflict.into()),
            (None, None, Some(failure)) => Err(failure),
            (None, None, None) => {
                Err(Error::Internal(format!("the lock flow ended with {action} and no result")))
            }
        });
        match result {
            // A conflict was decided by a head that we read after the swap, and that is not the one which the
            // swap named.
            Err(error) if unsettled && !decided => {
                Err(Error::in_doubt(format!("the locking of {}", self.id), doubt, error))
            }
            other => other,
        }
    }
}
