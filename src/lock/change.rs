use std::time::Duration;

use pflow_backend::Version;
use tokio_util::sync::CancellationToken;

use super::{Grant, LeaseRequest, Locks, broken};
use crate::{
    Error, Result,
    conflict::Conflict,
    format::{Ended, Lease, LeaseRef, VersionId, WorkflowId},
    operation,
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
    pub(super) lost_races: u32,
    /// The last swap of an open outcome; none where no swap is in doubt.
    pub(super) unsettled: Option<Unsettled>,
    /// How many of them failed with an unknown outcome, and what the last one died of.
    pub(super) unknown: u32,
    pub(super) doubt: Option<pflow_backend::Error>,
    pub(super) grant: Option<Grant>,
    pub(super) conflict: Option<Conflict>,
    pub(super) failure: Option<Error>,
}

/// A swap of the head that nobody has told the fate of. It has happened or never will as soon as the head is
/// another one than it named; those before it named the same head, or one that is gone.
#[derive(Debug, Clone)]
pub(crate) struct Unsettled {
    /// What it granted, renewed, gave back or broke, if it did.
    pub(crate) lease: Lease,
    /// The note of how a lease ended that the head has afterwards.
    pub(crate) ended: Option<Ended>,
    /// The version of the head that it replaces; none: that there is none.
    pub(crate) named: Option<Version>,
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
            lost_races: 0,
            unsettled: None,
            unknown: 0,
            doubt: None,
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
        let (unsettled, decided) = (self.unsettled.is_some(), self.conflict.is_some());
        let doubt = self.doubt.take();
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
