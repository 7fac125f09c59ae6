use std::ffi::OsString;

use clap::Args;
use pflow_store::{Conflict, Error, LeaseId, Store, WorkflowId, format::Lease, lock::LockState};

use crate::{
    confirm,
    documents::Broken,
    failure::Result,
    hint, input,
    leases::{self, holding},
    session::Session,
};

const MORE: &str = "\
The next write of the holder fails and reports who broke the lease and when.
Its earlier writes stay. You must name the lease, so that a later lease is never
broken by mistake. `lock show` and every refusal print it.

Examples:
  pflow-store lock break greet 01hm9v1m2c3x -n      what would happen
  pflow-store lock break greet 01hm9v1m2c3x -y";

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(super) struct Break {
    /// The workflow
    id: OsString,

    /// The lease, as `lock show` prints it
    #[arg(value_parser = hint::lease_id)]
    lease_id: LeaseId,

    /// Print what would happen, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Break {
    /// Asks, unless `--yes` is set, and takes the lease away from its holder.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let store = session.open().await?;
        let (state, held) = self.held(session, &store, &id).await?;
        let who = holding(&held, state.now);
        if self.dry_run {
            let text = format!("{id}: the lease of {who} would be broken");
            return session.answer(&text, &Broken::planned(&state));
        }
        if !self.yes {
            let (what, question) =
                (format!("break the lock of {id}"), format!("Break the lock of {id}, held by {who}? [y/N] "));
            if !confirm::ask(session, &what, "break it", &question).await? {
                session.output.note("left as it is");
                return Ok(());
            }
        }
        let breaking = store.break_lock(&id, self.lease_id);
        let broken = session.changing(format!("the breaking of the lock of {id}"), None, breaking).await?;
        let text = format!("{id}: broke the lease {} of {}", broken.id, leases::who(&broken));
        // The state right after the break. Another holder may have taken the lock since.
        let mut after = state;
        (after.lease, after.live, after.standing) = (None, false, None);
        after.fence = broken.fence + 1;
        session.answer(&text, &Broken::done(&broken.id, &after))
    }

    /// Returns the lock. It is an error if its lease is not the one that was named.
    async fn held(
        &self,
        session: &Session<'_>,
        store: &Store,
        id: &WorkflowId,
    ) -> Result<(LockState, Lease)> {
        let state = session.reading(store.lock_state(id)).await?;
        match state.lease.clone() {
            Some(lease) if lease.id == self.lease_id => Ok((state, lease)),
            other => {
                let (id, lease_id, fence) = (id.clone(), self.lease_id.clone(), state.fence);
                let held = other.map(Box::new);
                let ended = state.ended.filter(|ended| ended.lease_id == lease_id).map(Box::new);
                Err(Error::from(Conflict::LeaseLost { id, lease_id, held, ended, fence }).into())
            }
        }
    }
}
