//! The record of a broken lock, for the operation history.

use chrono::{DateTime, Utc};
use pflow_backend::Operation;
use serde::Serialize;

use crate::{
    Result,
    format::{Lease, LeaseId, VersionId, WorkflowId, encode_line, keys},
    repo::{Objects, unreadable},
};

/// The body of the pending record, which a fold takes into the operation history.
#[derive(Serialize)]
struct LockBroken<'a> {
    kind: &'static str,
    at: DateTime<Utc>,
    /// The client that broke the lock, as `user@host`.
    by: String,
    lease_id: &'a LeaseId,
    fence: u64,
    /// The holder, as `user@host`.
    holder: String,
    /// The holder's operation.
    operation: &'a str,
}

/// Returns a new id for a record. A caller that may write the record more than once creates the id once, so
/// that every attempt writes the same object.
pub(crate) fn new_id(objects: &Objects, id: &WorkflowId) -> Result<VersionId> {
    VersionId::of_new(&objects.environment.new_id()).map_err(|source| unreadable(&keys::head(id), source))
}

/// Returns the write of the record that `lease` was broken. The write is idempotent for one `operation_id`.
pub(crate) fn record(
    objects: &Objects,
    id: &WorkflowId,
    lease: &Lease,
    operation_id: &VersionId,
) -> Result<Operation> {
    let key = keys::pending_operation(id, operation_id);
    let body = LockBroken {
        kind: "lock_broken",
        at: objects.now(),
        by: objects.environment.identity().to_string(),
        lease_id: &lease.id,
        fence: lease.fence,
        holder: lease.holder(),
        operation: &lease.operation,
    };
    let bytes = encode_line(&body).map_err(|source| unreadable(&key, source))?;
    Ok(Operation::put(key, bytes))
}
