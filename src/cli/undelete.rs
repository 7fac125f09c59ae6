use std::ffi::OsString;

use clap::Args;
use pflow_store::UndeleteRequest;

use super::{
    expectation::Expectation,
    failure::Result,
    input,
    save::{Changed, describe, warn},
    session::Session,
};

#[derive(Debug, Args)]
pub(super) struct Undelete {
    /// The workflow
    id: OsString,

    #[command(flatten)]
    expectation: Expectation,
}

impl Undelete {
    /// Brings the workflow back, as a new generation with the content it had.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let store = session.open().await?;
        let mut request = UndeleteRequest::new(id.clone(), self.expectation.expect());
        if let Some(message) = self.expectation.message {
            request = request.message(message);
        }
        if let Some(lease) = self.expectation.lease {
            request = request.lease(lease);
        }
        let what = format!("the undeletion of {id}");
        let saved = session.changing(what, None, store.undelete(request)).await?;
        warn(session.output, &saved);
        session.answer(&describe(&saved), &Changed::of(&saved, None))
    }
}
