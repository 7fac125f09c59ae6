//! The commands about locks.

mod acquire;
mod breaking;
mod child;
mod list;
mod release;
mod renew;
mod run;
mod show;
mod waiting;

use clap::{Args, Subcommand};
use pflow_store::lock::Mirror;

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
    /// Renew a lease from now on
    Renew(renew::Renew),
    /// Give a lease back
    Release(release::Release),
    /// Run a command while the workflow is locked
    Run(run::Run),
    /// Show who holds the lock, since when and until when, and why it is stale or not
    Show(show::Show),
    /// List all locks
    List(list::List),
    /// Take a lease away from its holder
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

/// Describes the state of a mirror, after the words `workflow.lock`.
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
