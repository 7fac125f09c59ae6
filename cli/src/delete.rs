use std::ffi::OsString;

use clap::Args;
use pflow_store::{ChangeRequest, Conflict, Error, Expect, Store, WorkflowId, format::Head, lock::Standing};

use super::{
    confirm,
    conflict::{Decider, OnConflict},
    documents::{Change, PlannedDeletion},
    expectation::Expectation,
    failure::{Failure, Result},
    input,
    save::{describe, warn},
    session::Session,
};

const MORE: &str = "\
Nothing is lost: the versions stay, and `undelete` brings the workflow back.

Examples:
  pflow-store delete greet -n                        what would happen
  pflow-store delete greet -y -m 'replaced by hello'
  pflow-store delete greet -y --if-generation 3";

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(super) struct Delete {
    /// The workflow
    id: OsString,

    #[command(flatten)]
    expectation: Expectation,

    #[command(flatten)]
    on_conflict: OnConflict,

    /// Print what would happen, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Delete {
    /// Asks, unless `--yes` is set, and deletes the workflow.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let store = session.open().await?;
        if self.dry_run {
            return self.rehearse(session, &store, &id).await;
        }
        let mut expect = self.expectation.expect();
        if !self.yes {
            let head = session.reading(store.show(&id)).await?;
            if !confirm(session, &head).await? {
                session.output.note("left as it is");
                return Ok(());
            }
            // The person agreed to delete this generation. A newer one is a conflict.
            expect = self.expectation.given().unwrap_or(Expect::Generation(head.generation()));
        }
        let decider = self.on_conflict.decider(session, &store)?;
        let request = request(session, &id, expect, self.expectation, &decider)?;
        let saved = session.trying(format!("the deletion of {id}"), None, store.delete(request)).await?;
        let saved = decider.judge(&store, saved).await?;
        warn(session.output, &saved);
        session.answer(&describe(&saved), &Change::of(&saved, None))?;
        if saved.hash.is_none() {
            session.output.note(&format!("`undelete {id}` brings it back"));
        }
        Ok(())
    }

    /// Prints what a deletion would do now. It checks in the same order as the deletion itself.
    async fn rehearse(&self, session: &Session<'_>, store: &Store, id: &WorkflowId) -> Result<()> {
        let head = session.reading(store.show(id)).await?;
        let state = session.reading(store.lock_state(id)).await?;
        let lease = self.expectation.lease(id)?;
        if let Some(lease_id) = &lease
            && head.lease.as_ref().is_none_or(|held| held.id != *lease_id)
        {
            return Err(refused(Conflict::lease_lost(lease_id.clone(), &head)));
        }
        let unchanged = head.live().is_none();
        if !unchanged {
            if let (None, Some(lease), Some(standing)) =
                (&lease, state.lease, state.standing.filter(Standing::is_live))
            {
                let (id, lease, now) = (id.clone(), Box::new(lease), state.now);
                return Err(refused(Conflict::Locked { id, lease, standing, now }));
            }
            self.expectation.expect().check(&head).map_err(refused)?;
        }
        let generation = head.generation();
        let text = if unchanged {
            format!("{id}: is deleted already, at generation {generation}")
        } else {
            let next = generation + 1;
            format!(
                "{id}: would be deleted by a generation {next}; `undelete {id}` would bring generation {generation} back"
            )
        };
        session.answer(&text, &PlannedDeletion::of(id, generation, unchanged))
    }
}

/// Builds the request for a deletion or an undeletion.
pub(super) fn request(
    session: &Session<'_>,
    id: &WorkflowId,
    expect: Expect,
    expectation: Expectation,
    decider: &Decider,
) -> Result<ChangeRequest> {
    let mut request = ChangeRequest::new(id.clone(), expect)
        .resolver(decider.resolver.clone())
        .lock_timeout(decider.lock_timeout)
        .cancelled_by(session.signals.stop());
    if let Some(lease) = expectation.lease(id)? {
        request = request.lease(lease);
    }
    if let Some(message) = expectation.message {
        request = request.message(message);
    }
    Ok(request)
}

fn refused(conflict: Conflict) -> Failure {
    Error::from(conflict).into()
}

/// Asks whether to delete the current version.
async fn confirm(session: &Session<'_>, head: &Head) -> Result<bool> {
    let (id, generation) = (&head.id, head.generation());
    let name = head.current.as_ref().and_then(|current| current.record.name.text());
    let name = name.map_or_else(String::new, |name| format!(", {name:?}"));
    let question =
        format!("Delete {id} (generation {generation}{name})? `undelete {id}` brings it back. [y/N] ");
    confirm::ask(session, &format!("delete {id}"), "delete it", &question).await
}
