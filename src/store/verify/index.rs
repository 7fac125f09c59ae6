use std::collections::{BTreeMap, BTreeSet};

use super::{Report, Severity};
use crate::{
    Remedy, Result, Store,
    format::{
        WorkflowId,
        keys::{self, PendingName},
    },
    index::{Entry, Lost},
};

/// How often the index is compared again while other writers keep changing the heads.
const LOOKS: u32 = 8;

impl Store {
    /// Compares the stored index with the heads, and checks the history of the index.
    pub(super) async fn verify_index(&self, ids: &BTreeSet<WorkflowId>, report: &mut Report) -> Result<()> {
        let shared = &self.shared;
        // A new reader of the index, because the one of this process knows changes that the stored index may
        // lack.
        let index = shared.index.afresh();
        let view = index.view().await?;
        let reindex = || Some(Remedy::Reindex);
        let root = keys::index_root();
        // A fold may have replaced a part of the index while it was read.
        let lost = if view.lost.is_some() { shared.index.afresh().view().await?.lost } else { None };
        // A store without workflows need not have an index.
        if let Some(lost) = lost
            && (lost == Lost::Damaged || !ids.is_empty())
        {
            let severity = if lost == Lost::Damaged { Severity::Damage } else { Severity::Notice };
            report.add(severity, &root, "the index is lost; it is read from the workflows", reindex());
        }
        let entries: BTreeMap<&WorkflowId, &Entry> =
            view.iter().map(|entry| (&entry.id, entry.as_ref())).collect();
        let hurt: BTreeSet<WorkflowId> = report.hurt.iter().cloned().collect();
        let mut suspects = Vec::new();
        for (id, read) in shared.objects.heads(ids.iter().cloned().collect()).await {
            // Unreadable and hurt heads have been reported. The index entry of a hurt head is right; the head
            // is wrong.
            if let Ok(stored) = read
                && !hurt.contains(&id)
                && entries.get(&id).copied() != Entry::of(&stored.head).as_ref()
            {
                suspects.push(id);
            }
        }
        for id in self.wrong_in_index(suspects).await? {
            report.add(Severity::Damage, &root, format!("the index is wrong about {id}"), reindex());
        }
        let others = entries.keys().filter(|id| !ids.contains(**id) && !hurt.contains(**id));
        for id in others.copied().collect::<Vec<_>>() {
            match shared.objects.head(id).await {
                Ok(stored) if stored.version.is_none() => {
                    report.damage(keys::head(id), "missing, but the index knows the workflow");
                }
                Ok(_) => {}
                Err(unreadable) => report.unreadable(keys::head(id), unreadable)?,
            }
        }
        if let Some((key, lost, reason)) = index.check_history().await? {
            let reason = format!("{reason}; what the operation history told there and before is lost");
            match lost {
                Lost::Missing => report.add(Severity::Notice, key, reason, None),
                Lost::Damaged => {
                    let remedy = Some(Remedy::MoveAway { key: key.to_string() });
                    report.add(Severity::Damage, key, reason, remedy);
                }
            }
        }
        Ok(())
    }

    /// Returns those of `suspects` about which the index is wrong.
    ///
    /// A view includes everything that was acknowledged before it was made. So a view made between two reads
    /// of the same current version has the entry of that version. A workflow that other writers change at
    /// every attempt is not judged.
    async fn wrong_in_index(&self, mut suspects: Vec<WorkflowId>) -> Result<BTreeSet<WorkflowId>> {
        let shared = &self.shared;
        let mut wrong = BTreeSet::new();
        for _ in 0..LOOKS {
            if suspects.is_empty() {
                break;
            }
            let mut before = BTreeMap::new();
            for (id, read) in shared.objects.heads(suspects).await {
                if let Ok(stored) = read {
                    before.insert(id, stored.head.current);
                }
            }
            let index = shared.index.afresh();
            let view = index.view().await?;
            let entries: BTreeMap<&WorkflowId, &Entry> =
                view.iter().map(|entry| (&entry.id, entry.as_ref())).collect();
            suspects = Vec::new();
            for (id, read) in shared.objects.heads(before.keys().cloned().collect()).await {
                let Ok(stored) = read else { continue };
                if before.get(&id) != Some(&stored.head.current) {
                    suspects.push(id);
                } else if entries.get(&id).copied() != Entry::of(&stored.head).as_ref() {
                    wrong.insert(id);
                }
            }
        }
        Ok(wrong)
    }

    /// Checks the pending records once, and reports those of changes that did not happen.
    pub(super) async fn verify_pending(&self, hurt: &[WorkflowId]) -> Result<Report> {
        let objects = &self.shared.objects;
        let hurt: BTreeSet<&WorkflowId> = hurt.iter().collect();
        let mut report = Report::default();
        for key in objects.keys(&keys::pending_records()).await? {
            let reason = match keys::parse_pending(&key) {
                // Foreign names are reported with everything else that does not belong to this store.
                None | Some(PendingName::Operation { .. }) => continue,
                Some(PendingName::Change { id, .. }) if hurt.contains(&id) => continue,
                Some(PendingName::Change { id, generation, .. }) => match objects.head(&id).await {
                    Ok(stored) if stored.head.generation() >= generation => continue,
                    Ok(_) => "a change that did not happen: left by a crash, or under way",
                    // Unreadable heads have been reported.
                    Err(error) if error.spares_others() => continue,
                    Err(error) => return Err(error),
                },
            };
            report.add(Severity::Notice, key, reason, None);
        }
        Ok(report)
    }
}
