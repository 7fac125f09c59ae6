use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use pflow_backend::Key;

use super::{
    Ancestry, Index,
    entry::{NamedVersion, Unconfirmed},
    pending::PendingChange,
};
use crate::{
    Result,
    format::{Operation, VersionRecord, WorkflowId},
    register::{Around, EncodedHead, swap_head},
    repo::{Candidate, StoredHead, VersionStatus},
};

/// How many workflows are settled concurrently.
const AT_ONCE: usize = 32;

/// The outcome of records whose generation the head of their workflow has not reached.
#[derive(Debug, Default)]
pub(super) struct SettledRecords {
    /// Records that are no longer needed once the root contains the lines below.
    pub(super) covered: Vec<Key>,
    pub(super) unconfirmed: Vec<Unconfirmed>,
}

impl Index {
    /// Settles the attempts behind these records. Deletes no version.
    ///
    /// The ancestry decides, see [`crate::repo::classify`]. If the head is hurt, nothing is settled and the
    /// records remain. Otherwise the head is rewritten, so that the swap of the attempt can never land, and
    /// the record becomes a line of the index. A writer that is still at work loses its swap and retries with
    /// a new version id. A derived version keeps its id and can still become current, so it gets no line. A
    /// crash in between leaves the record, and the next fold repeats the work.
    ///
    /// A workflow that cannot be settled now keeps its records for a later fold.
    pub(super) async fn settle(&self, unreached: Vec<(WorkflowId, Vec<PendingChange>)>) -> SettledRecords {
        let mut settled = SettledRecords::default();
        let mut each = stream::iter(unreached)
            .map(|(id, records)| async move {
                let one = self.settle_one(&id, records).await;
                (id, one)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((id, one)) = each.next().await {
            match one {
                Ok(one) => {
                    settled.covered.extend(one.covered);
                    settled.unconfirmed.extend(one.unconfirmed);
                }
                Err(error) => tracing::warn!(%id, %error, "its pending records stay for a later fold"),
            }
        }
        settled.unconfirmed.sort_by(|a, b| (&a.id, a.version.generation).cmp(&(&b.id, b.version.generation)));
        settled
    }

    async fn settle_one(&self, id: &WorkflowId, mut records: Vec<PendingChange>) -> Result<SettledRecords> {
        let mut ancestry = self.ancestry(id).await?;
        // IMPORTANT: a head that cannot be read is represented as an empty one here, and must not be
        // overwritten.
        if let Some(damage) = ancestry.damage.take() {
            return Err(damage);
        }
        if let Some(hurt) = ancestry.hurt() {
            return Err(hurt);
        }
        // Records that the head has reached since are left for the next fold, because this one has no entry
        // that covers them.
        records.retain(|record| record.generation > ancestry.stored.head.generation());
        // On a storage with atomic batches no record exists before its head, so there is nothing to fence.
        let is_fenced =
            self.objects.traits.atomic_batch || records.is_empty() || self.fence(&ancestry.stored).await?;
        if !is_fenced {
            return Ok(SettledRecords::default());
        }
        // Two records without their highest versions may both have the same edit below.
        let unconfirmed: BTreeMap<_, _> = records
            .iter()
            .flat_map(|record| unconfirmed(&ancestry, record))
            .map(|line| (line.version.version_id, line))
            .collect();
        let unconfirmed = unconfirmed.into_values().collect();
        Ok(SettledRecords { covered: records.into_iter().map(|record| record.key).collect(), unconfirmed })
    }

    /// Rewrites the head unchanged, or creates one of generation 0 if there is none. Returns whether that
    /// landed: then no swap that names an earlier state of the head can land any more.
    async fn fence(&self, stored: &StoredHead) -> Result<bool> {
        let id = &stored.head.id;
        let head = stored.head.next(self.objects.environment.new_id());
        let next = EncodedHead::of(&head)?;
        let swapped = swap_head(&self.objects, stored.version.as_ref(), next, Around::default()).await;
        // The fenced heads are not the ones that this process works on.
        self.objects.forget_head(id);
        swapped.did_land(|| format!("the fencing of {id}"))
    }
}

/// Returns the versions of the commit behind `record` that are unconfirmed, as far as they are there. If its
/// highest version was never written, these are the kept edits that may be of the same commit.
fn unconfirmed(ancestry: &Ancestry, record: &PendingChange) -> Vec<Unconfirmed> {
    let tip = (record.generation, record.version_id);
    let below = (1..record.versions).map(u64::from).filter_map(|n| record.generation.checked_sub(n));
    let below: Vec<u64> = below.collect();
    let of_tip = ancestry.candidates.iter().find(|candidate| candidate.name == tip);
    let parent = of_tip.and_then(Candidate::record).and_then(VersionRecord::replaced);
    let is_of_commit = |candidate: &&Candidate| {
        let (generation, version_id) = candidate.name;
        let is_edit = || candidate.record().is_some_and(|it| it.operation == Operation::ADOPT);
        let is_its_own = || match parent {
            Some(parent) => parent.version_id == version_id,
            None => of_tip.is_none() && is_edit(),
        };
        let is_below = || below.contains(&generation) && is_its_own();
        candidate.name == tip || is_below()
    };
    let is_unconfirmed =
        |it: &&Candidate| ancestry.statuses.get(&it.name) == Some(&VersionStatus::Unconfirmed);
    let of_commit = ancestry.candidates.iter().filter(is_of_commit).filter(is_unconfirmed);
    let versions = of_commit.filter_map(|candidate| candidate.version.as_ref());
    // A derived version can still become current, by any writer that derives it.
    let versions = versions.filter(|(version, _)| !version.is_derived());
    versions
        .map(|(version, record_hash)| Unconfirmed {
            id: record.id.clone(),
            version: NamedVersion::of(version, *record_hash),
        })
        .collect()
}
