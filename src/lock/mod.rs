//! Locks: leases in the head, taken and given back by the same compare-and-swap that saves.
//!
//! `workflow.lock` mirrors the lease in the seed's lockfile format, for people and older tools. It decides nothing.

mod change;
mod decide;
mod node;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use pflow_backend::{Environment, Identity};

use change::{LockChange, Wish};
pub(crate) use node::lock_flow;

use crate::{
    Error, Result,
    document::ContentHash,
    flow::Flow,
    stored::{
        Gate, Lease, LeaseId, Lockfile, Objects, WorkflowId, check_text, encode_pretty, layout, unreadable,
    },
};

/// The longest operation, in bytes.
const MAX_OPERATION_BYTES: usize = 256;

/// The shortest and the longest lease. A year is longer than anybody works on anything.
const DURATIONS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(366 * 86_400);

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
    /// Whether the caller had it already: it had chosen the id itself, and a reply had got lost.
    pub already_held: bool,
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

    /// The same wish with a name, so that whoever asks again asks for the same grant.
    pub(crate) fn named(self, environment: &dyn Environment) -> Result<Self> {
        let id = self.id.map_or_else(|| LeaseId::parse(environment.new_id()), Ok)?;
        Ok(Self { id: Some(id), ..self })
    }

    /// Whether this wish was granted already: the caller chose the id, and the reply got lost. The same id of somebody else is no grant.
    pub(crate) fn is_granted_by(&self, lease: &Lease, identity: &Identity) -> bool {
        self.id.as_ref() == Some(&lease.id) && lease.holder() == identity.to_string()
    }

    /// The operation goes into the head, which is read and written whole.
    pub(crate) fn check(&self) -> Result<()> {
        if !DURATIONS.contains(&self.duration) {
            let reason = format!("it lasts {:?}; a millisecond to 366 days are allowed", self.duration);
            return Err(Error::InvalidField { field: "lease", reason });
        }
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

/// The locks of one store.
#[derive(Debug, Clone)]
pub(crate) struct Locks {
    objects: Objects,
    gate: Arc<Gate>,
    skew: Duration,
    flow: Arc<Flow<LockChange, Error>>,
}

impl Locks {
    pub(crate) fn new(objects: Objects, gate: Arc<Gate>, skew: Duration) -> Result<Self> {
        Ok(Self { objects, gate, skew, flow: Arc::new(lock_flow()?) })
    }

    pub(crate) async fn acquire(&self, id: &WorkflowId, request: LeaseRequest) -> Result<Grant> {
        request.check()?;
        // The id is fixed here, once, so that every attempt asks for the same grant.
        let wish = Wish::Acquire(request.named(self.objects.environment.as_ref())?);
        LockChange::new(self.clone(), id.clone(), wish).run().await
    }

    pub(crate) async fn release(&self, id: &WorkflowId, lease: LeaseId) -> Result<Lease> {
        let change = LockChange::new(self.clone(), id.clone(), Wish::Release(lease));
        change.run().await.map(|grant| grant.lease)
    }

    pub(crate) async fn state(&self, id: &WorkflowId) -> Result<LockState> {
        let head = self.objects.head(id).await?.head;
        let now = self.objects.now();
        let live = head.lease.as_ref().is_some_and(|lease| lease.is_live(now, self.skew));
        Ok(LockState { id: id.clone(), lease: head.lease, live, fence: head.fence, now })
    }
}

/// The text of `workflow.lock`.
pub(crate) fn lockfile(id: &WorkflowId, lease: &Lease) -> Result<Bytes> {
    let text = encode_pretty(&Lockfile::from(lease));
    text.map(Bytes::from).map_err(|source| unreadable(&layout::lockfile(id), source))
}
