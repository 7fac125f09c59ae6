//! What the operation history tells of workflows whose heads were lost along with the index.

use std::{collections::BTreeMap, sync::Arc};

use super::{Entry, Index, table::Table};
use crate::{Result, format::WorkflowId};

impl Index {
    /// The table of a lost index as it may be written: with the entry that the history has last of a
    /// workflow, where that is later than the head and the head is hurt or cannot be read. Reads the whole
    /// history; a table that is not lost is given back as it is.
    ///
    /// IMPORTANT: a lost index is made from the heads, and the entry of a head that was put back would say
    /// that the later versions were never current. The next fold would fence them.
    pub(super) async fn with_lost_heads(&self, mut table: Table) -> Result<Table> {
        if table.lost.is_none() {
            return Ok(table);
        }
        let mut later = self.last_entries().await?;
        later.retain(|id, known| {
            table.entries.get(id).is_none_or(|of_head| of_head.generation < known.generation)
        });
        let mut entries = (*table.entries).clone();
        for (id, read) in self.objects.heads(later.keys().cloned().collect()).await {
            let Some(known) = later.remove(&id) else { continue };
            let stays = match read {
                Ok(stored) => self.is_behind(&stored.head, Some(&known)).await?,
                Err(error) if error.is_of_one_object() => true,
                Err(other) => return Err(other),
            };
            if stays {
                tracing::warn!(%id, "its head is hurt; indexed as the operation history knows it");
                entries.insert(id, known);
            }
        }
        table.entries = Arc::new(entries);
        Ok(table)
    }

    /// The last entry of every workflow that the history has one of.
    async fn last_entries(&self) -> Result<BTreeMap<WorkflowId, Arc<Entry>>> {
        let mut last: BTreeMap<WorkflowId, (u64, Arc<Entry>)> = BTreeMap::new();
        self.each_segment(|segment| {
            for entry in segment.entries {
                if last.get(&entry.id).is_none_or(|(sequence, _)| *sequence < segment.sequence) {
                    last.insert(entry.id.clone(), (segment.sequence, Arc::new(self.texts.share(entry))));
                }
            }
        })
        .await?;
        Ok(last.into_iter().map(|(id, (_, entry))| (id, entry)).collect())
    }
}
