use std::collections::{BTreeMap, BTreeSet};

use super::{Report, Severity, found};
use crate::{
    Result, Store,
    index::{Entry, Lost},
    stored::{
        WorkflowId,
        layout::{self, PendingName},
    },
};

impl Store {
    /// The index as it is stored against the heads, and the history of the index.
    pub(super) async fn verify_index(&self, ids: &BTreeSet<WorkflowId>, report: &mut Report) -> Result<()> {
        let shared = &self.shared;
        // Not the one that this process keeps: that knows what the stored one may lack.
        let index = shared.index.afresh();
        let view = index.view().await?;
        let reindex = || Some("reindex".to_owned());
        let root = layout::index_root();
        if let Some(lost) = view.lost
            && !ids.is_empty()
        {
            let severity = if lost == Lost::Damaged { Severity::Damage } else { Severity::Notice };
            report.add(severity, &root, "the index is lost; it is read from the workflows", reindex());
        }
        let entries: BTreeMap<&WorkflowId, &Entry> =
            view.iter().map(|entry| (&entry.id, entry.as_ref())).collect();
        for (id, read) in shared.objects.heads(ids.iter().cloned().collect()).await {
            // Unreadable and hurt heads have been reported. The entry of a hurt one is right: it is the head that is wrong.
            let Ok(stored) = read else { continue };
            if report.hurt.contains(&id) {
                continue;
            }
            let (entry, should) = (entries.get(&id).copied(), Entry::of(&stored.head));
            // A head that moved on since the view was made is newer than its entry.
            let newer = should
                .as_ref()
                .is_some_and(|should| entry.is_none_or(|entry| entry.generation < should.generation));
            if entry != should.as_ref() && !(newer && self.indexed_meanwhile(&id).await?) {
                report.add(Severity::Damage, &root, format!("the index is wrong about {id}"), reindex());
            }
        }
        for id in entries
            .keys()
            .filter(|id| !ids.contains(**id) && !report.hurt.contains(id))
            .copied()
            .collect::<Vec<_>>()
        {
            match shared.objects.head(id).await {
                Ok(stored) if stored.version.is_none() => {
                    report.damage(layout::head(id), "missing, but the index knows the workflow");
                }
                Ok(_) => {}
                Err(unreadable) => report.damage(layout::head(id), found(unreadable)?),
            }
        }
        if let Some((key, lost, reason)) = index.check_history().await? {
            let reason = format!("{reason}; what the operation history told there and before is lost");
            match lost {
                Lost::Missing => report.add(Severity::Notice, key, reason, None),
                Lost::Damaged => report.add(Severity::Damage, key, reason, Some("move it away".to_owned())),
            }
        }
        Ok(())
    }

    /// Whether a new look at the index agrees with a look at the head before it.
    async fn indexed_meanwhile(&self, id: &WorkflowId) -> Result<bool> {
        let shared = &self.shared;
        let stored = shared.objects.head(id).await?;
        let index = shared.index.afresh();
        let view = index.view().await?;
        let entry = view.iter().find(|entry| entry.id == *id);
        Ok(entry.is_some_and(|entry| entry.generation >= stored.head.generation()))
    }

    /// Records that wait: of changes that did not happen, and none of ours.
    pub(super) async fn verify_pending(&self, report: &mut Report) -> Result<()> {
        for key in self.shared.objects.keys(&layout::pending_records()).await? {
            let reason = match layout::parse_pending(&key) {
                None => "not a record of ours",
                Some(PendingName::Change { id, .. }) if report.hurt.contains(&id) => continue,
                Some(PendingName::Change { id, generation, .. })
                    if self
                        .shared
                        .objects
                        .head(&id)
                        .await
                        .is_ok_and(|stored| stored.head.generation() < generation) =>
                {
                    "a change that did not happen: left by a crash, or under way"
                }
                Some(_) => continue,
            };
            report.add(Severity::Notice, key, reason, None);
        }
        Ok(())
    }
}
