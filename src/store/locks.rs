use super::Store;
use crate::{
    Result,
    lock::{Grant, LeaseRequest, LockState},
    stored::{Lease, LeaseId, WorkflowId},
};

impl Store {
    /// Locks a workflow, also one that does not exist yet. A lease that has expired, by more than the allowance for skewed clocks, is
    /// taken over; its holder's next write fails, because the fence has risen.
    ///
    /// # Errors
    /// [`crate::conflict::Conflict::Locked`] while somebody else holds it, [`crate::conflict::Conflict::AlreadyLocked`] if they hold it
    /// for the same content (that is no grant); [`crate::Error::InvalidField`] for an operation that is empty or too long; errors of the
    /// storage.
    pub async fn acquire(&self, id: &WorkflowId, request: LeaseRequest) -> Result<Grant> {
        self.shared.locks.acquire(id, request).await
    }

    /// Gives a lease back and removes its mirror; the lease as it was.
    ///
    /// # Errors
    /// [`crate::conflict::Conflict::LeaseLost`] if somebody else or nobody holds it now; errors of the storage.
    pub async fn release(&self, id: &WorkflowId, lease: LeaseId) -> Result<Lease> {
        self.shared.locks.release(id, lease).await
    }

    /// Who holds the lock.
    ///
    /// # Errors
    /// Errors of the storage. A workflow that does not exist is not locked.
    pub async fn lock_state(&self, id: &WorkflowId) -> Result<LockState> {
        self.shared.locks.state(id).await
    }
}
