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
#[error("{0:?} is no lease id: it has 1 to 64 of a-z, 0-9 and `-`; `lock show` prints it")]
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

/// Who may write a workflow, until when, and under which fence. It stands in the head, so that taking, using and
/// losing it are the same compare-and-swap as saving.
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
            // A lease beyond the calendar's end lasts until the calendar's end.
            expires: now.checked_add_signed(chrono_duration(duration)).unwrap_or(DateTime::<Utc>::MAX_UTC),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            renewals: 0,
            extra: Map::new(),
        }
    }

    /// Whether others must respect it: it has not expired by more than `skew`. Politeness, not safety: a write of a holder
    /// whose lease was taken over fails whatever its clock says.
    pub fn is_live(&self, now: DateTime<Utc>, skew: Duration) -> bool {
        self.expires.checked_add_signed(chrono_duration(skew)).is_none_or(|end| now <= end)
    }

    /// `user@host`.
    pub fn holder(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }
}

fn chrono_duration(duration: Duration) -> chrono::Duration {
    chrono::Duration::from_std(duration).unwrap_or(chrono::Duration::MAX)
}

/// The mirror of a lease in `workflow.lock`: the seed's lockfile format and what else identifies the holder.
///
/// For people and for older tools. Nothing here decides anything: the head does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lockfile {
    /// Of the lockfile format: `1.0`.
    pub version: String,
    /// The content that is locked.
    pub hash: Option<ContentHash>,
    /// When it was locked.
    pub timestamp: DateTime<Utc>,
    /// The holder's process.
    pub pid: u32,
    /// The holder's machine.
    pub host: String,
    /// The holder's user.
    pub user: String,
    /// When the lease ends unless it is renewed.
    pub expires: DateTime<Utc>,
    /// [`Lease::id`].
    pub lease_id: LeaseId,
    /// [`Lease::fence`].
    pub fence: u64,
    /// [`Lease::operation`].
    pub operation: String,
    /// [`Lease::process_start`].
    pub process_start: Option<String>,
    /// [`Lease::boot_id`].
    pub boot_id: Option<String>,
    /// [`Lease::pid_namespace`].
    pub pid_namespace: Option<String>,
}

impl From<&Lease> for Lockfile {
    fn from(lease: &Lease) -> Self {
        Self {
            version: "1.0".to_owned(),
            hash: lease.hash,
            timestamp: lease.acquired,
            pid: lease.pid,
            host: lease.host.clone(),
            user: lease.user.clone(),
            expires: lease.expires,
            lease_id: lease.id.clone(),
            fence: lease.fence,
            operation: lease.operation.clone(),
            process_start: lease.process_start.clone(),
            boot_id: lease.boot_id.clone(),
            pid_namespace: lease.pid_namespace.clone(),
        }
    }
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
    fn a_lease_is_live_until_its_end_and_the_allowance_are_over() {
        let lease = lease(Duration::from_secs(60));
        let skew = Duration::from_secs(10);
        let at = |seconds| lease.acquired + chrono::Duration::seconds(seconds);
        assert!(lease.is_live(at(0), skew) && lease.is_live(at(70), skew));
        assert!(!lease.is_live(at(71), skew));
        assert!(lease.is_live(at(-86_400), skew), "a clock that is behind never frees a lease");
    }

    #[test]
    fn an_endless_lease_does_not_overflow() {
        assert!(lease(Duration::MAX).is_live(DateTime::<Utc>::MAX_UTC, Duration::MAX));
    }

    #[test]
    fn the_mirror_has_the_fields_of_the_seed() {
        let text = serde_json::to_value(Lockfile::from(&lease(Duration::from_secs(3600)))).unwrap();
        for (field, value) in [
            ("version", "1.0".into()),
            ("hash", Value::Null),
            ("timestamp", "2024-01-15T10:30:00Z".into()),
            ("expires", "2024-01-15T11:30:00Z".into()),
            ("pid", 4242.into()),
            ("host", "host-1".into()),
            ("user", "tester".into()),
        ] {
            assert_eq!(text[field], value, "{field}");
        }
    }

    #[test]
    fn unknown_fields_survive() {
        let mut value = serde_json::to_value(lease(Duration::from_secs(1))).unwrap();
        value["later"] = 7.into();
        let lease: Lease = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(lease).unwrap(), value);
    }
}
