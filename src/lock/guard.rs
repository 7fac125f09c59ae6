use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::select;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Grant, LeaseRequest, Locks,
    grants::Guarded,
    keeper::{Keeper, LOOK},
    moment::Moment,
    orders::{Orders, State},
    pending::{Granted, Use},
};
use crate::{
    Error, Result,
    conflict::Conflict,
    format::{Ended, Lease, LeaseId, WorkflowId},
};

/// A lease that is held: a task of its own renews it until it is released, dropped or lost.
///
/// It is renewed after about a third of its duration, so that two renewals may fail before anybody could take
/// over. While it is not certain that it is held, because nothing could be renewed for as long as it lasts,
/// or because this process or the machine stood still for so long, [`lease_id`](Self::lease_id) refuses until
/// it has been renewed. That is a courtesy: whoever took over has raised the fence, so a write under the old
/// lease fails in any case ([`Conflict::LeaseLost`]).
///
/// # How it ends
/// - [`release`](Self::release) gives it back for certain, or says why not.
/// - Dropping it asks its task to give it back: nobody hears of a failure but the log.
///   [`Store::close`](crate::Store::close) waits for it, or the runtime has to go on for a moment.
/// - When the process dies the lease stays; others on the same machine take it over at once, the rest when it
///   has ended.
#[derive(Debug)]
pub struct LeaseGuard {
    locks: Locks,
    id: WorkflowId,
    /// What the task knows.
    state: watch::Receiver<State>,
    orders: Arc<Orders>,
    /// Ends with the result of giving the lease back.
    task: JoinHandle<Result<Lease>>,
}

impl LeaseGuard {
    /// Holds what was granted, which was asked for at `asked`. The task lives until the lease is given back
    /// or lost, and this guard waits for it or leaves it to itself.
    fn new(locks: Locks, id: WorkflowId, grant: Grant, asked: Moment, guarded: Guarded) -> Self {
        let orders = Arc::new(Orders::new(guarded));
        let mut refreshed = asked;
        // What was granted before, in answer to a request whose reply got lost, may have lasted for a while
        // already.
        if grant.already_held {
            refreshed = asked.not_after(grant.lease.refreshed());
            orders.renew.notify_one();
        }
        let (tell, state) = watch::channel(State { lease: grant.lease, refreshed, lost: None });
        let keeper = Keeper::new(locks.clone(), id.clone(), tell, orders.clone());
        Self { locks, id, state, orders, task: tokio::spawn(keeper.run()) }
    }

    /// The workflow that is locked.
    pub fn workflow(&self) -> &WorkflowId {
        &self.id
    }

    /// The lease as it was granted or renewed last, whatever has become of it.
    pub fn lease(&self) -> Lease {
        self.state.borrow().lease.clone()
    }

    /// The number of this grant: the highest that there is while the lease is held. Good for systems outside
    /// of the store that compare fences.
    pub fn fence(&self) -> u64 {
        self.state.borrow().lease.fence
    }

    /// The lease to name in a request ([`crate::SaveRequest::lease`]), while it is certain that it is held.
    ///
    /// # Errors
    /// [`Conflict::LeaseLost`] when it is not held any more, or nobody renews it any more because its task has died. [`Error::LeaseUncertain`] when it was not
    /// renewed for as long as it lasts; it is being renewed now, and [`ensure`](Self::ensure) waits for that.
    pub fn lease_id(&self) -> Result<LeaseId> {
        self.certain().map(|(lease_id, _)| lease_id)
    }

    /// The lease, and for how long it is certain that it is held.
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

    /// Whether it is certain that the lease is held.
    ///
    /// # Errors
    /// As [`lease_id`](Self::lease_id).
    pub fn check(&self) -> Result<()> {
        self.lease_id().map(drop)
    }

    /// The same, but waits for a renewal where that is what it takes.
    ///
    /// # Errors
    /// [`Conflict::LeaseLost`] when it is not held any more. While the storage does not answer this waits.
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

    /// Returns when the lease is lost: who has it now, or how it ended. Whoever works under it stops then.
    ///
    /// The head is looked at every 20 seconds at least, so a break or a takeover is noticed in that time,
    /// however long the lease lasts. A task that has died counts as a loss: nobody renews the lease any more.
    pub async fn lost(&self) -> Conflict {
        let mut state = self.state.clone();
        let lost =
            state.wait_for(|state| state.lost.is_some()).await.ok().and_then(|state| state.lost.clone());
        lost.unwrap_or_else(|| self.abandoned(&self.state.borrow().lease))
    }

    /// Returns when it is not certain any more that the lease is held, and says why:
    /// [`Error::LeaseUncertain`] when it was not renewed for as long as it lasts, [`Conflict::LeaseLost`]
    /// when it is lost. From then on somebody else may work under a lease of their own, so whoever does
    /// something that the store does not fence stops.
    ///
    /// It compares the clocks every 5 seconds, as no timer notices that the machine was suspended.
    pub async fn uncertain(&self) -> Error {
        let environment = self.locks.objects.environment.as_ref();
        let mut state = self.state.clone();
        loop {
            state.mark_unchanged();
            let left = match self.certain() {
                Ok((_, left)) => left,
                Err(error) => return error,
            };
            // It does not matter which: both are looked at.
            let (changed, slept) = (pin!(state.changed()), pin!(environment.sleep(left.min(LOOK))));
            select(changed, slept).await;
        }
    }

    /// Gives the lease back; the lease as it was. Dropping the future leaves that to the task, as dropping
    /// the guard does.
    ///
    /// # Errors
    /// [`Conflict::LeaseLost`] if it was not held any more: what was written under it is written, but somebody else may have begun meanwhile. Otherwise the lease
    /// is still there and ends by itself; errors of the storage.
    pub async fn release(mut self) -> Result<Lease> {
        self.give_back();
        (&mut self.task).await.unwrap_or_else(|_| Err(self.gone()))
    }

    fn give_back(&self) {
        let lease_id = self.state.borrow().lease.id.clone();
        self.orders.give_back(&self.locks, &self.id, &lease_id);
    }

    /// The lease when nobody renews it any more.
    fn abandoned(&self, lease: &Lease) -> Conflict {
        let objects = &self.locks.objects;
        let (by, at) = (objects.environment.identity().to_string(), objects.now());
        let ended = Ended { lease_id: lease.id.clone(), how: Ended::ABANDONED.to_owned(), by, at };
        Conflict::LeaseLost {
            id: self.id.clone(),
            lease_id: lease.id.clone(),
            held: None,
            ended: Some(Box::new(ended)),
            fence: lease.fence,
        }
    }

    /// The task is gone: it has died, or the runtime shuts down.
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
    /// Acquires and holds. A grant has one guard in this process, whichever handle of the store it was asked
    /// through.
    pub(crate) async fn hold(&self, id: &WorkflowId, request: LeaseRequest) -> Result<LeaseGuard> {
        let Granted { grant, asked, asking } = self.wait_for(id, request.attached(), Use::Guard).await?;
        Ok(LeaseGuard::new(self.clone(), id.clone(), grant, asked, asking.guard()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pflow_backend::ManualEnvironment;

    use super::*;
    use crate::{Store, StoreOptions};

    /// Nothing but a defect ends the task early, and the runtime that shuts down.
    #[tokio::test]
    async fn a_task_that_has_died_is_a_loss_and_nobody_waits_for_it_for_ever() {
        let environment = Arc::new(ManualEnvironment::new(1).stepped());
        let store = Store::init_url("memory:", StoreOptions::new(environment.clone())).await.unwrap();
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
