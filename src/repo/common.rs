use std::collections::BTreeMap;

use super::Objects;
use crate::{
    Result,
    document::ContentHash,
    format::{VersionId, VersionRef, WorkflowId},
};

const OURS: u8 = 1;
const THEIRS: u8 = 2;

impl Objects {
    /// Returns the highest common ancestor of two versions, by generation and then by record hash; none if
    /// they have none. A version is an ancestor of itself. It depends on the two versions alone.
    ///
    /// Every parent has a lower generation than its child, so the versions are visited from the highest down
    /// and each once; the first one that both sides reach is the answer.
    pub(crate) async fn common_ancestor(
        &self,
        id: &WorkflowId,
        ours: &VersionRef,
        theirs: &VersionRef,
    ) -> Result<Option<VersionRef>> {
        type Order = (u64, ContentHash, VersionId);
        let mut open: BTreeMap<Order, (VersionRef, u8)> = BTreeMap::new();
        let reach = |open: &mut BTreeMap<Order, (VersionRef, u8)>, named: &VersionRef, side: u8| {
            let order = (named.generation, named.record_hash, named.version_id);
            open.entry(order).or_insert_with(|| (named.clone(), 0)).1 |= side;
        };
        reach(&mut open, ours, OURS);
        reach(&mut open, theirs, THEIRS);
        while let Some((_, (named, sides))) = open.pop_last() {
            if sides == OURS | THEIRS {
                return Ok(Some(named));
            }
            let record = self.record(id, &named).await?;
            for parent in record.older_parents() {
                reach(&mut open, parent, sides);
            }
        }
        Ok(None)
    }
}
