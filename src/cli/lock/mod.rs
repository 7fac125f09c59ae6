//! The commands about locks, and how a lock is described.

mod acquire;
mod release;
mod show;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use pflow_store::{LeaseId, WorkflowId, lock::LockState, stored::Lease};
use serde::Serialize;

use super::{failure::Result, session::Session, time};

const MORE: &str = "\
While a workflow is locked, only saves under the lease succeed; others get exit 11.

Examples:
  pflow-store lock acquire greet --ttl 30m --operation 'editing by hand'
  pflow-store save greet greet.json --lease LEASE-ID
  pflow-store lock release greet LEASE-ID";

#[derive(Debug, Args)]
#[command(after_help = MORE, subcommand_required = true, arg_required_else_help = true)]
pub(super) struct LockArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lock a workflow, also one that does not exist yet; prints the lease
    Acquire(acquire::Acquire),
    /// Give a lease back
    Release(release::Release),
    /// Who holds the lock, since when and until when
    Show(show::Show),
}

impl LockArgs {
    /// Runs the command about locks.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        match self.command {
            Command::Acquire(acquire) => acquire.run(session).await,
            Command::Release(release) => release.run(session).await,
            Command::Show(show) => show.run(session).await,
        }
    }
}

/// A lock, for `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Lock<'a> {
    id: &'a WorkflowId,
    locked: bool,
    stale: bool,
    fence: u64,
    lease_id: Option<&'a LeaseId>,
    user: Option<&'a str>,
    host: Option<&'a str>,
    pid: Option<u32>,
    operation: Option<&'a str>,
    acquired: Option<DateTime<Utc>>,
    expires: Option<DateTime<Utc>>,
}

impl<'a> Lock<'a> {
    pub(super) fn of(state: &'a LockState) -> Self {
        let lease = state.lease.as_ref();
        Self {
            id: &state.id,
            locked: state.live,
            stale: lease.is_some() && !state.live,
            fence: state.fence,
            lease_id: lease.map(|lease| &lease.id),
            user: lease.map(|lease| lease.user.as_str()),
            host: lease.map(|lease| lease.host.as_str()),
            pid: lease.map(|lease| lease.pid),
            operation: lease.map(|lease| lease.operation.as_str()),
            acquired: lease.map(|lease| lease.acquired),
            expires: lease.map(|lease| lease.expires),
        }
    }
}

/// `user@host (pid 42)`.
pub(super) fn who(lease: &Lease) -> String {
    format!("{} (pid {})", lease.holder(), lease.pid)
}

/// One line about who holds it.
pub(super) fn holding(lease: &Lease, state: &LockState) -> String {
    format!("{}, {}, {}; lease {}", who(lease), lease.operation, lasting(lease, state), lease.id)
}

/// How long it lasts.
fn lasting(lease: &Lease, state: &LockState) -> String {
    let left = lease.expires.signed_duration_since(state.now);
    if left >= chrono::Duration::zero() {
        format!("for another {}", time::human(left))
    } else {
        format!("ended {} ago", time::human(left))
    }
}

/// What a grant says to whoever asked for it.
pub(super) fn granted(id: &WorkflowId, lease: &Lease) -> String {
    let expires = time::moment(lease.expires);
    format!("{id}: locked until {expires}, lease {}, fence {}", lease.id, lease.fence)
}
