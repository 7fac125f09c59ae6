//! Operations on an existing lease: each is one swap that names the lease by its id.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    Locks,
    change::{Act, LockChange, Wish},
    request::check_duration,
};
use crate::{
    Error, Result,
    format::{Lease, LeaseId, LeaseRef, WorkflowId},
};

impl Locks {
    /// Restarts the lease's duration from now.
    pub(crate) async fn renew(
        &self,
        id: &WorkflowId,
        lease: impl Into<LeaseRef>,
        duration: Option<Duration>,
    ) -> Result<Lease> {
        duration.map_or(Ok(()), check_duration)?;
        self.act(id, lease.into(), Act::Renew(duration)).await
    }

    /// Releases a lease. Dropping the future does not cancel the release.
    pub(crate) async fn release(&self, id: &WorkflowId, lease: LeaseId) -> Result<Lease> {
        self.end(id, lease, Act::Release).await
    }

    /// Takes a lease away from its holder. Dropping the future does not cancel the break.
    pub(crate) async fn break_lease(&self, id: &WorkflowId, lease: LeaseId) -> Result<Lease> {
        self.end(id, lease, Act::Break).await
    }

    /// Releases a lease within the caller's task.
    pub(super) async fn release_here(&self, id: &WorkflowId, lease: LeaseRef) -> Result<Lease> {
        self.end_here(id, lease, Act::Release).await
    }

    /// Ends a lease in a task of its own. If the future of a swap is dropped, the swap may still land later,
    /// and it would then take away a lease that this process was granted under the same id in between.
    async fn end(&self, id: &WorkflowId, lease: LeaseId, act: Act) -> Result<Lease> {
        let leaving = self.grants.leave(id, &lease);
        let (locks, of) = (self.clone(), id.clone());
        let task = self.behind.spawn(async move {
            let ended = locks.end_here(&of, lease.into(), act).await;
            leaving.ended(&ended);
            ended
        });
        task.await.unwrap_or_else(|_| {
            let what = format!("the task that ends the lease on {id} is gone; the lease ends by itself");
            Err(Error::Internal(what))
        })
    }

    async fn end_here(&self, id: &WorkflowId, lease: LeaseRef, act: Act) -> Result<Lease> {
        let ended = self.act(id, lease, act).await;
        // Wakes the first caller in line whatever the result: it reads the head itself.
        self.lines.wake(id);
        ended
    }

    async fn act(&self, id: &WorkflowId, lease: LeaseRef, act: Act) -> Result<Lease> {
        let (wish, goes_on) = (Wish::Of(lease, act), CancellationToken::new());
        LockChange::new(self.clone(), id.clone(), wish, goes_on)?.run().await.map(|grant| grant.lease)
    }
}
