use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use pflow_backend::Identity;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

use crate::document::ContentHash;

/// The name of one grant of a lock: 1 to 64 of `a-z`, `0-9` and `-`.
///
/// Whoever acquires chooses it, so that it knows its own grant even after a lost reply.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(String);

/// A text that cannot be a [`LeaseId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no lease id: it has 1 to 64 of a-z, 0-9 and `-`")]
pub struct InvalidLeaseId(pub String);

impl LeaseId {
    /// Takes a text that fits the rule.
    ///
    /// # Errors
    /// [`InvalidLeaseId`] for any other.
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

/// One grant, as whoever relies on it names it: by its id, and by its fence where that is known. The fence
/// tells the grants apart that somebody gave the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseRef {
    pub(crate) id: LeaseId,
    pub(crate) fence: Option<u64>,
}

impl LeaseRef {
    /// Whether this is the lease that is meant.
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

/// Who may write a workflow, until when, and under which fence. It stands in the head, so that taking, using
/// and losing it are the same compare-and-swap as saving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Names this grant. A write under a lease compares the id, never a clock.
    pub id: LeaseId,
    /// Rose by one when this was granted; never falls for a workflow.
    pub fence: u64,
    /// What the holder is doing, in its own words.
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
    /// The boot it belongs to.
    pub boot_id: Option<String>,
    /// The pid namespace it belongs to.
    pub pid_namespace: Option<String>,
    /// When it was granted, by the holder's clock.
    pub acquired: DateTime<Utc>,
    /// After this, and some allowance for skewed clocks, others may take over.
    pub expires: DateTime<Utc>,
    /// How long a grant or a renewal lasts, in milliseconds.
    pub duration_ms: u64,
    /// How often it was renewed.
    pub renewals: u64,
    /// It outlasts the process that took it, so whether that process runs says nothing about it.
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

    /// The same lease once more renewed, by a clock that says `now`.
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

    /// When it was granted or renewed last, by the clock of whoever did.
    pub fn refreshed(&self) -> DateTime<Utc> {
        self.expires.checked_sub_signed(chrono_duration(self.duration())).unwrap_or(self.acquired)
    }

    /// The process that holds it.
    pub(crate) fn process(&self) -> Identity {
        Identity {
            host: self.host.clone(),
            user: self.user.clone(),
            pid: self.pid,
            process_start: self.process_start.clone(),
            boot_id: self.boot_id.clone(),
            pid_namespace: self.pid_namespace.clone(),
        }
    }

    /// Whether the holder runs, or ran, on the machine of `me` since it was started: then both look at the
    /// same clock. Without boot ids nobody can tell.
    pub fn shares_clock_with(&self, me: &Identity) -> bool {
        self.boot_id.is_some() && self.boot_id == me.boot_id
    }

    /// `user@host`.
    pub fn holder(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }
}

/// A lease beyond the calendar's end lasts until the calendar's end.
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

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseId({})", self.0)
    }
}

impl FromStr for LeaseId {
    type Err = InvalidLeaseId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for LeaseId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LeaseId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

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
    fn a_renewal_lasts_from_its_own_moment_on() {
        let lease = lease(Duration::from_secs(60));
        let later = lease.acquired + chrono::Duration::seconds(40);
        let renewed = lease.renewed(later, Duration::from_secs(90));
        assert_eq!((renewed.renewals, renewed.expires), (1, later + chrono::Duration::seconds(90)));
        assert_eq!((renewed.refreshed(), lease.refreshed()), (later, lease.acquired));
        assert_eq!((&renewed.id, renewed.fence, renewed.acquired), (&lease.id, lease.fence, lease.acquired));
    }

    #[test]
    fn an_endless_lease_does_not_overflow() {
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
