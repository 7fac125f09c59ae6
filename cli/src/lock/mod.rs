//! The commands about locks, and how a lock is described.

mod acquire;
mod breaking;
mod child;
mod list;
mod release;
mod renew;
mod run;
mod show;
mod waiting;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use pflow_store::{
    LeaseId, WorkflowId,
    format::Lease,
    lock::{Holder, Inspection, Live, LockState, Mirror, Stale, Standing},
};
use serde::Serialize;

use super::{failure::Result, session::Session};
pub(super) use waiting::{SILENCE, tell};

const MORE: &str = "\
While a workflow is locked, only saves under the lease succeed; others get exit 11.

Examples:
  pflow-store lock acquire greet --ttl 30m --operation 'editing by hand'
  pflow-store save greet greet.json --lease LEASE-ID
  pflow-store lock release greet LEASE-ID
  pflow-store lock run greet -- ./refresh.sh              locked while it runs";

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
    /// Make a lease last from now on
    Renew(renew::Renew),
    /// Give a lease back
    Release(release::Release),
    /// Run a command while the workflow is locked
    Run(run::Run),
    /// Who holds the lock, since when and until when, and why it is stale or not
    Show(show::Show),
    /// All locks
    List(list::List),
    /// Take a lease away from whoever holds it
    Break(breaking::Break),
}

impl LockArgs {
    /// Runs the command about locks.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        match self.command {
            Command::Acquire(acquire) => acquire.run(session).await,
            Command::Renew(renew) => renew.run(session).await,
            Command::Release(release) => release.run(session).await,
            Command::Run(run) => run.run(session).await,
            Command::Show(show) => show.run(session).await,
            Command::List(list) => list.run(session).await,
            Command::Break(breaking) => breaking.run(session).await,
        }
    }
}

/// A lock, for `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Lock<'a> {
    id: &'a WorkflowId,
    locked: bool,
    stale: bool,
    /// Why it is live or stale, a stable word.
    why: Option<&'static str>,
    /// What is known of the process that holds it, a stable word; none where it does not matter any more.
    process: Option<&'static str>,
    fence: u64,
    lease_id: Option<&'a LeaseId>,
    user: Option<&'a str>,
    host: Option<&'a str>,
    pid: Option<u32>,
    operation: Option<&'a str>,
    acquired: Option<DateTime<Utc>>,
    expires: Option<DateTime<Utc>>,
    renewals: Option<u64>,
    /// Where `workflow.lock` was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mended: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<&'a str>,
}

impl<'a> Lock<'a> {
    pub(super) fn of(state: &'a LockState) -> Self {
        let lease = state.lease.as_ref();
        let (why, process) = state.standing.map(words).unzip();
        Self {
            id: &state.id,
            locked: state.live,
            stale: lease.is_some() && !state.live,
            why,
            process: process.flatten(),
            fence: state.fence,
            lease_id: lease.map(|lease| &lease.id),
            user: lease.map(|lease| lease.user.as_str()),
            host: lease.map(|lease| lease.host.as_str()),
            pid: lease.map(|lease| lease.pid),
            operation: lease.map(|lease| lease.operation.as_str()),
            acquired: lease.map(|lease| lease.acquired),
            expires: lease.map(|lease| lease.expires),
            renewals: lease.map(|lease| lease.renewals),
            mirror: None,
            mended: None,
            kept: None,
        }
    }

    /// With its mirror.
    pub(super) fn inspected(lock: &'a Inspection) -> Self {
        let mirror = match lock.mirror {
            Mirror::Faithful => "faithful",
            Mirror::Missing => "missing",
            Mirror::Lagging => "lagging",
            Mirror::Edited => "edited",
            Mirror::Foreign => "foreign",
            Mirror::Unreadable => "unreadable",
            _ => "unknown",
        };
        Self {
            mirror: Some(mirror),
            mended: Some(lock.mended),
            kept: lock.kept.as_deref(),
            ..Self::of(&lock.state)
        }
    }
}

/// The stable words for a judgement: why, and what is known of the process.
fn words(standing: Standing) -> (&'static str, Option<&'static str>) {
    let process = |holder| match holder {
        Holder::Running => "running",
        Holder::Gone | Holder::Replaced => "gone",
        Holder::Detached => "detached",
        Holder::OtherHost => "other_host",
        Holder::OtherBoot => "other_boot",
        Holder::OtherNamespace => "other_pid_namespace",
        _ => "unknown",
    };
    match standing {
        Standing::Live { why, holder } => {
            let why = match why {
                Live::NotEnded => "not_ended",
                Live::Allowance => "within_allowance",
                Live::Ahead => "clock_ahead",
                _ => "live",
            };
            (why, Some(process(holder)))
        }
        Standing::Stale(Stale::Expired { holder }) => ("expired", Some(process(holder))),
        Standing::Stale(Stale::Unrenewed { .. }) => ("not_renewed", None),
        Standing::Stale(Stale::ProcessGone) => ("process_gone", Some("gone")),
        Standing::Stale(Stale::PidReused) => ("pid_reused", Some("gone")),
        Standing::Stale(_) => ("stale", None),
    }
}

/// What a mirror was, behind `workflow.lock`.
fn mirror_word(mirror: Mirror) -> &'static str {
    match mirror {
        Mirror::Faithful => "says the same",
        Mirror::Missing => "was missing",
        Mirror::Lagging => "was of an earlier lease or renewal",
        Mirror::Edited => "was edited by hand",
        Mirror::Foreign => "was no mirror of ours",
        Mirror::Unreadable => "cannot be read and is left alone",
        _ => "was something else",
    }
}

/// A grant or a renewal, for `--json`.
#[derive(Debug, Serialize)]
struct Granted<'a> {
    id: &'a WorkflowId,
    lease_id: &'a LeaseId,
    fence: u64,
    expires: DateTime<Utc>,
    renewals: u64,
    already_held: bool,
}

impl<'a> Granted<'a> {
    fn of(id: &'a WorkflowId, lease: &'a Lease, already_held: bool) -> Self {
        let Lease { fence, expires, renewals, .. } = *lease;
        Self { id, lease_id: &lease.id, fence, expires, renewals, already_held }
    }
}
