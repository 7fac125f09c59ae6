use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Lease, LeaseId};
use crate::document::ContentHash;

/// The mirror of a lease in `workflow.lock`: the seed's lockfile format, with further fields that identify
/// the holder.
///
/// It informs people and older tools. It decides nothing: the head does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lockfile {
    /// The version of the lockfile format: `1.0`.
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
    /// [`Lease::renewals`].
    #[serde(default)]
    pub renewals: u64,
    /// [`Lease::detached`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detached: bool,
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
            renewals: lease.renewals,
            detached: lease.detached,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pflow_backend::{Environment, ManualEnvironment};
    use serde_json::Value;

    use super::*;

    fn lease(duration: Duration) -> Lease {
        let environment = ManualEnvironment::new(1);
        let id = LeaseId::parse("lease-1").unwrap();
        Lease::grant(id, 3, "save".to_owned(), None, environment.identity(), environment.now(), duration)
    }

    #[test]
    fn mirror_has_the_fields_of_the_seed() {
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
}
