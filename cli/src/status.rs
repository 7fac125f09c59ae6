use pflow_store::{
    WorkflowId,
    lock::LockState,
    store::{Finding, Status},
};
use serde::Serialize;

use super::{
    failure::Result,
    hint,
    lock::Lock,
    output::printable,
    session::Session,
    unreadable::{self, Unread},
    waiting::{self, Waits},
};
use crate::leases::holding;

#[derive(Serialize)]
struct Document<'a> {
    location: &'a str,
    store_id: &'a str,
    workflows: usize,
    deleted: usize,
    pending: usize,
    index_lost: bool,
    locked: Vec<Lock<'a>>,
    modified_outside: &'a [WorkflowId],
    unreadable: Vec<Unread<'a>>,
    waiting: Vec<Waits<'a>>,
    strangers: Vec<Stranger<'a>>,
}

#[derive(Serialize)]
struct Stranger<'a> {
    key: &'a str,
    reason: &'a str,
    hint: Option<String>,
}

/// Prints the store at a glance.
pub(super) async fn run(session: &Session<'_>) -> Result<()> {
    let store = session.open().await?;
    let status = session.reading(store.status()).await?;
    let document = Document {
        location: &status.location,
        store_id: &status.store_id,
        workflows: status.index.workflows,
        deleted: status.index.deleted,
        pending: status.index.pending,
        index_lost: status.index.lost,
        locked: status.locked.iter().map(Lock::of).collect(),
        modified_outside: &status.edited,
        unreadable: unreadable::documents(&status.unreadable),
        strangers: status
            .strangers
            .iter()
            .map(|it| Stranger {
                key: &it.key,
                reason: &it.reason,
                hint: it.remedy.as_ref().map(hint::command),
            })
            .collect(),
        waiting: status.waiting.iter().map(Waits::of).collect(),
    };
    session.answer(&describe(&status), &document)?;
    unreadable::judge(&status.unreadable)
}

fn stranger(found: &Finding) -> String {
    let command = |remedy| format!(" (`{}`)", hint::command(remedy));
    let hint = found.remedy.as_ref().map(command).unwrap_or_default();
    printable(&format!("{}: {}{hint}", found.key, found.reason)).into_owned()
}

fn describe(status: &Status) -> String {
    let lines = |items: Vec<String>| match items.as_slice() {
        [] => "none".to_owned(),
        items => items.join("\n                   "),
    };
    let locked = |state: &LockState| {
        let holder = state.lease.as_ref().map(|lease| holding(lease, state.now)).unwrap_or_default();
        format!("{}: {holder}", state.id)
    };
    let index = match (status.index.lost, status.index.pending) {
        (true, _) => "lost; `reindex` makes it anew".to_owned(),
        (false, 0) => "complete".to_owned(),
        (false, 1) => "complete, with 1 record still to be folded in".to_owned(),
        (false, pending) => format!("complete, with {pending} records still to be folded in"),
    };
    [
        format!("store              {}", status.location),
        format!("store id           {}", status.store_id),
        format!("workflows          {}", status.index.workflows),
        format!("deleted            {}", status.index.deleted),
        format!("index              {index}"),
        format!("locked             {}", lines(status.locked.iter().map(locked).collect())),
        format!("modified outside   {}", lines(status.edited.iter().map(ToString::to_string).collect())),
        format!("unreadable         {}", lines(unreadable::lines(&status.unreadable))),
        format!("not of this store  {}", lines(status.strangers.iter().map(stranger).collect())),
        format!("only in journal    {}", lines(status.waiting.iter().map(waiting::line).collect())),
    ]
    .join("\n")
}
