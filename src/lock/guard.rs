use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::select;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Grant, LeaseRequest, Locks,
    grants::{Asking, Guarded},
    keeper::{Keeper, LOOK},
    moment::Moment,
    orders::{LeaseState, Orders},
};
use crate::{
    Error, Result,
    conflict::Conflict,
    format::{Ended, Lease, LeaseId, WorkflowId},
};

/// A lease with a background task that renews it until it is released, dropped or lost.
///
/// The task renews the lease after about a third of its duration, so two renewals may fail before another
/// client can take over. When no renewal succeeded for the lease's whole duration, because the storage did
/// not answer or this process or the machine was suspended, it is not certain that the lease is still held,
/// and [`lease_id`](Self::lease_id) refuses until the next renewal succeeds. That refusal is a courtesy: a
/// takeover raises the fence, so a write under the old lease fails in any case ([`Conflict::LeaseLost`]).
///
/// # How it ends
/// - [`release`](Self::release) releases the lease and reports the result.
/// - Dropping the guard makes its task release the lease; a failure appears only in the log.
///   [`Store::close`](crate::Store::close) waits for the release; without it the runtime must keep running
///   for a moment.
/// - When the process dies the lease remains. Other processes on the same machine may take it over at once,
///   other machines once it has ended.
#[derive(Debug)]
pub struct LeaseGuard {
    locks: Locks,
    id: WorkflowId,
    /// The state that the task publishes.
    state: watch::Receiver<LeaseState>,
    orders: Arc<Orders>,
    /// Ends with the result of the release.
    task: JoinHandle<Result<Lease>>,
}

impl LeaseGuard {
    /// Guards a grant that was requested at `asked`. The task lives until the lease is released or lost. It
    /// outlives the guard if the guard is dropped.
    fn new(locks: Locks, id: WorkflowId, grant: Grant, asked: Moment, guarded: Guarded) -> Self {
        let orders = Arc::new(Orders::new(guarded));
        let mut refreshed = asked;
        // A lease that was granted earlier, to a request whose reply was lost, has been running since then.
        if grant.already_held {
            refreshed = asked.not_after(grant.lease.refreshed());
            orders.renew.notify_one();
        }
        let (tell, state) = watch::channel(LeaseState { lease: grant.lease, refreshed, lost: None });
        let keeper = Keeper::new(locks.clone(), id.clone(), tell, orders.clone());
        Self { locks, id, state, orders, task: tokio::spawn(keeper.run()) }
    }

    /// Returns the id of the locked workflow.
    pub fn workflow(&self) -> &WorkflowId {
        &self.id
    }

    /// Returns the lease as last granted or renewed, even if it has been lost since.
    pub fn lease(&self) -> Lease {
        self.state.borrow().lease.clone()
    }

    /// Returns the fence of this grant. No higher fence exists for the workflow while the lease is held.
    /// External systems can compare it as a fencing token.
    pub fn fence(&self) -> u64 {
        self.state.borrow().lease.fence
    }

    /// Returns the lease id to name in a request ([`crate::SaveRequest::lease`]), while it is certain that
    /// the lease is held.
    ///
    /// # Errors
    /// [`Conflict::LeaseLost`] if the lease is no longer held, or if the renewal task has died.
    /// [`Error::LeaseUncertain`] if the lease was not renewed for its whole duration; this triggers a
    /// renewal, and [`ensure`](Self::ensure) waits for it.
    pub fn lease_id(&self) -> Result<LeaseId> {
        self.certain().map(|(lease_id, _)| lease_id)
    }

    /// Returns the lease id and for how long it is certain that the lease is held.
    fn certain(&self) -> Result<(LeaseId, Duration)> {
        let state = self.state.borrow();
        if let Some(lost) = &state.lost {
            return Err(lost.clone().into());
        }
        if self.task.is_finished() {
            return Err(self.abandoned(&state.lease).into());
        }
        let silent = state.refreshed.elapsed(self.locks.objects.environment.as_ref());
        let left = state.lease.duration().saturating_sub(silent);
        if !left.is_zero() {
            return Ok((state.lease.id.clone(), left));
        }
        self.orders.renew.notify_one();
        Err(Error::LeaseUncertain { id: self.id.clone(), lease_id: state.lease.id.clone(), silent })
    }

    /// Checks that the lease is certainly held.
    ///
    /// # Errors
    /// The errors of [`lease_id`](Self::lease_id).
    pub fn check(&self) -> Result<()> {
        self.lease_id().map(drop)
    }

    /// Returns the lease id like [`lease_id`](Self::lease_id), but waits for a renewal if the lease is
    /// uncertain.
    ///
    /// # Errors
    /// [`Conflict::LeaseLost`] if the lease is no longer held. Waits as long as the storage does not answer.
    pub async fn ensure(&self) -> Result<LeaseId> {
        let mut state = self.state.clone();
        loop {
            state.mark_unchanged();
            match self.lease_id() {
                Err(Error::LeaseUncertain { .. }) => {}
                certain => return certain,
            }
            if state.changed().await.is_err() {
                return Err(self.lost().await.into());
            }
        }
    }

