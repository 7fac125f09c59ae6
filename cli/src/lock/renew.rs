use std::ffi::OsString;

use clap::Args;
use pflow_store::LeaseId;

use crate::leases::granted;
use crate::{documents::Granted, failure::Result, hint, input, session::Session, time::Ttl};

#[derive(Debug, Args)]
pub(super) struct Renew {
    /// The workflow
    id: OsString,

    /// The lease, as `lock acquire` printed it
    #[arg(value_parser = hint::lease_id)]
    lease_id: LeaseId,

    /// How long it lasts from now on; as long as before unless set
    #[arg(long, value_name = "DURATION")]
    ttl: Option<Ttl>,
}

impl Renew {
    /// Renews the lease from now on.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let store = session.open().await?;
        let renewal = store.renew(&id, self.lease_id, self.ttl.map(|Ttl(ttl)| ttl));
        let lease = session.changing(format!("the renewal of the lock of {id}"), None, renewal).await?;
        session.answer(&granted(&id, &lease), &Granted::of(&id, &lease, true))
    }
}
