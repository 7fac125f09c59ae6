use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Grant, Locks, broken, request::LeaseClaim};
use crate::{
    Error, Result,
    conflict::Conflict,
    format::{Lease, LeaseRef, VersionId, WorkflowId},
    operation,
    register::{HeadSwap, Tries},
};

/// A change of a lease: the state of the lock flow.
pub(crate) struct LockChange {
    pub(super) asked: Arc<Asked>,
    pub(super) phase: LockPhase,
    /// The last swap in doubt. Earlier ones named the same state of the head or an older one, so settling this
    /// swap settles them too.
    pub(super) in_doubt: Option<Arc<LockAttempt>>,
    pub(super) tries: Tries,
}

/// The request. It is the same for every attempt.
pub(super) struct Asked {
    pub(super) locks: Locks,
    pub(super) id: WorkflowId,
    pub(super) wish: Wish,
    /// The id of the record that a break leaves in the operation history. Every attempt writes the same
    /// record, so the break is recorded once.
    pub(super) record: Option<VersionId>,
    /// Cancelled when the caller is gone. No swap is begun after that.
    pub(super) abandoned: CancellationToken,
}

/// The progress of a change.
pub(super) enum LockPhase {
    /// The next step reads the head and swaps it.
    Open,
    Done(Grant),
    /// The head rules the request out. The head was read after every swap of this change, so the refusal is
    /// certain.
    Refused(Conflict),
    Failed(Error),
}

/// A swap in doubt.
#[derive(Debug)]
pub(super) struct LockAttempt {
    pub(super) swap: HeadSwap,
    /// The lease that it granted, renewed, released or broke, if it landed.
    pub(super) lease: Lease,
}

#[derive(Debug, Clone)]
pub(crate) enum Wish {
    Acquire(LeaseClaim),
    /// An operation on this existing lease.
    Of(LeaseRef, Act),
}

/// An operation on an existing lease.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// Restarts the lease from now, with this duration or with the previous one.
    Renew(Option<Duration>),
    Release,
    Break,
}

impl Wish {
    /// Whether the request is fulfilled once the lease is gone.
    pub(crate) fn ends_lease(&self) -> bool {
        matches!(self, Self::Of(_, Act::Release | Act::Break))
    }

    /// Whether it does more than to keep or to give back a lease of the caller.
    fn is_new(&self) -> bool {
        !matches!(self, Self::Of(_, Act::Renew(_) | Act::Release))
    }

    pub(super) fn is_renewal(&self) -> bool {
        matches!(self, Self::Of(_, Act::Renew(_)))
    }

    pub(super) fn is_break(&self) -> bool {
        matches!(self, Self::Of(_, Act::Break))
    }
}

impl LockChange {
    /// Creates a change. No swap starts after `abandoned` is cancelled.
    pub(super) fn new(
        locks: Locks,
        id: WorkflowId,
        wish: Wish,
        abandoned: CancellationToken,
    ) -> Result<Self> {
        let record = if wish.is_break() { Some(broken::new_id(&locks.objects, &id)?) } else { None };
        let asked = Arc::new(Asked { locks, id, wish, record, abandoned });
        Ok(Self { asked, phase: LockPhase::Open, in_doubt: None, tries: Tries::default() })
    }

    pub(super) async fn run(mut self) -> Result<Grant> {
        let asked = Arc::clone(&self.asked);
        let Locks { gate, flow, objects, .. } = &asked.locks;
        let _admission = if asked.wish.is_new() {
            Some(gate.admit_writer().await?)
        } else {
            gate.admit_holder().await?;
            None
        };
        let stopped = operation::run(flow, &mut self, &objects.environment).await.err();
        let error = match (self.phase, stopped) {
            (LockPhase::Done(grant), _) => return Ok(grant),
            (LockPhase::Refused(conflict), _) => return Err(conflict.into()),
            (LockPhase::Failed(error), _) | (LockPhase::Open, Some(error)) => error,
            (LockPhase::Open, None) => {
                Conflict::Busy { id: asked.id.clone(), attempts: self.tries.lost() }.into()
            }
        };
        if self.in_doubt.is_none() {
            return Err(error);
        }
        Err(Error::in_doubt(format!("the locking of {}", asked.id), self.tries.take_doubt(), error))
    }
}
