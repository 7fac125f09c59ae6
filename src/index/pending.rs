use futures::TryStreamExt;
use pflow_backend::Key;

use crate::{
    Error, Result,
    format::{
        VersionId, WorkflowId, is_litter,
        keys::{self, PendingName},
    },
    repo::Objects,
};

/// The records that wait to be folded.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) changes: Vec<PendingChange>,
    pub(super) operations: Vec<PendingOperation>,
}

/// A record that says: this workflow may have reached this generation by this version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PendingChange {
    pub(super) key: Key,
    pub(super) id: WorkflowId,
    pub(super) generation: u64,
    pub(super) version_id: VersionId,
    /// The nonce of the head that the commit swaps in.
    pub(super) attempt: VersionId,
    /// How many versions the commit wrote, that one included.
    pub(super) versions: u8,
}

/// A record that tells of an operation which made no version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PendingOperation {
    pub(super) key: Key,
    pub(super) id: Option<WorkflowId>,
    pub(super) operation_id: VersionId,
}

impl Pending {
    /// The records that are there, in key order, at most `limit`. Names that are none of ours are passed
    /// over.
    pub(super) async fn list(objects: &Objects, limit: usize) -> Result<Self> {
        let mut found = Self::default();
        let mut listing = objects.backend.list(&keys::pending_records(), None);
        while let Some(listed) = listing.try_next().await.map_err(Error::Storage)? {
            if found.len() >= limit {
                break;
            }
            let key = listed.key;
            match keys::parse_pending(&key) {
                Some(PendingName::Change { id, generation, version_id, attempt, versions }) => {
                    found.changes.push(PendingChange { key, id, generation, version_id, attempt, versions });
                }
                Some(PendingName::Operation { id, operation_id }) => {
                    found.operations.push(PendingOperation { key, id, operation_id });
                }
                None if key.as_str().rsplit('/').next().is_some_and(is_litter) => {}
                None => tracing::warn!(%key, "not a pending record of ours; passed over"),
            }
        }
        Ok(found)
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len() + self.operations.len()
    }
}
