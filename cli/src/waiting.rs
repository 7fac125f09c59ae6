//! The warnings about objects that are only in the journal.

use pflow_store::backend::Waiting;

use super::output::{Output, printable};

/// How many objects are named one by one.
const NAMED: usize = 3;

/// Describes one of these objects.
pub(super) fn line(waiting: &Waiting) -> String {
    let Waiting { key, reason, remedy, .. } = waiting;
    let remedy = remedy.as_ref().map_or_else(String::new, |command| format!(" (run `{command}`)"));
    printable(&format!("{key}: {reason}{remedy}")).into_owned()
}

/// Warns, also under `-q`, that values are only in the journal: their files are missing, and removing the
/// journal would lose them.
pub(super) fn warn(output: &Output, waiting: &[Waiting]) {
    for one in waiting.iter().take(NAMED) {
        let Waiting { key, reason, remedy, .. } = one;
        let help = match remedy {
            Some(command) => format!("run `{command}`, then any command on the store"),
            None => "remove the cause, then run any command on the store".to_owned(),
        };
        output.insist(&format!(
            "{key} is saved, but only in the store's journal: {reason}; {help}, and do not delete `.journal`"
        ));
    }
    if let Some(more @ 1..) = waiting.len().checked_sub(NAMED) {
        output.insist(&format!("{more} more objects are only in the store's journal; `status` lists them"));
    }
}
