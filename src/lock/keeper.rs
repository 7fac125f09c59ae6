use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::{Either, select};
use tokio::sync::watch;

use super::{
    Locks,
    moment::Moment,
    orders::{Orders, State},
};
use crate::{
    Error, Result,
    conflict::Conflict,
    format::{Lease, LeaseRef, WorkflowId},
};

/// A lease is renewed after this part of its duration.
const PART: u32 = 3;
/// After a renewal that failed another one is tried after this part of the duration, but not much later than
/// in:
const RETRY_PART: u32 = 24;
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// There is so much between two renewals at least.
const SHORTEST: Duration = Duration::from_millis(10);
/// The clocks are compared so often at least. A timer does not notice that the machine was suspended.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// The head is read so often at least, so that whoever works under a long lease hears soon that it was
/// broken.
const WATCH: Duration = Duration::from_secs(20);

/// The task behind a [`LeaseGuard`](super::LeaseGuard).
pub(super) struct Keeper {
    locks: Locks,
    id: WorkflowId,
    state: watch::Sender<State>,
    orders: Arc<Orders>,
}

/// What there is to do next, and when.
struct Due {
    /// The lease is renewed so long after this moment.
    from: Moment,
    pause: Duration,
    /// When the head was asked for last.
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
        state: watch::Sender<State>,
        orders: Arc<Orders>,
    ) -> Self {
        Self { locks, id, state, orders }
    }

    /// Renews until it is told to give the lease back or finds it lost; what came of giving it back.
    pub(super) async fn run(self) -> Result<Lease> {
        // How often in a row it could not be renewed.
        let mut failures = 0_u32;
        let mut due = self.after_renewal();
        loop {
            let next = self.next(&due).await;
            // What an answer says was so when it was asked for: it may take long to come.
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
                // The lease is there for a while yet, and perhaps longer. The guard refuses when that is not
                // certain any more.
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

    /// The next renewal is counted from the beginning of the last one, as its end is: a storage that takes
    /// long to answer does not push it out.
    fn after_renewal(&self) -> Due {
        let from = self.state.borrow().refreshed;
        let taken = from.elapsed(self.locks.objects.environment.as_ref());
        // Whoever asks for a lease of a moment does not get a storm of renewals.
        Due { from, pause: self.pause(false).max(taken.saturating_add(SHORTEST)), watched: from }
    }

    /// How long after a renewal was begun, or after one that failed, the next one is due. At random, so that
    /// many leases that were taken together are not renewed together for ever.
    fn pause(&self, failed: bool) -> Duration {
        let duration = self.state.borrow().lease.duration();
        let jitter = 1.0 - 0.2 * self.locks.objects.environment.jitter();
        let pause = if failed { (duration / RETRY_PART).min(LONGEST_RETRY) } else { duration / PART };
        pause.max(SHORTEST).mul_f64(jitter)
    }

    fn now(&self) -> Moment {
        Moment::now(self.locks.objects.environment.as_ref())
    }

    /// Waits, by either clock, until there is something to do.
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

    /// Looks whether the lease is there still. A look that fails says nothing: the next renewal does.
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

    /// Tells the guard, and waits until it is done with.
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
