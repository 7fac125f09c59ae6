use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::{Either, select};
use tokio::sync::watch;

use super::{
    Locks,
    guard::{Orders, State},
    moment::Moment,
};
use crate::{
    Error, Result,
    conflict::Conflict,
    stored::{Lease, WorkflowId},
};

/// A lease is renewed after this part of its duration.
const PART: u32 = 3;
/// After a renewal that failed another one is tried after this part of the duration, but not much later than in:
const RETRY_PART: u32 = 24;
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// There is so much between two renewals at least.
const SHORTEST: Duration = Duration::from_millis(10);
/// The clocks are compared so often at least. A timer does not notice that the machine was suspended.
const LOOK: Duration = Duration::from_secs(5);

/// The task behind a [`LeaseGuard`](super::LeaseGuard).
pub(super) struct Keeper {
    locks: Locks,
    id: WorkflowId,
    state: watch::Sender<State>,
    orders: Arc<Orders>,
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
        let mut due = self.due(false);
        loop {
            if !self.time_to_renew(due).await {
                return self.give_back().await;
            }
            match self.renew().await {
                Ok(()) => due = self.due(false),
                Err(Error::Conflict(lost)) if matches!(*lost, Conflict::LeaseLost { .. }) => {
                    return self.lose(*lost).await;
                }
                // The lease is there for a while yet, and perhaps longer. The guard refuses when that is not certain any more.
                Err(error) => {
                    tracing::warn!(id = %self.id, %error, "the lease could not be renewed; it is tried again");
                    due = self.due(true);
                }
            }
        }
    }

    /// How long after the last renewal, or after a failed one, the next one is due. At random, so that many leases that were taken together are not
    /// renewed together for ever.
    fn due(&self, failed: bool) -> Duration {
        let duration = self.state.borrow().lease.duration();
        let jitter = 1.0 - 0.2 * self.locks.objects.environment.jitter();
        let pause = if failed { (duration / RETRY_PART).min(LONGEST_RETRY) } else { duration / PART };
        // Whoever asks for a lease of a moment does not get a storm of renewals.
        pause.max(SHORTEST).mul_f64(jitter)
    }

    /// Waits until the time is over by either clock, or a renewal is wished for; false when the lease is to be given back.
    async fn time_to_renew(&self, due: Duration) -> bool {
        let environment = self.locks.objects.environment.as_ref();
        let begun = Moment::now(environment);
        loop {
            if self.orders.give_back.is_cancelled() {
                return false;
            }
            let left = due.saturating_sub(begun.elapsed(environment));
            if left.is_zero() {
                return true;
            }
            let (asked, slept) =
                (pin!(self.orders.renew.notified()), pin!(environment.sleep(left.min(LOOK))));
            match select(pin!(self.orders.give_back.cancelled()), select(asked, slept)).await {
                Either::Left(_) => return false,
                Either::Right((Either::Left(_), _)) => return true,
                Either::Right((Either::Right(_), _)) => {}
            }
        }
    }

    async fn renew(&self) -> Result<()> {
        let refreshed = Moment::now(self.locks.objects.environment.as_ref());
        let lease_id = self.state.borrow().lease.id.clone();
        let lease = self.locks.renew(&self.id, lease_id, None).await?;
        self.state.send_modify(|state| (state.lease, state.refreshed) = (lease, refreshed));
        Ok(())
    }

    async fn give_back(&self) -> Result<Lease> {
        let lease_id = self.state.borrow().lease.id.clone();
        let result = self.locks.release(&self.id, lease_id.clone()).await;
        if let Err(error) = &result {
            tracing::warn!(id = %self.id, %lease_id, %error, "the lease was not given back");
        }
        result
    }

    /// Tells the guard, and waits until it is done with.
    async fn lose(self, lost: Conflict) -> Result<Lease> {
        tracing::warn!(id = %self.id, %lost, "the lease is lost");
        self.state.send_modify(|state| state.lost = Some(lost.clone()));
        self.orders.give_back.cancelled().await;
        Err(lost.into())
    }
}
