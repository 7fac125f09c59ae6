//! Describes leases.

use chrono::{DateTime, Utc};
use pflow_store::{WorkflowId, format::Lease};

use super::time;

/// `user@host (pid 42)`.
pub(super) fn who(lease: &Lease) -> String {
    format!("{} (pid {})", lease.holder(), lease.pid)
}

/// Describes the holder in one line.
pub(super) fn holding(lease: &Lease, now: DateTime<Utc>) -> String {
    format!("{}, {}, {}; lease {}", who(lease), lease.operation, lasting(lease, now), lease.id)
}

/// Describes how long the lease lasts.
pub(super) fn lasting(lease: &Lease, now: DateTime<Utc>) -> String {
    let left = lease.expires.signed_duration_since(now);
    if left >= chrono::Duration::zero() {
        format!("for another {}", time::human(left))
    } else {
        format!("ended {} ago", time::human(left))
    }
}

/// Returns the line that is printed for a grant.
pub(super) fn granted(id: &WorkflowId, lease: &Lease) -> String {
    let expires = time::moment(lease.expires);
    format!("{id}: locked until {expires}, lease {}, fence {}", lease.id, lease.fence)
}