    /// Waits until the lease is lost, and returns who holds it now or how it ended. The caller should stop
    /// its work under the lease then.
    ///
    /// The task reads the head at least every 20 seconds, so it notices a break or a takeover within that
    /// time, however long the lease lasts. A dead task counts as a loss, because nothing renews the lease any
    /// more.
    pub async fn lost(&self) -> Conflict {
        let mut state = self.state.clone();
        let lost =
            state.wait_for(|state| state.lost.is_some()).await.ok().and_then(|state| state.lost.clone());
        lost.unwrap_or_else(|| self.abandoned(&self.state.borrow().lease))
    }

    /// Waits until it is no longer certain that the lease is held, and returns the reason:
    /// [`Error::LeaseUncertain`] if it was not renewed for its whole duration, [`Conflict::LeaseLost`] if it
    /// is lost. From then on another client may work under its own lease, so the caller must stop any work
    /// that the store does not fence.
    ///
    /// It compares the clocks every 5 seconds, because a timer does not notice that the machine was
    /// suspended.
    pub async fn uncertain(&self) -> Error {
        let environment = self.locks.objects.environment.as_ref();
        let mut state = self.state.clone();
        loop {
            state.mark_unchanged();
            let left = match self.certain() {
                Ok((_, left)) => left,
                Err(error) => return error,
            };
            // It does not matter which future finished: the loop checks both conditions.
            let (changed, slept) = (pin!(state.changed()), pin!(environment.sleep(left.min(LOOK))));
            select(changed, slept).await;
        }
    }

    /// Releases the lease and returns it as it was. Dropping the future leaves the release to the task, like
    /// dropping the guard.
    ///
    /// # Errors
    /// [`Conflict::LeaseLost`] if the lease was no longer held: earlier writes under it remain, but another
    /// client may have started work since. After any other error (of the storage) the lease may still be in
    /// the head, and expires by itself.
    pub async fn release(mut self) -> Result<Lease> {
        self.give_back();
        (&mut self.task).await.unwrap_or_else(|_| Err(self.gone()))
    }

    fn give_back(&self) {
        let lease_id = self.state.borrow().lease.id.clone();
        self.orders.give_back(&self.locks, &self.id, &lease_id);
    }

    /// Returns the conflict for a lease that nothing renews any more.
    fn abandoned(&self, lease: &Lease) -> Conflict {
        let objects = &self.locks.objects;
        let (by, at) = (objects.environment.identity().to_string(), objects.now());
        let ended = Ended::new(lease, Ended::ABANDONED, by, at);
        Conflict::LeaseLost {
            id: self.id.clone(),
            lease_id: lease.id.clone(),
            held: None,
            ended: Some(Box::new(ended)),
            fence: lease.fence,
        }
    }

    /// Returns the error for a missing task: it panicked, or the runtime is shutting down.
    fn gone(&self) -> Error {
        Error::Internal(format!(
            "the task that keeps the lease on {} is gone; the lease ends by itself",
            self.id
        ))
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Locks {
    /// Acquires a lease and guards it. A grant has at most one guard in this process, across all handles of
    /// the store.
    pub(crate) async fn acquire_guarded(&self, id: &WorkflowId, request: LeaseRequest) -> Result<LeaseGuard> {
        let (granted, guarded) = self.wait_for(id, request.attached(), Asking::guard).await?;
        Ok(LeaseGuard::new(self.clone(), id.clone(), granted.grant, granted.asked, guarded))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pflow_backend::ManualEnvironment;

    use super::*;
    use crate::Store;

    /// Only a defect or the shutdown of the runtime ends the task early.
    #[tokio::test]
    async fn dead_renewal_task_counts_as_a_lost_lease() {
        let environment = Arc::new(ManualEnvironment::new(1).stepped());
        let store = Store::builder("memory:").environment(environment.clone()).init().await.unwrap();
        let id = WorkflowId::parse("a").unwrap();
        let guard = store.lock(&id, LeaseRequest::new("edit", Duration::from_secs(60))).await.unwrap();
        guard.check().unwrap();
        guard.task.abort();
        let lost = guard.lost().await;
        assert!(lost.to_string().contains("it was abandoned by tester@host-1"), "{lost}");
        while !guard.task.is_finished() {
            tokio::task::yield_now().await;
        }
        for error in [guard.uncertain().await, guard.check().unwrap_err(), guard.ensure().await.unwrap_err()]
        {
            assert_eq!(error.to_string(), Error::from(lost.clone()).to_string());
        }
        assert!(matches!(guard.release().await, Err(Error::Internal(_))));
        store.close().await.unwrap();
    }
}
