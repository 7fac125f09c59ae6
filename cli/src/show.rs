use std::ffi::OsString;

use clap::Args;
use pflow_store::{
    Error,
    format::{Current, Head, VersionRecord},
};

use serde_json::Value;

use super::{documents::Shown, failure::Result, input, output::printable, session::Session, time};
use crate::leases::who;

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The workflow
    id: OsString,
}

impl Show {
    /// Prints the head.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let store = session.open().await?;
        let head = session.reading(store.show(&id)).await?;
        let missing = || Error::WorkflowMissing { id: id.clone(), deleted: false };
        let current = head.current.as_ref().ok_or_else(missing)?;
        session.answer(&describe(&head), &Shown::of(&head, current))
    }
}

/// What pflow had noted about the runs: `12, the last one at 2026-01-01T10:00:00 succeeded`.
fn runs(record: &VersionRecord) -> Option<String> {
    let noted = |key| record.statistics.get(key);
    let count = noted("execution_count")?;
    let at = noted("last_execution_timestamp").and_then(Value::as_str);
    let ended = match noted("last_execution_success").and_then(Value::as_bool) {
        Some(true) => " succeeded",
        Some(false) => " failed",
        None => "",
    };
    Some(match at {
        Some(at) => format!("{count}, the last one at {at}{ended}"),
        None => count.to_string(),
    })
}

fn describe(head: &Head) -> String {
    let mut lines = vec![head.id.to_string()];
    let mut line = |name: &str, text: &str| {
        if !text.is_empty() {
            lines.push(format!("  {name:<12} {}", printable(text)));
        }
    };
    if let Some(Current { record, .. }) = &head.current {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        line("name", record.name.text().unwrap_or_default());
        line("description", record.description.text().unwrap_or_default());
        line("tags", &record.tags.value().join(", "));
        line("nodes", &record.nodes.join(", "));
        line("version", &text(&record.version));
        line("runs", &runs(record).unwrap_or_default());
        line("generation", &record.generation.to_string());
        if record.deleted {
            line("state", &format!("deleted; `undelete {}` brings it back", head.id));
        }
        line("hash", &record.hash.map(|hash| hash.to_string()).unwrap_or_default());
        if !record.deleted {
            line("size", &format!("{} bytes of {}", record.size, record.media_type));
        }
        line("created", &time::moment(record.created));
        line("modified", &format!("{} by {}", time::moment(record.modified), record.author));
        line("message", &text(&record.message));
    }
    let lock = head.lease.as_ref().map(|lease| {
        let until = time::moment(lease.expires);
        format!("{}, {}, until {until}; see `lock show {}`", who(lease), lease.operation, head.id)
    });
    line("lock", lock.as_deref().unwrap_or("none"));
    lines.join("\n")
}
