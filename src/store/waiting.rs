//! Files that could not be written, so that only the journal of a store has their value.

use pflow_backend::Waiting;

use super::{Report, Severity, Store};
use crate::{Error, Remedy, Result};

impl Store {
    /// Returns the objects whose last value is durable but not in its file, and why: for example because the
    /// file belongs to another user. All readers of the store get the right value. On a disk only the folder
    /// `.journal` has these values: **removing it loses them**.
    ///
    /// An acknowledged change may appear here only after the store was [closed](Store::close).
    ///
    /// # Errors
    /// Errors of the storage.
    pub async fn waiting(&self) -> Result<Vec<Waiting>> {
        self.shared.objects.backend.waiting().await.map_err(Error::Storage)
    }

    /// Adds the unwritten files to a report. Nothing is lost, so they are not damage.
    pub(super) async fn verify_waiting(&self, report: &mut Report) -> Result<()> {
        for Waiting { key, reason, remedy, .. } in self.waiting().await? {
            let reason =
                format!("only the journal has its last value, because its file cannot be written: {reason}");
            let remedy = remedy.map(|command| Remedy::Run { command });
            report.add(Severity::Notice, key, reason, remedy);
        }
        Ok(())
    }
}
