//! Files that could not be written: what only the journal of a store has.

use pflow_backend::Waiting;

use super::{Report, Severity, Store};
use crate::{Error, Remedy, Result};

impl Store {
    /// The objects whose last value is durable but not in the file where people look for it, and why: a file
    /// that belongs to another user, for example. Everything reads them as it should. On a disk the folder
    /// `.journal` alone has them: **removing it loses them**.
    ///
    /// A change that is answered may be among them once the store was [closed](Store::close).
    ///
    /// # Errors
    /// Errors of the storage.
    pub async fn waiting(&self) -> Result<Vec<Waiting>> {
        self.shared.objects.backend.waiting().await.map_err(Error::Storage)
    }

    /// Adds what waits to a report. Nothing is lost, so it is no damage.
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
