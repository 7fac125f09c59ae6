//! Versions outside of the chains, and lost heads.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;

use super::{Report, Severity, workflow::Chain};
use crate::{
    Error, Remedy, Result, Store,
    format::{Head, WorkflowId, keys},
    index::Ancestry,
    repo::{VersionName, VersionStatus},
};

/// Versions outside of the chains of their workflows.
pub(super) type Outside = BTreeMap<(WorkflowId, VersionName), VersionStatus>;

impl Store {
    /// Finds the versions that the chain does not name. Below a break it is unknown what the chain named, so
    /// versions there are not judged.
    pub(super) async fn verify_lineage(&self, head: &Head, chain: &Chain, report: &mut Report) -> Result<()> {
        let id = &head.id;
        let keys = self.shared.objects.keys(&keys::versions_of(id)).await?;
        let mut outside = BTreeSet::new();
        for key in keys {
            match keys::parse_version(id, &key) {
                Some(name) if name.0 < chain.broken_at || chain.has(&name) => {}
                Some(name) => drop(outside.insert(name)),
                // Reported with everything else that does not belong to this store.
                None => {}
            }
        }
        if outside.is_empty() {
            return Ok(());
        }
        let ancestry = match self.shared.index.ancestry(id).await {
            Ok(ancestry) => ancestry,
            Err(error) if error.spares_others() => return report.unreadable(keys::versions_of(id), error),
            Err(other) => return Err(other),
        };
        add_hurt(&ancestry, report);
        let damaged = self.verify_candidates(&ancestry, report).await?;
        for name in outside {
            if damaged.contains(&name) {
                continue;
            }
            let status = match ancestry.statuses.get(&name) {
                Some(status) => *status,
                None if name.0 <= head.generation() => VersionStatus::Beside,
                // The head has reached it meanwhile, or its writer has deleted it.
                None => continue,
            };
            report.outside.insert((id.clone(), name), status);
        }
        Ok(())
    }

    /// Verifies a workflow whose head is missing, has no version, or cannot be read; `damage` says why it
    /// cannot be read.
    pub(super) async fn verify_lost_head(
        &self,
        id: &WorkflowId,
        damage: Option<String>,
        report: &mut Report,
    ) -> Result<()> {
        let ancestry = match self.shared.index.ancestry(id).await {
            Ok(ancestry) => ancestry,
            Err(error) if error.spares_others() => {
                if let Some(reason) = damage {
                    report.damage(keys::head(id), reason);
                }
                return report.unreadable(keys::versions_of(id), error);
            }
            Err(other) => return Err(other),
        };
        if ancestry.damage.is_none() && ancestry.stored.head.current.is_some() {
            // It was created or repaired meanwhile.
            return Ok(());
        }
        match damage {
            Some(reason) if ancestry.is_hurt() => {
                report.add(Severity::Damage, keys::head(id), reason, Some(Remedy::RepairHeads));
                report.hurt.push(id.clone());
            }
            Some(reason) => report.damage(keys::head(id), reason),
            None => add_hurt(&ancestry, report),
        }
        let damaged = self.verify_candidates(&ancestry, report).await?;
        for (name, status) in ancestry.statuses.iter().filter(|(name, _)| !damaged.contains(*name)) {
            report.outside.insert((id.clone(), *name), *status);
        }
        Ok(())
    }

    /// Reports the unreadable versions whose generation is higher than the head's, and returns their names.
    /// Such a version is damage: its relation to the head is unknown, and it may have been current.
    async fn verify_candidates(
        &self,
        ancestry: &Ancestry,
        report: &mut Report,
    ) -> Result<BTreeSet<VersionName>> {
        let id = &ancestry.stored.head.id;
        let mut damaged = BTreeSet::new();
        for candidate in ancestry.candidates.iter().filter(|candidate| candidate.version.is_none()) {
            // It is read again to get the reason.
            if let Err(error) = self.shared.objects.unvouched_version(id, &candidate.name).await {
                let key = keys::version(id, candidate.name.0, &candidate.name.1);
                report.unreadable(key, error)?;
                damaged.insert(candidate.name);
            }
        }
        Ok(damaged)
    }

    /// Verifies the versions of workflows that have no head.
    pub(super) async fn verify_versions_without_head(
        &self,
        ids: &BTreeSet<WorkflowId>,
        report: &mut Report,
    ) -> Result<()> {
        let mut without = BTreeSet::new();
        let mut listing = self.shared.objects.backend.list(&keys::versions(), None);
        while let Some(listed) = listing.try_next().await.map_err(Error::Storage)? {
            without.extend(keys::workflow_of_version(&listed.key).filter(|id| !ids.contains(id)));
        }
        for id in without {
            self.verify_lost_head(&id, None, report).await?;
        }
        Ok(())
    }

    /// Reports every version outside of a chain. A version that the index has seen was current once, so its
    /// head was replaced: that is damage. The others are leftovers of a lost race or of a stopped writer.
    pub(super) async fn verify_outside(&self, report: &mut Report) -> Result<()> {
        let outside = std::mem::take(&mut report.outside);
        if outside.is_empty() {
            return Ok(());
        }
        let index = self.shared.index.afresh();
        let seen = index.has_seen(&outside.keys().cloned().collect()).await?;
        let mut hurt: BTreeSet<WorkflowId> = report.hurt.iter().cloned().collect();
        for ((id, name), status) in outside {
            let key = keys::version(&id, name.0, &name.1);
            match (status, seen.contains(&(id.clone(), name))) {
                // Reported with the head.
                (VersionStatus::Hurt, _) => {}
                (VersionStatus::Beside, true) => report.damage(
                    key,
                    "it was current once, and is outside of the chain: the head was replaced by another state",
                ),
                (VersionStatus::Unconfirmed, true) if hurt.contains(&id) => {}
                (VersionStatus::Unconfirmed, true) => match self.shared.index.ancestry(&id).await {
                    // The head has reached it since it was judged, and it was indexed then.
                    Ok(ancestry) if !ancestry.statuses.contains_key(&name) => {}
                    Ok(_) => {
                        let reason = "it is hurt: a version that was current once is ahead of it";
                        report.add(Severity::Damage, keys::head(&id), reason, Some(Remedy::RepairHeads));
                        hurt.insert(id.clone());
                        report.hurt.push(id);
                    }
                    Err(error) if error.spares_others() => {
                        report.unreadable(keys::versions_of(&id), error)?;
                    }
                    Err(other) => return Err(other),
                },
                (VersionStatus::Beside, false) => report.add(
                    Severity::Notice,
                    key,
                    "beside the chain: of a race that was lost or another branch, or under way",
                    None,
                ),
                (VersionStatus::Unconfirmed, false) => report.add(
                    Severity::Notice,
                    key,
                    "unconfirmed: a writer stopped before it reached the head, or is under way",
                    None,
                ),
            }
        }
        Ok(())
    }
}

fn add_hurt(ancestry: &Ancestry, report: &mut Report) {
    if let Some(Error::HeadHurt { id, reason }) = ancestry.hurt() {
        report.add(Severity::Damage, keys::head(&id), reason, Some(Remedy::RepairHeads));
        report.hurt.push(id);
    }
}
