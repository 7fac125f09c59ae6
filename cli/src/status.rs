use pflow_store::{
    health::{Finding, Status},
    lock::LockState,
};

use super::{documents, failure::Result, hint, output::printable, session::Session, unreadable, waiting};
use crate::leases::holding;

/// Prints the store at a glance.
pub(super) async fn run(session: &Session<'_>) -> Result<()> {
    let store = session.open().await?;
    let status = session.reading(store.status()).await?;
    session.answer(&describe(&status), &documents::Status::of(&status))?;
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
        (true, _) => "lost; `reindex` rebuilds it".to_owned(),
        (false, 0) => "complete".to_owned(),
        (false, 1) => "complete, with 1 record still to be folded in".to_owned(),
        (false, pending) => format!("complete, with {pending} records still to be folded in"),
    };
    [
        format!("store              {}", status.location),
        format!("store id           {}", status.store_id),
        format!("instance           {}", status.instance.as_deref().unwrap_or("none yet")),
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
