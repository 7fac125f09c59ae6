use std::ffi::OsString;

use clap::Args;
use pflow_store::{Error, LeaseId, LeaseRequest};

use super::waiting::Waiting;
use crate::leases::granted;
use crate::{documents::Granted, failure::Result, hint, input, session::Session, time::Ttl};

const MORE: &str = "\
The lease outlasts this command: it counts as held until it ends, although the
process that took it is gone. `lock run` holds a lease while a command runs.

In a script:
  lease=$(pflow-store lock acquire greet --lock-timeout 30s --json | jq -r .lease_id)";

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(super) struct Acquire {
    /// The workflow
    id: OsString,

    /// How long it lasts unless it is renewed or released
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    ttl: Ttl,

    /// What the lock is for, as `lock show` prints it
    #[arg(long, value_name = "TEXT", default_value = "lock acquire")]
    operation: String,

    /// Name the lease yourself, so that asking again after a lost answer is safe
    #[arg(long, value_name = "LEASE-ID", value_parser = hint::lease_id)]
    lease_id: Option<LeaseId>,

    #[command(flatten)]
    waiting: Waiting,
}

impl Acquire {
    /// Acquires the lock.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let store = session.open().await?;
        let lease_id = match self.lease_id {
            Some(lease_id) => lease_id,
            // Chosen here, so that a message can name the lease even if the reply is lost.
            None => LeaseId::parse(session.environment.new_id()).map_err(Error::from)?,
        };
        let left_behind = format!("the lease {lease_id}; see `lock show {id}`");
        let request = LeaseRequest::new(self.operation, self.ttl.0).id(lease_id).detached();
        let attempt = || store.acquire(&id, request.clone());
        let grant = self.waiting.until_granted(session, &store, &id, &left_behind, attempt).await?;
        let lease = &grant.lease;
        if session.give_back_if_interrupted(&store, &id, &lease.id).await {
            return Ok(());
        }
        let document = Granted::of(&id, lease, grant.already_held);
        let held_already = if grant.already_held { ", held already" } else { "" };
        session.answer(&format!("{}{held_already}", granted(&id, lease)), &document)
    }
}
