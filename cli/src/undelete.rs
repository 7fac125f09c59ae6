use std::ffi::OsString;

use super::{
    conflict::OnConflict,
    delete::request,
    documents::Change,
    expectation::Expectation,
    failure::Result,
    input,
    save::{describe, warn},
    session::Session,
};
use clap::Args;

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
        let expect = self.expectation.expect();
        let request = request(session, &id, expect, self.expectation, &decider)?;
        let what = format!("the undeletion of {id}");
        let saved = session.trying(what, None, store.undelete(request)).await?;
        let saved = decider.judge(&store, saved).await?;
        warn(session.output, &saved);
        session.answer(&describe(&saved), &Change::of(&saved, None))
    }
}
