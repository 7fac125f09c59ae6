//! Asking for a lease, so that a caller that stops waiting for the answer leaves none behind.

use tokio::{runtime::Handle, sync::oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    Grant, LeaseRequest, Locks,
    change::{LockChange, Wish},
    grants::Asking,
};
use crate::{
    Error, Result,
    conflict::Conflict,
    format::{LeaseId, LeaseRef, WorkflowId},
};

/// How often a grant that was found is confirmed before the workflow counts as busy.
const CONFIRMATIONS: u32 = 4;

/// What the caller wants with a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Renews and releases it itself.
    Caller,
    /// Has a guard for it, of which there may be one.
    Guard,
}

/// A grant whose caller has not got it yet. Dropped before that, it is given back: no caller knows of it.
///
/// Invariant: a lease that an attempt was granted is handed to the caller or is being released, and no other
/// request for its name is answered meanwhile. Only the end of the runtime comes in between, and then the
/// lease ends by itself.
struct Unclaimed {
    locks: Locks,
    id: WorkflowId,
    /// None once the caller has it, or it is being given back.
    grant: Option<(Grant, Asking)>,
    /// Where it is given back: the caller that drops it need not be a task.
    runtime: Handle,
}

impl Locks {
    /// Waits until this process does not give back the lease of this name: a save that takes it along, or
    /// finds that it has it, keeps it.
    pub(crate) async fn await_releases(&self, id: &WorkflowId, lease_id: &LeaseId) {
        self.grants.rest(id, lease_id).await;
    }

    /// Asks for the lease once. No other request for its name begins in this process before the answer is
    /// dropped.
    ///
    /// The swap is made by a task of its own. A swap whose future is dropped may land or not, and it may land
    /// later; the task hears what became of it, and gives back what the caller does not wait for any more.
    pub(super) async fn ask(
        &self,
        id: &WorkflowId,
        request: &LeaseRequest,
        wanted: Use,
    ) -> Result<(Grant, Asking)> {
        let lease_id = request.lease_id()?;
        let asking = self.grants.ask(id, &lease_id).await;
        if wanted == Use::Guard && asking.is_guarded() {
            return Err(self.guarded(id, lease_id).await);
        }
        let abandoned = CancellationToken::new();
        let (locks, id, request, runtime) = (self.clone(), id.clone(), request.clone(), Handle::current());
        let (tell, told) = oneshot::channel();
        let unless = abandoned.clone();
        self.behind.spawn(async move {
            let answer = locks.granted(&id, &request, unless).await;
            let answer = answer.map(|grant| Unclaimed { locks, id, grant: Some((grant, asking)), runtime });
            // IMPORTANT: given back within this task, so that closing the store waits for it.
            if let Err(Ok(unclaimed)) = tell.send(answer) {
                unclaimed.give_back().await;
            }
        });
        let _abandon = abandoned.drop_guard();
        let answer = told.await.map_err(|_| {
            Error::Internal(
                "the task that asks for the lease is gone; a lease that it was granted ends by itself"
                    .to_owned(),
            )
        })?;
        answer?.claim()
    }

    /// The swap, or the grant that is there already.
    ///
    /// A release of this process whose outcome is unknown may land later and take away what was found. A
    /// renewal tells: only one of the two swaps can land on a head.
    async fn granted(
        &self,
        id: &WorkflowId,
        request: &LeaseRequest,
        abandoned: CancellationToken,
    ) -> Result<Grant> {
        for _ in 0..CONFIRMATIONS {
            let change = LockChange::new(self.clone(), id.clone(), Wish::Acquire(request.clone()))?;
            let grant = change.unless(abandoned.clone()).run().await?;
            if !grant.already_held || !self.grants.are_doubted() {
                return Ok(grant);
            }
            match self.renew(id, &grant.lease, None).await {
                Err(Error::Conflict(lost)) if matches!(*lost, Conflict::LeaseLost { .. }) => {}
                renewed => return renewed.map(|lease| Grant { lease, already_held: true }),
            }
        }
        Err(Conflict::Busy { id: id.clone(), attempts: CONFIRMATIONS }.into())
    }

    /// Why there is no second guard for a name: its lease is held, or it is over although its guard does not
    /// know yet.
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
    fn claim(mut self) -> Result<(Grant, Asking)> {
        self.grant.take().ok_or_else(|| Error::Internal("a grant was claimed twice".to_owned()))
    }

    async fn give_back(mut self) {
        if let Some((grant, asking)) = self.grant.take() {
            give_back(self.locks.clone(), self.id.clone(), grant, asking).await;
        }
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some((grant, asking)) = self.grant.take() {
            let giving_back = give_back(self.locks.clone(), self.id.clone(), grant, asking);
            self.locks.behind.spawn_on(&self.runtime, giving_back);
        }
    }
}

/// Gives back what was granted, unless the caller had it already. Until then no other request for its name
/// begins.
async fn give_back(locks: Locks, id: WorkflowId, grant: Grant, _asking: Asking) {
    if grant.already_held {
        return;
    }
    let leaving = locks.grants.leave(&id, &grant.lease.id);
    let released = locks.release_here(&id, LeaseRef::from(&grant.lease)).await;
    leaving.ended(&released);
    if let Err(error) = released {
        tracing::warn!(%id, lease_id = %grant.lease.id, %error, "a lease whose caller is gone was not given back; it ends by itself");
    }
}
