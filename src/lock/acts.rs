//! What is done with a lease that is there: one swap each, by its id.

use std::time::Duration;

use super::{
    Locks,
    change::{Act, LockChange, Wish},
    request::check_duration,
};
use crate::{
    Result,
    stored::{Lease, LeaseId, LeaseRef, WorkflowId},
};

impl Locks {
    /// Makes a lease last from now on.
    pub(crate) async fn renew(
        &self,
        id: &WorkflowId,
        lease: impl Into<LeaseRef>,
        duration: Option<Duration>,
    ) -> Result<Lease> {
        duration.map_or(Ok(()), check_duration)?;
        self.act(id, lease.into(), Act::Renew(duration)).await
    }

    /// Gives a lease back.
    pub(crate) async fn release(&self, id: &WorkflowId, lease: impl Into<LeaseRef>) -> Result<Lease> {
        self.end(id, lease.into(), Act::Release).await
    }

    /// Takes a lease away from whoever holds it.
    pub(crate) async fn break_lease(&self, id: &WorkflowId, lease: LeaseId) -> Result<Lease> {
        self.end(id, lease.into(), Act::Break).await
    }

    async fn end(&self, id: &WorkflowId, lease: LeaseRef, act: Act) -> Result<Lease> {
        let ended = self.act(id, lease, act).await;
        // Whatever came of it, it is worth a look to whoever waits in this process.
        self.lines.wake(id);
        ended
    }

    async fn act(&self, id: &WorkflowId, lease: LeaseRef, act: Act) -> Result<Lease> {
        let change = LockChange::new(self.clone(), id.clone(), Wish::Of(lease, act))?;
        change.run().await.map(|grant| grant.lease)
    }
}
