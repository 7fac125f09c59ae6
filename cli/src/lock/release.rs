use std::ffi::OsString;

use clap::Args;
use pflow_store::LeaseId;

use crate::{documents::Released, failure::Result, hint, input, session::Session};

#[derive(Debug, Args)]
pub(super) struct Release {
    /// The workflow
    id: OsString,

    /// The lease, as `lock acquire` printed it
    #[arg(value_parser = hint::lease_id)]
    lease_id: LeaseId,
}

impl Release {
    /// Gives the lease back.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let store = session.open().await?;
        let what = format!("the unlocking of {id}");
        let lease = session.changing(what, None, store.release(&id, self.lease_id)).await?;
        session.answer(&format!("{id}: released lease {}", lease.id), &Released::of(&id, &lease))
    }
}
