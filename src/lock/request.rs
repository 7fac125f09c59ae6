use std::time::Duration;

use chrono::{DateTime, Utc};
use pflow_backend::{Environment, Identity};

use crate::{
    Error, Result,
    conflict::Conflict,
    document::ContentHash,
    format::{Head, Lease, LeaseId, check_text},
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
    detached: bool,
    wait: Option<Duration>,
}

impl LeaseRequest {
    /// For `operation`, at most 256 bytes that other people will read, and for so long unless it is renewed
    /// or released before.
    pub fn new(operation: impl Into<String>, duration: Duration) -> Self {
        Self { id: None, operation: operation.into(), duration, hash: None, detached: false, wait: None }
    }

    /// Names the lease, so that the caller knows its own after a lost reply. Each id is for one grant: asking
    /// for one that is over is answered by [`Conflict::LeaseLost`], as far as the head remembers.
    #[must_use]
    pub fn id(mut self, id: LeaseId) -> Self {
        self.id = Some(id);
        self
    }

    /// The content that is to be locked; the current one unless set. Asking for what is locked already is
    /// answered by
    /// [`crate::conflict::Conflict::AlreadyLocked`].
    #[must_use]
    pub fn hash(mut self, hash: ContentHash) -> Self {
        self.hash = Some(hash);
        self
    }

    /// The lease outlasts this process: somebody else will use it, and release it. Unless this is said,
    /// others on this machine may take it over as soon as this process is gone.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// How long to wait while somebody else holds the lock, for whatever content; unless set, that is
    /// answered at once. Those who wait in one process are served in the order in which they came, and only
    /// the first of them asks the storage.
    #[must_use]
    pub fn wait(mut self, limit: Duration) -> Self {
        self.wait = Some(limit);
        self
    }

    /// Bound to this process, whatever was said.
    pub(super) fn attached(mut self) -> Self {
        self.detached = false;
        self
    }

    /// Fixes the id of the grant: the caller's, or a new one.
    pub(crate) fn claim(self, environment: &dyn Environment) -> Result<Claim> {
        let id = self.id.clone().map_or_else(|| LeaseId::parse(environment.new_id()), Ok)?;
        Ok(Claim { id, request: self })
    }

    /// The operation goes into the head, which is read and written whole.
    pub(crate) fn check(&self) -> Result<()> {
        check_duration(self.duration)?;
        check_text("operation", Some(&self.operation), MAX_OPERATION_BYTES)
    }
}

/// A request for a lease under a fixed id: every attempt of it asks for the same grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    id: LeaseId,
    request: LeaseRequest,
}

impl Claim {
    /// The id of the grant.
    pub(crate) fn id(&self) -> &LeaseId {
        &self.id
    }

    /// How long to wait for it.
    pub(super) fn patience(&self) -> Duration {
        self.request.wait.unwrap_or_default()
    }

    /// The content that is to be locked, where the caller named it.
    pub(super) fn wanted_hash(&self) -> Option<ContentHash> {
        self.request.hash
    }

    /// Whether `lease` is this grant: an earlier attempt got it and its reply was lost. A lease with the same
    /// id of another process is a different grant. A detached lease outlives its process, so for that one
    /// `user@host` is compared in place of the process.
    pub(crate) fn is_granted_by(&self, lease: &Lease, identity: &Identity) -> bool {
        let outlasts = self.request.detached && lease.detached && lease.holder() == identity.to_string();
        self.id == lease.id && (outlasts || lease.process() == *identity)
    }

    /// The conflict if this id was granted before and the grant is over: the head still has it, or notes it
    /// as the last lease that was taken away. A second grant would give two holders one id, and the holder
    /// that lost the first grant could write under the second.
    pub(crate) fn spent(&self, head: &Head) -> Option<Conflict> {
        let held = head.lease.as_ref().is_some_and(|lease| lease.id == self.id);
        let ended = head.ended.as_ref().is_some_and(|ended| ended.lease_id == self.id);
        (held || ended).then(|| Conflict::lease_lost(self.id.clone(), head))
    }

    /// The lease that this claim becomes.
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

/// How long a lease may last.
pub(super) fn check_duration(duration: Duration) -> Result<()> {
    if DURATIONS.contains(&duration) {
        return Ok(());
    }
    let reason = format!("it lasts {duration:?}; a millisecond to 366 days are allowed");
    Err(Error::InvalidField { field: "lease", reason })
}
