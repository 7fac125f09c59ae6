use std::sync::Arc;

use pflow_backend::{Batch, Commit, Key, Operation};

use super::plan::Plan;
use crate::{
    Error,
    format::keys,
    register::{Fate, HeadSwap, Sign},
    repo::{Objects, StoredHead},
};

/// One attempt to write a plan: its swap, and the objects around it.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) swap: HeadSwap,
    /// The objects that it wrote before the head; garbage if it did not land.
    pub(super) fresh: Vec<Key>,
    /// The objects to write after it: the copies, the mirror of the lease, the record of a break.
    pub(super) after: Vec<Operation>,
    pub(super) plan: Arc<Plan>,
}

impl Attempt {
    /// Writes the copies after a swap that landed without them, unless the head has changed since.
    ///
    /// # Errors
    /// The copies could not be written.
    pub(super) async fn finish(&self, objects: &Objects, stored: &StoredHead) -> Result<(), Error> {
        let head = &self.swap.head;
        if stored.head.nonce != head.nonce {
            return Ok(());
        }
        match objects.backend.commit(Batch::new().stage(self.after.iter().cloned())).await {
            Ok(Commit::Committed(_)) => {}
            Ok(refused) => tracing::debug!(id = %head.id, ?refused, "the copies changed meanwhile"),
            Err(error) => return Err(Error::Storage(error)),
        }
        Ok(())
    }

    /// Deletes the objects of a dead attempt. What cannot be deleted remains until garbage collection.
    pub(super) async fn clear(&self, objects: &Objects) {
        if self.fresh.is_empty() {
            return;
        }
        let garbage = Batch::new().stage(self.fresh.iter().cloned().map(Operation::delete));
        if let Err(error) = objects.backend.commit(garbage).await {
            tracing::debug!(id = %self.swap.head.id, %error, "what a lost attempt left stays until it is collected");
        }
    }

    /// Deletes the objects of an attempt whose swap certainly did not happen.
    ///
    /// IMPORTANT: reads the head first. A person may have removed or restored the head since, and a repair may
    /// then have moved it to this very version.
    pub(super) async fn clear_unless_found(&self, objects: &Objects) {
        match objects.head(&self.swap.head.id).await {
            Ok(stored) => self.clear_if_dead(objects, &stored).await,
            Err(error) => self.log_what_stays(&error),
        }
    }

    /// The same for a head that was read after the swap.
    ///
    /// IMPORTANT: every version that it wrote is sought, also the edit that it kept below the new version: a
    /// repair may have moved the head to that one alone. If the head is behind the one that the attempt was
    /// built on, or may have one of the versions, all objects are kept.
    pub(super) async fn clear_if_dead(&self, objects: &Objects, stored: &StoredHead) {
        let id = &self.swap.head.id;
        let base = self.plan.stored.head.generation();
        for name in self.fresh.iter().filter_map(|key| keys::parse_version(id, key)) {
            let swap = HeadSwap { sign: Some(Sign::Version(name)), ..self.swap.clone() };
            match swap.fate(objects, stored).await {
                Ok(Fate::Open | Fate::Dead) => {}
                Ok(Fate::Superseded) if stored.head.generation() >= base => {}
                Ok(Fate::Superseded | Fate::Landed) => {
                    tracing::warn!(%id, "its head has a version of a lost attempt or was put back: what the attempt left stays");
                    return;
                }
                Err(error) => return self.log_what_stays(&error),
            }
        }
        self.clear(objects).await;
    }

    fn log_what_stays(&self, error: &Error) {
        let id = &self.swap.head.id;
        tracing::debug!(%id, %error, "what a lost attempt left stays until it is collected");
    }
}
