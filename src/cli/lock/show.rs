use std::ffi::OsString;

use clap::Args;
use pflow_store::lock::LockState;

use super::{Lock, lasting, who};
use crate::cli::{failure::Result, input, output::printable, session::Session, time};

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The workflow
    id: OsString,
}

impl Show {
    /// Prints who holds the lock.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let store = session.open().await?;
        let state = session.reading(store.lock_state(&id)).await?;
        session.answer(&describe(&state), &Lock::of(&state))
    }
}

/// What; who, doing what, since when, for how long; the lease; why it is stale or not; what helps.
fn describe(state: &LockState) -> String {
    let id = &state.id;
    let Some(lease) = &state.lease else { return format!("{id} is not locked (fence {})", state.fence) };
    let stale = match (state.live, lease.expires >= state.now) {
        (true, true) => "no: its lease has not ended",
        (true, false) => "not yet: its end lies within the allowance for skewed clocks",
        (false, _) => {
            "yes: its lease ended longer ago than clocks may differ; the next save or lock takes over"
        }
    };
    let lines = [
        format!("{id} is locked"),
        format!("  by         {}", who(lease)),
        format!("  operation  {}", lease.operation),
        format!("  since      {}", time::moment(lease.acquired)),
        format!("  lasts      {}, until {}", lasting(lease, state), time::moment(lease.expires)),
        format!("  lease      {}, fence {}", lease.id, lease.fence),
        format!("  stale      {stale}"),
        format!("  to end it  its holder runs `lock release {id} {}`", lease.id),
    ];
    lines.map(|line| printable(&line).into_owned()).join("\n")
}
