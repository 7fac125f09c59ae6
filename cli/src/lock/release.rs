use std::ffi::OsString;

use clap::Args;
use pflow_store::{LeaseId, WorkflowId};
use serde::Serialize;

use crate::{failure::Result, input, session::Session};

#[derive(Debug, Args)]
pub(super) struct Release {
    /// The workflow
    id: OsString,

    /// The lease, as `lock acquire` printed it
    lease_id: LeaseId,
}

#[derive(Serialize)]
struct Document<'a> {
    id: &'a WorkflowId,
    lease_id: &'a LeaseId,
    fence: u64,
}

impl Release {
    /// Gives the lease back.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let store = session.open().await?;
        let what = format!("the unlocking of {id}");
        let lease = session.changing(what, None, store.release(&id, self.lease_id)).await?;
        let document = Document { id: &id, lease_id: &lease.id, fence: lease.fence };
        session.answer(&format!("{id}: released lease {}", lease.id), &document)
    }
}
