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

    /// How long to wait.
    pub(super) fn patience(&self) -> Duration {
        self.wait.unwrap_or_default()
    }

    /// What is to be locked, where the caller said it.
    pub(super) fn wanted_hash(&self) -> Option<ContentHash> {
        self.hash
    }

    /// Bound to this process, whatever was said.
    pub(super) fn attached(mut self) -> Self {
        self.detached = false;
        self
    }

    /// The same wish with a name, so that whoever asks again asks for the same grant.
    pub(crate) fn named(self, environment: &dyn Environment) -> Result<Self> {
        let id = self.id.map_or_else(|| LeaseId::parse(environment.new_id()), Ok)?;
        Ok(Self { id: Some(id), ..self })
    }

    /// The name of the grant, which [`named`](Self::named) fixes.
    pub(crate) fn lease_id(&self) -> Result<LeaseId> {
        self.id.clone().ok_or_else(|| Error::Internal("a lease without a name".to_owned()))
    }

    /// Whether this wish was granted already: the caller chose the id, and the reply got lost. The same id of
    /// somebody else is no grant: of another process, or for a lease that outlasts its process, which others
    /// ask for again, of another `user@host`.
    pub(crate) fn is_granted_by(&self, lease: &Lease, identity: &Identity) -> bool {
        let outlasts = self.detached && lease.detached && lease.holder() == identity.to_string();
        self.id.as_ref() == Some(&lease.id) && (outlasts || lease.process() == *identity)
    }

    /// That this id, which does not stand for a live lease of the caller's, was granted before: it is in the
    /// head still, or the last one that was taken away. Granted again it would give two holders one name, and
    /// who lost the first grant could write under the second one.
    pub(crate) fn spent(&self, head: &Head) -> Option<Conflict> {
        let id = self.id.as_ref()?;
        let held = head.lease.as_ref().is_some_and(|lease| lease.id == *id);
        let ended = head.ended.as_ref().is_some_and(|ended| ended.lease_id == *id);
        (held || ended).then(|| Conflict::lease_lost(id.clone(), head))
    }

    /// The operation goes into the head, which is read and written whole.
    pub(crate) fn check(&self) -> Result<()> {
        check_duration(self.duration)?;
        check_text("operation", Some(&self.operation), MAX_OPERATION_BYTES)
    }

    /// The lease that this wish, which must have a name, becomes.
    pub(crate) fn grant(
        &self,
        identity: &Identity,
        fence: u64,
        hash: Option<ContentHash>,
        now: DateTime<Utc>,
    ) -> Result<Lease> {
        let id = self.lease_id()?;
        let lease = Lease::grant(id, fence, self.operation.clone(), hash, identity, now, self.duration);
        Ok(Lease { detached: self.detached, ..lease })
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
