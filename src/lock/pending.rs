//! Requests a lease such that a caller that stops waiting leaves no lease behind.

use std::sync::Arc;

use tokio::{runtime::Handle, sync::oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    Grant, Locks,
    change::{LockChange, Wish},
    grants::Asking,
    moment::Moment,
    request::LeaseClaim,
};
use crate::{
    Error, Result,
    conflict::Conflict,
    format::{LeaseId, LeaseRef, WorkflowId},
};

/// How many times a lease that was already held is confirmed before the workflow is reported as busy.
const CONFIRMATIONS: u32 = 4;

/// A grant as delivered to its caller.
#[derive(Clone)]
pub(super) struct Granted {
    pub(super) grant: Grant,
    /// When it was requested. The lease lasts at least its duration from then on.
    pub(super) asked: Moment,
    /// Blocks other requests for the same id in this process until the last clone is dropped.
    asking: Arc<Asking>,
}

/// A grant that has not reached its caller. Dropping it releases the lease, because no caller knows of it.
///
/// Invariant: a granted lease reaches its caller or is being released, and meanwhile no other request for its
/// id is answered. Only the end of the runtime breaks this, and then the lease expires.
struct Unclaimed {
    locks: Locks,
    id: WorkflowId,
    granted: Granted,
    /// The caller has it, or its release has started.
    is_settled: bool,
    /// Runs the release, because the drop may happen outside of a task.
    runtime: Handle,
}

impl Locks {
    /// Waits for the releases of this lease that this process has started, so that a save that acquires the
    /// lease, or finds it granted, keeps it.
    pub(crate) async fn await_releases(&self, id: &WorkflowId, lease_id: &LeaseId) {
        self.grants.rest(id, lease_id).await;
    }

    /// Requests the lease once.
    ///
    /// The swap runs in a task of its own. If its future were dropped, the swap could still land later. The
    /// task learns the outcome, and releases a grant whose caller is gone.
    ///
    /// `tie` binds the name of the grant to what the caller does with it. If it returns none, the name has a
    /// guard.
    pub(super) async fn ask<T>(
        &self,
        id: &WorkflowId,
        claim: &LeaseClaim,
        tie: fn(&Asking) -> Option<T>,
    ) -> Result<(Granted, T)> {
        let asked = Moment::now(self.objects.environment.as_ref());
        let asking = Arc::new(self.grants.ask(id, claim.id()).await);
        let Some(tied) = tie(&asking) else {
            return Err(self.guarded(id, claim.id().clone()).await);
        };
        let abandoned = CancellationToken::new();
        let (locks, id, claim, runtime) = (self.clone(), id.clone(), claim.clone(), Handle::current());
        let (tell, told) = oneshot::channel();
        let unless = abandoned.clone();
        self.behind.spawn(async move {
            let answer = locks.granted(&id, &claim, unless).await;
            let answer = answer.map(|grant| {
                let granted = Granted { grant, asked, asking };
                Unclaimed { locks, id, granted, is_settled: false, runtime }
            });
            // IMPORTANT: release within this task, so that closing the store waits for it.
            if let Err(Ok(unclaimed)) = tell.send(answer) {
                unclaimed.release().await;
            }
        });
        let _abandon = abandoned.drop_guard();
        let answer = told.await.map_err(|_| {
            Error::Internal(
                "the task that asks for the lease is gone; a lease that it was granted ends by itself"
                    .to_owned(),
            )
        })?;
        Ok((answer?.claim(), tied))
    }

    /// Acquires the lease, or finds that the caller holds it.
    ///
    /// A release by this process that is in doubt may land later and take away the lease that was
    /// found. So that lease is renewed first: the renewal and the release cannot both land on one head.
    async fn granted(
        &self,
        id: &WorkflowId,
        claim: &LeaseClaim,
        abandoned: CancellationToken,
    ) -> Result<Grant> {
        for _ in 0..CONFIRMATIONS {
            let wish = Wish::Acquire(claim.clone());
            let grant = LockChange::new(self.clone(), id.clone(), wish, abandoned.clone())?.run().await?;
            if !grant.already_held || !self.grants.have_doubts() {
                return Ok(grant);
            }
            match self.renew(id, &grant.lease, None).await {
                Err(Error::Conflict(lost)) if matches!(*lost, Conflict::LeaseLost { .. }) => {}
                renewed => return renewed.map(|lease| Grant { lease, already_held: true }),
            }
        }
        Err(Conflict::Busy { id: id.clone(), attempts: CONFIRMATIONS }.into())
    }

    /// Returns why a lease cannot have a second guard: it is held, or it has ended and its guard has not
    /// noticed yet.
    async fn guarded(&self, id: &WorkflowId, lease_id: LeaseId) -> Error {
        let stored = match self.objects.head(id).await {
            Ok(stored) => stored,
            Err(error) => return error,
        };
        let standing = self.observer.standing(&stored.head);
        let held = stored.head.lease.as_ref().filter(|lease| lease.id == lease_id);
        match (held, standing) {
            (Some(held), Some(standing)) if standing.is_live() => {
                let (lease, now) = (Box::new(held.clone()), self.objects.now());
                Conflict::Locked { id: id.clone(), lease, standing, now }.into()
            }
            _ => Conflict::lease_lost(lease_id, &stored.head).into(),
        }
    }
}

impl Unclaimed {
    fn claim(mut self) -> Granted {
        self.is_settled = true;
        self.granted.clone()
    }

    async fn release(mut self) {
        self.is_settled = true;
        release(self.locks.clone(), self.id.clone(), self.granted.clone()).await;
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if !self.is_settled {
            let releasing = release(self.locks.clone(), self.id.clone(), self.granted.clone());
            self.locks.behind.spawn_on(&self.runtime, releasing);
        }
    }
}

/// Releases a grant, unless the caller held it before. Keeps `asking` until the end.
async fn release(locks: Locks, id: WorkflowId, Granted { grant, asking, .. }: Granted) {
    if !grant.already_held {
        let leaving = locks.grants.leave(&id, &grant.lease.id);
        let released = locks.release_here(&id, LeaseRef::from(&grant.lease)).await;
        leaving.ended(&released);
        if let Err(error) = released {
            tracing::warn!(%id, lease_id = %grant.lease.id, %error, "a lease whose caller is gone was not given back; it ends by itself");
        }
    }
    drop(asking);
}
