use futures::TryStreamExt;
use pflow_backend::Key;

use crate::{
    Error, Result,
    stored::{Objects, WorkflowId, layout},
};

/// A record that says: this workflow may have reached this generation by this version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) key: Key,
    pub(super) id: WorkflowId,
    pub(super) generation: u64,
    pub(super) version_id: String,
    /// Whether it carries an operation that no version tells of.
    pub(super) has_body: bool,
}

/// The records that are there, in key order, at most `limit`. Names that are none of ours are passed over.
pub(super) async fn list(objects: &Objects, limit: usize) -> Result<Vec<Pending>> {
    let mut found = Vec::new();
    let mut listing = objects.backend.list(&layout::pending_records(), None);
    while let Some(listed) = listing.try_next().await.map_err(Error::Storage)? {
        if found.len() >= limit {
            break;
        }
        match layout::parse_pending(&listed.key) {
            Some((id, generation, version_id)) => {
                found.push(Pending {
                    key: listed.key,
                    id,
                    generation,
                    version_id,
                    has_body: listed.size > 0,
                });
            }
            None => tracing::warn!(key = %listed.key, "not a pending record of ours; passed over"),
        }
    }
    Ok(found)
}
