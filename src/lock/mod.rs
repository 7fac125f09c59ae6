//! Locks: leases in the head, taken and given back by the same compare-and-swap that saves.
//!
//! `workflow.lock` mirrors the lease in the seed's lockfile format, for people and older tools. It decides nothing.

mod change;
mod node;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use pflow_backend::Environment;

pub(crate) use change::{LockChange, lock_flow};

use crate::{
    Result, Store,
    document::ContentHash,
    store::check_text,
    stored::{Lease, LeaseId, Lockfile, WorkflowId, encode_pretty, layout, unreadable},
};

/// The longest operation, in bytes.
const MAX_OPERATION_BYTES: usize = 256;

/// A wish for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    id: Option<LeaseId>,
    operation: String,
    duration: Duration,
    hash: Option<ContentHash>,
}

/// What became of the wish, or of a lease that was given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The lease, with its id and its fence.
    pub lease: Lease,
    /// Whether the caller had it already: its id was chosen by the caller, and a reply had got lost.
    pub renewed: bool,
}

/// The lock of a workflow at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockState {
    /// The workflow.
    pub id: WorkflowId,
    /// The lease in its head; none if it is not locked.
    pub lease: Option<Lease>,
    /// Whether others must respect it.
    pub live: bool,
    /// How many leases were ever granted or overridden.
    pub fence: u64,
    /// When this was looked at, by our clock.
    pub now: DateTime<Utc>,
}

impl LeaseRequest {
    /// For `operation`, at most 256 bytes that other people will read, and for so long unless it is released before.
    pub fn new(operation: impl Into<String>, duration: Duration) -> Self {
        Self { id: None, operation: operation.into(), duration, hash: None }
    }

    /// Names the lease, so that the caller knows its own after a lost reply. Each id is for one grant.
    #[must_use]
    pub fn id(mut self, id: LeaseId) -> Self {
        self.id = Some(id);
        self
    }

    /// The content that is to be locked; the current one unless set. Asking for what is locked already is answered by
    /// [`crate::conflict::Conflict::AlreadyLocked`].
    #[must_use]
    pub fn hash(mut self, hash: ContentHash) -> Self {
        self.hash = Some(hash);
        self
    }

    /// The operation goes into the head, which is read and written whole.
    pub(crate) fn check(&self) -> Result<()> {
        check_text("operation", Some(&self.operation), MAX_OPERATION_BYTES)
    }

    /// The lease that this wish becomes.
    pub(crate) fn grant(
        &self,
        environment: &dyn Environment,
        fence: u64,
        hash: Option<ContentHash>,
        now: DateTime<Utc>,
    ) -> Result<Lease> {
        let id = self.id.clone().map_or_else(|| LeaseId::parse(environment.new_id()), Ok)?;
        Ok(Lease::grant(id, fence, self.operation.clone(), hash, environment.identity(), now, self.duration))
    }
}

impl Store {
    /// Locks a workflow, also one that does not exist yet. A lease that has expired, by more than the allowance for skewed clocks, is
    /// taken over; its holder's next write fails, because the fence has risen.
    ///
    /// # Errors
    /// [`crate::conflict::Conflict::Locked`] while somebody else holds it, [`crate::conflict::Conflict::AlreadyLocked`] if they hold it
    /// for the same content (that is no grant); [`crate::Error::InvalidField`] for an operation that is empty or too long; errors of the
    /// storage.
    pub async fn acquire(&self, id: &WorkflowId, request: LeaseRequest) -> Result<Grant> {
        request.check()?;
        let change = LockChange::acquire(Arc::clone(&self.shared), id.clone(), request);
        change.run().await
    }

    /// Gives a lease back and removes its mirror; the lease as it was.
    ///
    /// # Errors
    /// [`crate::conflict::Conflict::LeaseLost`] if somebody else or nobody holds it now; errors of the storage.
    pub async fn release(&self, id: &WorkflowId, lease: LeaseId) -> Result<Lease> {
        let change = LockChange::release(Arc::clone(&self.shared), id.clone(), lease);
        change.run().await.map(|grant| grant.lease)
    }

    /// Who holds the lock.
    ///
    /// # Errors
    /// Errors of the storage. A workflow that does not exist is not locked.
    pub async fn lock_state(&self, id: &WorkflowId) -> Result<LockState> {
        let objects = &self.shared.objects;
        let head = objects.head(id).await?.head;
        let now = objects.now();
        let live =
            head.lease.as_ref().is_some_and(|lease| lease.is_live(now, self.shared.options.clock_skew));
        Ok(LockState { id: id.clone(), lease: head.lease, live, fence: head.fence, now })
    }
}

/// The text of `workflow.lock`.
pub(crate) fn lockfile(id: &WorkflowId, lease: &Lease) -> Result<Bytes> {
    let text = encode_pretty(&Lockfile::from(lease));
    text.map(Bytes::from).map_err(|source| unreadable(&layout::lockfile(id), source))
}
