use clap::Args;
use pflow_store::lock::Inspection;

use super::mirror_word;
use crate::leases::{lasting, who};
use crate::{
    documents::{Lock, Locks, Unread},
    failure::Result,
    output::printable,
    session::Session,
    table::table,
    unreadable,
};

const HEADER: [&str; 6] = ["ID", "BY", "OPERATION", "LASTS", "STALE", "LEASE"];

#[derive(Debug, Args)]
pub(super) struct List {}

impl List {
    /// Prints every lock. It ends with 14 or 17 if there are workflows that cannot be read.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let store = session.open().await?;
        let (found, unreadable) = session.reading(unreadable::apart(store.locks())).await?;
        for Inspection { state, mirror, .. } in found.iter().filter(|lock| lock.mirror.is_odd()) {
            let (id, word) = (&state.id, mirror_word(*mirror));
            session.output.warn(&format!(
                "the workflow.lock of {id} {word}; `lock show {id}` writes it again and keeps what is there"
            ));
        }
        let rows: Vec<[String; 6]> = found.iter().filter_map(row).collect();
        let mut lines = Vec::new();
        if rows.is_empty() {
            session.output.note("nothing is locked");
        } else {
            lines.push(table(HEADER, rows.into_iter()));
        }
        lines.extend(unreadable::lines(&unreadable));
        let document = Locks {
            locks: found.iter().map(Lock::inspected).collect(),
            unreadable: Unread::all(&unreadable),
        };
        session.answer(&lines.join("\n"), &document)?;
        unreadable::judge(&unreadable)
    }
}

/// Returns the row of a lock, or none if there is a mirror but no lease.
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
