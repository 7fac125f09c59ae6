use std::ffi::OsString;

use clap::Args;
use pflow_store::UndeleteRequest;

use super::{
    conflict::OnConflict,
    documents::Change,
    expectation::Expectation,
    failure::Result,
    input,
    save::{describe, warn},
    session::Session,
};

#[derive(Debug, Args)]
pub(super) struct Undelete {
    /// The workflow
    id: OsString,

    #[command(flatten)]
    expectation: Expectation,

    #[command(flatten)]
    on_conflict: OnConflict,
}

impl Undelete {
    /// Brings the workflow back, as a new generation with the content it had.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let store = session.open().await?;
        let decider = self.on_conflict.decider(session, &store)?;
        let mut request = UndeleteRequest::new(id.clone(), self.expectation.expect())
            .resolver(decider.resolver.clone())
            .lock_timeout(decider.lock_timeout)
            .cancelled_by(session.signals.stop());
        let lease = self.expectation.lease(&id)?;
        if let Some(message) = self.expectation.message {
            request = request.message(message);
        }
        if let Some(lease) = lease {
            request = request.lease(lease);
        }
        let what = format!("the undeletion of {id}");
        let saved = session.trying(what, None, store.undelete(request)).await?;
        let saved = decider.judge(&store, saved).await?;
        warn(session.output, &saved);
        session.answer(&describe(&saved), &Change::of(&saved, None))
    }
}
