use std::time::Duration;

use super::Store;
use crate::{
    Result,
    format::{Lease, LeaseId, WorkflowId},
    lock::{Grant, Inspection, LeaseGuard, LeaseRequest, LockList, LockState},
};

impl Store {
    /// Locks a workflow, also one that does not exist yet, and keeps the lease by renewing it until the guard
    /// is released or dropped.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    /// Outside of a tokio runtime, which the task that renews needs. The runtime need not have a timer.
    pub async fn lock(&self, id: &WorkflowId, request: LeaseRequest) -> Result<LeaseGuard> {
        self.shared.locks.hold(id, request).await
    }

    /// Locks a workflow, also one that does not exist yet. Nobody renews the lease but the caller
    /// ([`renew`](Self::renew)); [`lock`](Self::lock) does. A stale lease is taken over
    /// ([`crate::lock::Standing`]); its holder's next write fails, because the fence has risen.
    ///
    /// With [`LeaseRequest::wait`] it waits while somebody else holds the lock. Dropping the future meanwhile
    /// changes nothing.
    ///
    /// # Errors
    /// [`crate::conflict::Conflict::Locked`] while somebody else holds it, [`crate::conflict::Conflict::AlreadyLocked`] if they hold it
    /// for the same content (that is no grant); [`crate::Error::HeadHurt`] if the head of the workflow was
    /// lost, because the fences that it granted are not known; [`crate::Error::InvalidField`] for an
    /// operation that is empty or too long; errors of the storage.
    pub async fn acquire(&self, id: &WorkflowId, request: LeaseRequest) -> Result<Grant> {
        self.shared.locks.acquire(id, request).await
    }

    /// Makes a lease last from now on, for as long as before or for `duration`; the lease as it is then. It
    /// may be renewed after its end as long as nobody took over.
    ///
    /// # Errors
    /// [`crate::conflict::Conflict::LeaseLost`] if somebody else or nobody holds it now; errors of the storage.
    pub async fn renew(&self, id: &WorkflowId, lease: LeaseId, duration: Option<Duration>) -> Result<Lease> {
        self.shared.locks.renew(id, lease, duration).await
    }

    /// Gives a lease back and removes its mirror; the lease as it was.
    ///
    /// # Errors
    /// [`crate::conflict::Conflict::LeaseLost`] if somebody else or nobody holds it now; errors of the storage.
    pub async fn release(&self, id: &WorkflowId, lease: LeaseId) -> Result<Lease> {
        self.shared.locks.release(id, lease).await
    }

    /// Takes a lease away from whoever holds it; the lease as it was. The fence rises, so its holder's next
    /// write fails, with a message that says by whom and when it was broken. The operation history records
    /// it.
    ///
    /// # Errors
    /// [`crate::conflict::Conflict::LeaseLost`] if the workflow has not this lease any more: whoever meant this one does not break the next one. Errors of the
    /// storage.
    pub async fn break_lock(&self, id: &WorkflowId, lease: LeaseId) -> Result<Lease> {
        self.shared.locks.break_lease(id, lease).await
    }

    /// Who holds the lock, and whether others must respect that.
    ///
    /// # Errors
    /// Errors of the storage. A workflow that does not exist is not locked.
    pub async fn lock_state(&self, id: &WorkflowId) -> Result<LockState> {
        self.shared.locks.state(id).await
    }

    /// The same, with a look at `workflow.lock`, which is brought in line with the head where it is not. What
    /// somebody else had put there is kept beside it, as `workflow.lock.<sha256>.odd`. Where writing is not
    /// allowed everything stays as it is.
    ///
    /// # Errors
    /// As [`lock_state`](Self::lock_state).
    pub async fn inspect_lock(&self, id: &WorkflowId) -> Result<Inspection> {
        self.shared.locks.inspect(id).await
    }

    /// All locks, stale ones included, as the heads have them. Reads every workflow's head.
    ///
    /// # Errors
    /// Errors of the storage. A workflow that cannot be read is a part of the answer.
    pub async fn locks(&self) -> Result<LockList> {
        self.shared.locks.list().await
    }

    /// Waits until the lease `held` is not there any more, or may be taken over, or `limit` is over,
    /// whichever comes first. Another one may have the lock by then. Dropping the future changes nothing.
    ///
    /// # Errors
    /// Errors of the storage that a moment does not mend.
    pub async fn await_unlock(&self, id: &WorkflowId, held: &Lease, limit: Duration) -> Result<()> {
        self.shared.locks.await_change(id, held, limit).await
    }
}
