use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::{Either, select};
use tokio::sync::watch;

use super::{
    Locks,
    moment::Moment,
    orders::{LeaseState, Orders},
};
use crate::{
    Error, Result,
    conflict::Conflict,
    format::{Lease, LeaseRef, WorkflowId},
};

/// A lease is renewed after this fraction of its duration.
const PART: u32 = 3;
/// A failed renewal is retried after this fraction of the duration, and at most `LONGEST_RETRY` later.
const RETRY_PART: u32 = 24;
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// The minimum time between two renewals.
const SHORTEST: Duration = Duration::from_millis(10);
/// How often the clocks are compared at least. A timer does not notice that the machine was suspended.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// How often the head is read at least, so that a break of a long lease is noticed soon.
const WATCH: Duration = Duration::from_secs(20);

/// The task behind a [`LeaseGuard`](super::LeaseGuard).
pub(super) struct Keeper {
    locks: Locks,
    id: WorkflowId,
    state: watch::Sender<LeaseState>,
    orders: Arc<Orders>,
}

/// When the next step is due.
struct Due {
    /// The lease is renewed `pause` after this moment.
    from: Moment,
    pause: Duration,
    /// When the head was last requested.
    watched: Moment,
}

enum Next {
    Renew,
    Watch,
    GiveBack,
}

enum Done {
    Renewed,
    Seen,
}

impl Keeper {
    pub(super) fn new(
        locks: Locks,
        id: WorkflowId,
        state: watch::Sender<LeaseState>,
        orders: Arc<Orders>,
    ) -> Self {
        Self { locks, id, state, orders }
    }

    /// Renews the lease until it is released or lost. Returns the result of the release.
    pub(super) async fn run(self) -> Result<Lease> {
        // The number of consecutive failed renewals.
        let mut failures = 0_u32;
        let mut due = self.after_renewal();
        loop {
            let next = self.next(&due).await;
            // A reply describes the state at the time of the request, because it may take long to arrive.
            let asked = self.now();
            let done = match next {
                Next::GiveBack => return self.give_back().await,
                Next::Watch => self.watch().await,
                Next::Renew => self.renew().await,
            };
            match done {
                Ok(Done::Renewed) => {
                    if failures > 0 {
                        tracing::info!(id = %self.id, failures, "the lease is renewed again");
                    }
                    (failures, due) = (0, self.after_renewal());
                }
                Ok(Done::Seen) => due.watched = asked,
                Err(Error::Conflict(lost)) if matches!(*lost, Conflict::LeaseLost { .. }) => {
                    return self.lose(*lost).await;
                }
                // The lease is valid for a while yet. The guard refuses once that is uncertain.
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(id = %self.id, %error, "the lease could not be renewed; it is tried again");
                    } else {
                        tracing::debug!(id = %self.id, %error, failures, "the lease could not be renewed again");
                    }
                    failures = failures.saturating_add(1);
                    due = Due { from: self.now(), pause: self.pause(true), watched: asked };
                }
            }
        }
    }

    /// Returns when the next renewal is due. It is counted from the start of the last one, as the end of the
    /// lease is, so a slow storage does not delay it.
    fn after_renewal(&self) -> Due {
        let from = self.state.borrow().refreshed;
        let taken = from.elapsed(self.locks.objects.environment.as_ref());
        // The minimum pause prevents a flood of renewals for a very short lease.
        Due { from, pause: self.pause(false).max(taken.saturating_add(SHORTEST)), watched: from }
    }

    /// Returns the pause between the start of a renewal, or a failed one, and the next. It is randomised so
    /// that many leases that were granted together are not renewed together forever.
    fn pause(&self, failed: bool) -> Duration {
        let duration = self.state.borrow().lease.duration();
        let jitter = 1.0 - 0.2 * self.locks.objects.environment.jitter();
        let pause = if failed { (duration / RETRY_PART).min(LONGEST_RETRY) } else { duration / PART };
        pause.max(SHORTEST).mul_f64(jitter)
    }

    fn now(&self) -> Moment {
        Moment::now(self.locks.objects.environment.as_ref())
    }

    /// Waits, by either clock, until the next step is due.
    async fn next(&self, due: &Due) -> Next {
        let environment = self.locks.objects.environment.as_ref();
        loop {
            if self.orders.give_back.is_cancelled() {
                return Next::GiveBack;
            }
            let left = due.pause.saturating_sub(due.from.elapsed(environment));
            if left.is_zero() {
                return Next::Renew;
            }
            let unseen = WATCH.saturating_sub(due.watched.elapsed(environment));
            if unseen.is_zero() {
                return Next::Watch;
            }
            let pause = left.min(unseen).min(LOOK);
            let (asked, slept) = (pin!(self.orders.renew.notified()), pin!(environment.sleep(pause)));
            match select(pin!(self.orders.give_back.cancelled()), select(asked, slept)).await {
                Either::Left(_) => return Next::GiveBack,
                Either::Right((Either::Left(_), _)) => return Next::Renew,
                Either::Right((Either::Right(_), _)) => {}
            }
        }
    }

    /// Checks that the lease is still in the head. A failed read is ignored: the next renewal decides.
    async fn watch(&self) -> Result<Done> {
        let held = LeaseRef::from(&self.state.borrow().lease);
        match self.locks.objects.head(&self.id).await {
            Ok(stored) if stored.head.lease.as_ref().is_none_or(|lease| !held.is(lease)) => {
                return Err(Conflict::lease_lost(held.id, &stored.head).into());
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(id = %self.id, %error, "the lease could not be looked at"),
        }
        Ok(Done::Seen)
    }

    async fn renew(&self) -> Result<Done> {
        let refreshed = self.now();
        let held = LeaseRef::from(&self.state.borrow().lease);
        let lease = self.locks.renew(&self.id, held, None).await?;
        self.state.send_modify(|state| (state.lease, state.refreshed) = (lease, refreshed));
        Ok(Done::Renewed)
    }

    async fn give_back(&self) -> Result<Lease> {
        let held = LeaseRef::from(&self.state.borrow().lease);
        let result = self.locks.release_here(&self.id, held.clone()).await;
        self.orders.ended(&result);
        if let Err(error) = &result {
            tracing::warn!(id = %self.id, lease_id = %held.id, %error, "the lease was not given back");
        }
        result
    }

    /// Publishes the loss, and waits until the guard is released or dropped.
    async fn lose(self, lost: Conflict) -> Result<Lease> {
        tracing::warn!(id = %self.id, %lost, "the lease is lost");
        self.state.send_modify(|state| state.lost = Some(lost.clone()));
        self.orders.give_back.cancelled().await;
        let lost = Err(lost.into());
        self.orders.ended(&lost);
        lost
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.orders.loosen();
    }
}
