//! Asking for a lease, so that whoever stops waiting for the answer leaves none behind.

use tokio::{runtime::Handle, sync::oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    Grant, LeaseRequest, Locks,
    change::{LockChange, Wish},
};
use crate::{
    Error, Result,
    stored::{LeaseRef, WorkflowId},
};

/// A grant on its way to whoever asked for it. Dropped on the way, it is given back: nobody knows of it, and nobody would.
///
/// Invariant: a lease that an attempt was granted is handed to the caller or is being released. Only the end of the runtime comes in between, and then
/// the lease ends by itself.
struct Unclaimed {
    locks: Locks,
    id: WorkflowId,
    /// None once it has arrived.
    grant: Option<Grant>,
    /// Where it is given back: whoever drops it need not be a task.
    runtime: Handle,
}

impl Locks {
    /// Asks for the lease once.
    ///
    /// The swap is made by a task of its own. A swap whose future is dropped may land or not, and it may land later; the task hears what became of it, and
    /// gives back what nobody waits for any more.
    pub(super) async fn ask(&self, id: &WorkflowId, request: &LeaseRequest) -> Result<Grant> {
        let abandoned = CancellationToken::new();
        let change = LockChange::new(self.clone(), id.clone(), Wish::Acquire(request.clone()))?
            .unless(abandoned.clone());
        let (locks, id, runtime) = (self.clone(), id.clone(), Handle::current());
        let (tell, told) = oneshot::channel();
        self.behind.spawn(async move {
            let answer = change.run().await.map(|grant| Unclaimed { locks, id, grant: Some(grant), runtime });
            // Whoever is gone gets nothing, and what it does not get is dropped here.
            drop(tell.send(answer));
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
}

impl Unclaimed {
    fn claim(mut self) -> Result<Grant> {
        self.grant.take().ok_or_else(|| Error::Internal("a grant was claimed twice".to_owned()))
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        // What the caller had already stays its own.
        let Some(grant) = self.grant.take().filter(|grant| !grant.already_held) else { return };
        let (locks, id) = (self.locks.clone(), self.id.clone());
        let giving_back = async move {
            if let Err(error) = locks.release(&id, LeaseRef::from(&grant.lease)).await {
                tracing::warn!(%id, lease_id = %grant.lease.id, %error, "a lease that nobody waited for any more was not given back; it ends by itself");
            }
        };
        self.locks.behind.spawn_on(&self.runtime, giving_back);
    }
}
