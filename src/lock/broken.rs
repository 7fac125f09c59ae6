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
    /// Who broke it, as `user@host`.
    by: String,
    lease_id: &'a LeaseId,
    fence: u64,
    /// Who held it, as `user@host`.
    holder: String,
    /// What for.
    operation: &'a str,
}

/// A name for a record. Whoever may write one more than once draws it once, so that it is the same one.
pub(crate) fn new_id(objects: &Objects, id: &WorkflowId) -> Result<VersionId> {
    VersionId::of_new(objects.environment.new_id()).map_err(|source| unreadable(&keys::head(id), source))
}

/// What records that `lease` was broken, whether it is there already or not.
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
