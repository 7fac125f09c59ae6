use std::time::Duration;

use futures::stream::BoxStream;

use super::Store;
use crate::{
    Result,
    format::{Lease, LeaseId, WorkflowId},
    lock::{Grant, Inspection, LeaseGuard, LeaseRequest, LockState},
};

impl Store {
    /// Locks a workflow, which need not exist yet, and renews the lease until the guard is released or
    /// dropped.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    /// Outside of a tokio runtime, which the renewing task needs. The runtime need not have a timer.
    pub async fn lock(&self, id: &WorkflowId, request: LeaseRequest) -> Result<LeaseGuard> {
        self.shared.locks.acquire_guarded(id, request).await
    }

    /// Locks a workflow, which need not exist yet. The caller must renew the lease ([`renew`](Self::renew));
    /// [`lock`](Self::lock) renews it automatically. A stale lease is taken over ([`crate::lock::Standing`]);
    /// its holder's next write fails, because the fence has risen.
    ///
    /// With [`LeaseRequest::wait`] it waits while another client holds the lock. Dropping the future while it
    /// waits changes nothing.
    ///
    /// # Errors
    /// [`crate::conflict::Conflict::Locked`] while another client holds it,
    /// [`crate::conflict::Conflict::AlreadyLocked`] if that client holds it for the same content (the request
    /// is not granted); [`crate::Error::HeadHurt`] if the head of the workflow was lost, because the fences
    /// that it granted are unknown; [`crate::Error::InvalidField`] for an operation that is empty or too
    /// long; errors of the storage.
    pub async fn acquire(&self, id: &WorkflowId, request: LeaseRequest) -> Result<Grant> {
        self.shared.locks.acquire(id, request).await
    }

    /// Extends a lease from now on, by its previous duration or by `duration`. Returns the renewed lease. A
    /// lease may be renewed after its end as long as no other client took it over.
    ///
    /// # Errors
    /// [`crate::conflict::Conflict::LeaseLost`] if the lease is not the present one any more; errors of the
    /// storage.
    pub async fn renew(&self, id: &WorkflowId, lease: LeaseId, duration: Option<Duration>) -> Result<Lease> {
        self.shared.locks.renew(id, lease, duration).await
    }

    /// Releases a lease and removes its mirror. Returns the released lease.
    ///
    /// # Errors
    /// [`crate::conflict::Conflict::LeaseLost`] if the lease is not the present one any more; errors of the
    /// storage.
    pub async fn release(&self, id: &WorkflowId, lease: LeaseId) -> Result<Lease> {
        self.shared.locks.release(id, lease).await
    }

    /// Takes a lease away from its holder. Returns the broken lease. The fence rises, so the holder's next
    /// write fails, with a message that says who broke the lease and when. The operation history records it.
    ///
    /// # Errors
    /// [`crate::conflict::Conflict::LeaseLost`] if the lease is not the present one any more, so that a
    /// caller never breaks a later lease by mistake. Errors of the storage.
    pub async fn break_lock(&self, id: &WorkflowId, lease: LeaseId) -> Result<Lease> {
        self.shared.locks.break_lease(id, lease).await
    }

    /// Returns who holds the lock, and whether others must respect it.
    ///
    /// # Errors
    /// Errors of the storage. A workflow that does not exist is not locked.
    pub async fn lock_state(&self, id: &WorkflowId) -> Result<LockState> {
        self.shared.locks.state(id).await
    }

    /// The same, and checks `workflow.lock`, which is brought in line with the head if it differs. A foreign
    /// file found in its place is kept beside it, as `workflow.lock.<sha256>.odd`. If writing is not allowed,
    /// nothing is changed.
    ///
    /// # Errors
    /// As [`lock_state`](Self::lock_state).
    pub async fn inspect_lock(&self, id: &WorkflowId) -> Result<Inspection> {
        self.shared.locks.inspect(id).await
    }

    /// Lists all locks, stale ones included, as the heads have them, and every `workflow.lock` that does not
    /// match its head, in the order of the ids. The stream is lazy, and reads the head of every workflow.
    ///
    /// # Errors
    /// [`crate::Error::Unreadable`] for each workflow that cannot be read, in its place. Any other error is of the
    /// storage and ends the list.
    pub fn locks(&self) -> BoxStream<'static, Result<Inspection>> {
        self.shared.locks.list()
    }

    /// Waits until the lease `held` is gone or may be taken over, or until `limit` is over. Another client
    /// may have the lock by then. Dropping the future changes nothing.
    ///
    /// # Errors
    /// Errors of the storage that are not transient.
    pub async fn await_unlock(&self, id: &WorkflowId, held: &Lease, limit: Duration) -> Result<()> {
        self.shared.locks.await_change(id, held, limit).await
    }
}
