use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use pflow_backend::Identity;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{document::ContentHash, text_form::text_form};

/// The name of one grant of a lock: 1 to 64 of `a-z`, `0-9` and `-`.
///
/// The client that acquires the lock chooses it, so that it recognizes its own grant even after a lost reply.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(String);

/// A text that is not a valid [`LeaseId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no lease id: it has 1 to 64 of a-z, 0-9 and `-`")]
#[non_exhaustive]
pub struct InvalidLeaseId(pub String);

impl LeaseId {
    /// Parses a lease id.
    ///
    /// # Errors
    /// [`InvalidLeaseId`] for any other text.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidLeaseId> {
        let text = text.into();
        let plain = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if plain && (1..=64).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(InvalidLeaseId(text.chars().take(64).collect()))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A reference to one grant: its id, and its fence if known. The fence distinguishes several grants with the
/// same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseRef {
    pub(crate) id: LeaseId,
    pub(crate) fence: Option<u64>,
}

impl LeaseRef {
    /// Whether this reference names `lease`.
    pub(crate) fn is(&self, lease: &Lease) -> bool {
        self.id == lease.id && self.fence.is_none_or(|fence| fence == lease.fence)
    }
}

impl From<LeaseId> for LeaseRef {
    fn from(id: LeaseId) -> Self {
        Self { id, fence: None }
    }
}

impl From<&Lease> for LeaseRef {
    fn from(lease: &Lease) -> Self {
        Self { id: lease.id.clone(), fence: Some(lease.fence) }
    }
}

/// The client that may write a workflow, until when, and under which fence. It is stored in the head, so that
/// taking, using and losing it are the same compare-and-swap as saving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lease {
    /// Names this grant. A write under a lease compares the id, never a clock.
    pub id: LeaseId,
    /// The fencing token: one higher than before when this was granted; never falls for a workflow.
    pub fence: u64,
    /// What the holder is doing, in the holder's words.
    pub operation: String,
    /// The content that was current when this was granted; none if there was none.
    pub hash: Option<ContentHash>,
    /// The holder's user.
    pub user: String,
    /// The holder's machine.
    pub host: String,
    /// The holder's process.
    pub pid: u32,
    /// When that process started; see [`Identity::process_start`].
    pub process_start: Option<String>,
    /// The boot that the process belongs to.
    pub boot_id: Option<String>,
    /// The pid namespace that the process belongs to.
    pub pid_namespace: Option<String>,
    /// When it was granted, by the holder's clock.
    pub acquired: DateTime<Utc>,
    /// After this time, plus an allowance for clock skew, others may take over.
    pub expires: DateTime<Utc>,
    /// How long a grant or a renewal lasts, in milliseconds.
    pub duration_ms: u64,
    /// How often it was renewed.
    pub renewals: u64,
    /// The lease outlasts the process that took it, so the state of that process is irrelevant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detached: bool,
    /// Fields that a later program wrote.
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

impl Lease {
    /// A new grant to the process that `identity` describes.
    pub(crate) fn grant(
        id: LeaseId,
        fence: u64,
        operation: String,
        hash: Option<ContentHash>,
        identity: &Identity,
        now: DateTime<Utc>,
        duration: Duration,
    ) -> Self {
        Self {
            id,
            fence,
            operation,
            hash,
            user: identity.user.clone(),
            host: identity.host.clone(),
            pid: identity.pid,
            process_start: identity.process_start.clone(),
            boot_id: identity.boot_id.clone(),
            pid_namespace: identity.pid_namespace.clone(),
            acquired: now,
            expires: end_of(now, duration),
            duration_ms: millis(duration),
            renewals: 0,
            detached: false,
            extra: Map::new(),
        }
    }

    /// The same lease, renewed at the time `now`.
    pub(crate) fn renewed(&self, now: DateTime<Utc>, duration: Duration) -> Self {
        Self {
            expires: end_of(now, duration),
            duration_ms: millis(duration),
            renewals: self.renewals.saturating_add(1),
            ..self.clone()
        }
    }

    /// How long a grant or a renewal lasts.
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.duration_ms)
    }

    /// When it was granted or last renewed, by the clock of the client that did so.
    pub fn refreshed(&self) -> DateTime<Utc> {
        self.expires.checked_sub_signed(chrono_duration(self.duration())).unwrap_or(self.acquired)
    }

    /// The process that holds it.
    pub(crate) fn process(&self) -> Identity {
        let mut process = Identity::new(&self.user, &self.host, self.pid);
        process.process_start.clone_from(&self.process_start);
        process.boot_id.clone_from(&self.boot_id);
        process.pid_namespace.clone_from(&self.pid_namespace);
        process
    }

    /// Whether the holder runs, or ran, on the machine and boot of `me`, so that both use the same clock.
    /// Without boot ids this is unknown, and the answer is no.
    pub fn shares_clock_with(&self, me: &Identity) -> bool {
        self.boot_id.is_some() && self.boot_id == me.boot_id
    }

    /// `user@host`.
    pub fn holder(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }
}

/// The end of a lease, limited to the end of the calendar.
fn end_of(now: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    now.checked_add_signed(chrono_duration(duration)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn chrono_duration(duration: Duration) -> chrono::Duration {
    chrono::Duration::from_std(duration).unwrap_or(chrono::Duration::MAX)
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(LeaseId, InvalidLeaseId);

#[cfg(test)]
mod tests {
    use pflow_backend::{Environment, ManualEnvironment};

    use super::*;

    fn lease(duration: Duration) -> Lease {
        let environment = ManualEnvironment::new(1);
        let id = LeaseId::parse("lease-1").unwrap();
        Lease::grant(id, 3, "save".to_owned(), None, environment.identity(), environment.now(), duration)
    }

    #[test]
    fn renewal_counts_from_its_own_time() {
        let lease = lease(Duration::from_secs(60));
        let later = lease.acquired + chrono::Duration::seconds(40);
        let renewed = lease.renewed(later, Duration::from_secs(90));
        assert_eq!((renewed.renewals, renewed.expires), (1, later + chrono::Duration::seconds(90)));
        assert_eq!((renewed.refreshed(), lease.refreshed()), (later, lease.acquired));
        assert_eq!((&renewed.id, renewed.fence, renewed.acquired), (&lease.id, lease.fence, lease.acquired));
    }

    #[test]
    fn longest_lease_does_not_overflow() {
        let endless = lease(Duration::MAX);
        assert_eq!(endless.expires, DateTime::<Utc>::MAX_UTC);
        assert_eq!(
            endless.renewed(DateTime::<Utc>::MAX_UTC, Duration::MAX).expires,
            DateTime::<Utc>::MAX_UTC
        );
    }

    #[test]
    fn unknown_fields_survive() {
        let mut value = serde_json::to_value(lease(Duration::from_secs(1))).unwrap();
        value["later"] = 7.into();
        let lease: Lease = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(lease).unwrap(), value);
    }
}
