use clap::Args;
use pflow_store::{WorkflowId, lock::Inspection};
use serde::Serialize;

use super::{Lock, lasting, mirror_word, who};
use crate::cli::{failure::Result, output::printable, session::Session, table::table};

const HEADER: [&str; 6] = ["ID", "BY", "OPERATION", "LASTS", "STALE", "LEASE"];

#[derive(Debug, Args)]
pub(super) struct List {}

#[derive(Serialize)]
struct Document<'a> {
    locks: Vec<Lock<'a>>,
    unreadable: Vec<Unreadable<'a>>,
}

#[derive(Serialize)]
struct Unreadable<'a> {
    id: &'a WorkflowId,
    reason: &'a str,
}

impl List {
    /// Prints every lock.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let store = session.open().await?;
        let found = session.reading(store.locks()).await?;
        for Inspection { state, mirror, .. } in found.locks.iter().filter(|lock| lock.mirror.is_odd()) {
            let (id, word) = (&state.id, mirror_word(*mirror));
            session.output.warn(&format!(
                "the workflow.lock of {id} {word}; `lock show {id}` writes it again and keeps what is there"
            ));
        }
        for (id, reason) in &found.unreadable {
            session.output.warn(&format!("{id} cannot be read: {reason}"));
        }
        let rows: Vec<[String; 6]> = found.locks.iter().filter_map(row).collect();
        let text = if rows.is_empty() { String::new() } else { table(HEADER, rows.into_iter()) };
        if text.is_empty() {
            session.output.note("nothing is locked");
        }
        let document = Document {
            locks: found.locks.iter().map(Lock::inspected).collect(),
            unreadable: found.unreadable.iter().map(|(id, reason)| Unreadable { id, reason }).collect(),
        };
        session.answer(&text, &document)
    }
}

/// None for a mirror without a lease.
fn row(lock: &Inspection) -> Option<[String; 6]> {
    let state = &lock.state;
    let lease = state.lease.as_ref()?;
    Some([
        state.id.to_string(),
        printable(&who(lease)).into_owned(),
        printable(&lease.operation).into_owned(),
        lasting(lease, state.now),
        if state.live { "no" } else { "yes" }.to_owned(),
        lease.id.to_string(),
    ])
}
