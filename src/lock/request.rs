use std::time::Duration;

use chrono::{DateTime, Utc};
use pflow_backend::{Environment, Identity};

use crate::{
    Error, Result,
    conflict::Conflict,
    document::ContentHash,
    format::{Head, Lease, LeaseId, check_text},
};

/// The maximum length of an operation, in bytes.
const MAX_OPERATION_BYTES: usize = 256;

/// The shortest and the longest lease.
const DURATIONS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(366 * 86_400);

/// A request for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    id: Option<LeaseId>,
    operation: String,
    duration: Duration,
    hash: Option<ContentHash>,
    detached: bool,
    wait: Option<Duration>,
}

impl LeaseRequest {
    /// Requests a lease for `operation`, a text of at most 256 bytes that other people will read. The lease
    /// lasts for `duration` unless it is renewed or released.
    pub fn new(operation: impl Into<String>, duration: Duration) -> Self {
        Self { id: None, operation: operation.into(), duration, hash: None, detached: false, wait: None }
    }

    /// Sets the lease id, so that the caller can recognise its own lease after a lost reply. Each id is for
    /// one grant: a request for one that has ended is answered by [`Conflict::LeaseLost`], as far as the head
    /// remembers it.
    #[must_use]
    pub fn id(mut self, id: LeaseId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the content to lock; the default is the current content. A request for content that is already
    /// locked is answered by [`crate::conflict::Conflict::AlreadyLocked`].
    #[must_use]
    pub fn hash(mut self, hash: ContentHash) -> Self {
        self.hash = Some(hash);
        self
    }

    /// Makes the lease outlast this process: another process will use and release it. Without this, other
    /// processes on this machine may take it over as soon as this process is gone.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Sets how long to wait while another client holds the lock, whatever content it locked. By default the
    /// call does not wait. The waiters of one process are served first in, first out, and only the first
    /// polls the storage.
    #[must_use]
    pub fn wait(mut self, limit: Duration) -> Self {
        self.wait = Some(limit);
        self
    }

    /// Binds the lease to this process, and overrides [`detached`](Self::detached).
    pub(super) fn attached(mut self) -> Self {
        self.detached = false;
        self
    }

    /// Fixes the id of the grant: the caller's, or a new one.
    pub(crate) fn claim(self, environment: &dyn Environment) -> Result<LeaseClaim> {
        let id = self.id.clone().map_or_else(|| LeaseId::parse(environment.new_id()), Ok)?;
        Ok(LeaseClaim { id, request: self })
    }

    /// Checks the duration and the operation. The operation is limited because it is stored in the head,
    /// which is read and written whole.
    pub(crate) fn check(&self) -> Result<()> {
        check_duration(self.duration)?;
        check_text("operation", Some(&self.operation), MAX_OPERATION_BYTES)
    }
}

/// A request for a lease under a fixed id: every attempt asks for the same grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseClaim {
    id: LeaseId,
    request: LeaseRequest,
}

impl LeaseClaim {
    /// The id of the grant.
    pub(crate) fn id(&self) -> &LeaseId {
        &self.id
    }

    /// Returns how long to wait for the lock.
    pub(super) fn patience(&self) -> Duration {
        self.request.wait.unwrap_or_default()
    }

    /// Returns the content to lock, if the caller named it.
    pub(super) fn wanted_hash(&self) -> Option<ContentHash> {
        self.request.hash
    }

    /// Whether `lease` is this grant: an earlier attempt acquired it and the reply was lost. A lease with the
    /// same id of another process is a different grant. A detached lease outlives its process, so `user@host`
    /// is compared instead of the process.
    pub(crate) fn is_granted_by(&self, lease: &Lease, identity: &Identity) -> bool {
        let outlasts = self.request.detached && lease.detached && lease.holder() == identity.to_string();
        self.id == lease.id && (outlasts || lease.process() == *identity)
    }

    /// Returns the conflict if this id was granted before and that grant has ended: the head still has the
    /// lease, or records it as the last one that was taken away. A second grant would give two holders one
    /// id, and the holder that lost the first grant could write under the second.
    pub(crate) fn spent(&self, head: &Head) -> Option<Conflict> {
        let held = head.lease.as_ref().is_some_and(|lease| lease.id == self.id);
        let ended = head.ended.as_ref().is_some_and(|ended| ended.lease_id == self.id);
        (held || ended).then(|| Conflict::lease_lost(self.id.clone(), head))
    }

    /// Returns the lease that this claim is granted.
    pub(crate) fn grant(
        &self,
        identity: &Identity,
        fence: u64,
        hash: Option<ContentHash>,
        now: DateTime<Utc>,
    ) -> Lease {
        let LeaseRequest { operation, duration, detached, .. } = &self.request;
        let lease = Lease::grant(self.id.clone(), fence, operation.clone(), hash, identity, now, *duration);
        Lease { detached: *detached, ..lease }
    }
}

/// Checks that the duration is in the allowed range.
pub(super) fn check_duration(duration: Duration) -> Result<()> {
    if DURATIONS.contains(&duration) {
        return Ok(());
    }
    let reason = format!("it lasts {duration:?}; a millisecond to 366 days are allowed");
    Err(Error::InvalidField { field: "lease", reason })
}
