//! Reads the input of [`classify`]: the versions of one workflow, its head, and the witnesses.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use pflow_backend::Key;

use super::{Index, parts::Segment, pending::Pending};
use crate::{
    Error, Result,
    conflict::Conflict,
    document::ContentHash,
    format::{Head, WorkflowId, keys},
    repo::{Candidate, StoredHead, VersionName, VersionStatus, Witnesses, classify},
};

/// How many times a read starts again because the head changed.
const ATTEMPTS: u32 = 16;
/// How many versions or segments are read concurrently.
const READ_AHEAD: usize = 32;

/// The versions of a workflow that its head does not name, with their status.
#[derive(Debug)]
pub(crate) struct Ancestry {
    /// The head, read after the versions were listed. Empty if it cannot be read.
    pub(crate) stored: StoredHead,
    /// Why the head cannot be read; none if it can be read or does not exist.
    pub(crate) damage: Option<Error>,
    /// The versions with a higher generation than the head's.
    pub(crate) candidates: Vec<Candidate>,
    /// The status of every candidate.
    pub(crate) statuses: BTreeMap<VersionName, VersionStatus>,
}

impl Ancestry {
    pub(crate) fn is_hurt(&self) -> bool {
        self.statuses.values().any(|status| *status == VersionStatus::Hurt)
    }

    /// Returns the error of a hurt head; none if the head is not hurt.
    pub(crate) fn hurt(&self) -> Option<Error> {
        let hurt = || self.statuses.iter().filter(|(_, status)| **status == VersionStatus::Hurt);
        let (highest, _) = hurt().map(|(name, _)| name).next_back()?;
        let there = match hurt().count() {
            1 => format!("a version of generation {highest} is there"),
            many => format!("{many} versions are there, up to generation {highest}"),
        };
        let found = match (&self.stored.version, &self.stored.head.current) {
            _ if self.damage.is_some() => format!("it cannot be read, and {there}"),
            (None, _) => format!("it is missing, and {there}"),
            (Some(_), None) => format!("it has no version, and {there}"),
            (Some(_), Some(current)) => {
                let generation = current.record.generation;
                format!("it is at generation {generation}, and made after that {there}")
            }
        };
        Some(Error::HeadHurt { id: self.stored.head.id.clone(), reason: found })
    }
}

impl Index {
    /// Returns an error if the head of `id` is hurt. Costs one listing if there are no versions except `own`,
    /// those of the caller's attempts.
    pub(crate) async fn refuse_hurt(&self, id: &WorkflowId, own: &[Key]) -> Result<()> {
        let listed = self.objects.keys(&keys::versions_of(id)).await?;
        if listed.iter().all(|key| own.contains(key)) {
            return Ok(());
        }
        // Boxed because this is rare, and its future must not enlarge those of all callers.
        let ancestry = Box::pin(self.look(id, own)).await?;
        match (ancestry.hurt(), ancestry.damage) {
            (_, Some(damage)) => Err(damage),
            (Some(hurt), None) => Err(hurt),
            (None, None) => Ok(()),
        }
    }

    /// Returns the versions of `id` with their status. A head that cannot be read counts as one that has no
    /// version.
    pub(crate) async fn ancestry(&self, id: &WorkflowId) -> Result<Ancestry> {
        Box::pin(self.look(id, &[])).await
    }

    /// IMPORTANT: list the versions before reading the head. A version is written before its head and on top
    /// of a version that the head had reached. So while writers are at work, the listing can show a version
    /// at most one commit ahead of the head that is read later. The candidates are read later still, so if
    /// the head has changed in the meantime, the read starts again before the head is called hurt.
    async fn look(&self, id: &WorkflowId, own: &[Key]) -> Result<Ancestry> {
        for _ in 0..ATTEMPTS {
            let listed = self.objects.keys(&keys::versions_of(id)).await?;
            let (stored, damage) = self.objects.head_or_damage(id).await?;
            let ancestry = self.judge(stored, damage, &listed, own).await?;
            if !ancestry.is_hurt()
                || self.objects.head_or_damage(id).await?.0.version == ancestry.stored.version
            {
                return Ok(ancestry);
            }
        }
        Err(Conflict::Busy { id: id.clone(), attempts: ATTEMPTS }.into())
    }

    async fn judge(
        &self,
        stored: StoredHead,
        damage: Option<Error>,
        listed: &[Key],
        own: &[Key],
    ) -> Result<Ancestry> {
        let (id, generation) = (&stored.head.id, stored.head.generation());
        let names = |key: &Key| keys::parse_version(id, key);
        let ahead: Vec<VersionName> = listed
            .iter()
            .filter(|key| !own.contains(key))
            .filter_map(names)
            .filter(|(of_version, _)| *of_version > generation)
            .collect();
        let candidates = self.candidates(id, ahead).await?;
        let head = stored.head.current.as_ref().map(|current| current.reference());
        let atomic = self.objects.traits.atomic_batch;
        let mut witnesses = Witnesses { head_is_lost: damage.is_some(), ..Witnesses::default() };
        let mut statuses = classify(head.as_ref(), &candidates, atomic, &witnesses);
        if statuses.values().any(|status| *status == VersionStatus::Unconfirmed) {
            witnesses = self.witnesses(&stored, &candidates).await?;
            statuses = classify(head.as_ref(), &candidates, atomic, &witnesses);
        }
        Ok(Ancestry { stored, damage, candidates, statuses })
    }

    /// Returns the versions that still exist, ordered by name.
    async fn candidates(&self, id: &WorkflowId, names: Vec<VersionName>) -> Result<Vec<Candidate>> {
        let reads = stream::iter(names).map(|name| async move {
            match self.objects.unvouched_version(id, &name).await {
                Ok(version) => Ok(version.map(Candidate::of)),
                Err(error) if error.is_of_one_object() => Ok(Some(Candidate::unreadable(name))),
                Err(other) => Err(other),
            }
        });
        let read: Vec<Option<Candidate>> = reads.buffered(READ_AHEAD).try_collect().await?;
        Ok(read.into_iter().flatten().collect())
    }

    async fn witnesses(&self, stored: &StoredHead, candidates: &[Candidate]) -> Result<Witnesses> {
        let id = &stored.head.id;
        let table = self.table().await?;
        let entry = table.entries.get(id);
        let mut indexed: BTreeSet<VersionName> =
            entry.map(|entry| (entry.generation, entry.version_id)).into_iter().collect();
        if table.lost.is_some() {
            let names = candidates.iter().map(|candidate| (id.clone(), candidate.name)).collect();
            indexed.extend(self.in_history(&names).await?.into_iter().map(|(_, name)| name));
        }
        let head_is_lost = stored.head.current.is_none() && entry.is_some();
        Ok(Witnesses { indexed, head_is_lost, copy: self.copy_ahead(stored, candidates).await? })
    }

    /// Returns the witnesses for the candidates of a hurt head, of which the index has seen `indexed`.
    pub(crate) async fn witnesses_beside(
        &self,
        ancestry: &Ancestry,
        indexed: BTreeSet<VersionName>,
    ) -> Result<Witnesses> {
        let copy = self.copy_ahead(&ancestry.stored, &ancestry.candidates).await?;
        Ok(Witnesses { indexed, head_is_lost: true, copy })
    }

    /// Returns those of `names` that an entry or a line of the operation history names. Reads the whole
    /// history.
    pub(crate) async fn has_seen(
        &self,
        names: &BTreeSet<(WorkflowId, VersionName)>,
    ) -> Result<BTreeSet<(WorkflowId, VersionName)>> {
        let table = self.table().await?;
        let has_entry = |(id, name): &&(WorkflowId, VersionName)| {
            let entry = table.entries.get(id);
            entry.is_some_and(|entry| (entry.generation, &entry.version_id) == (name.0, &name.1))
        };
        let mut seen: BTreeSet<_> = names.iter().filter(has_entry).cloned().collect();
        seen.extend(self.in_history(names).await?);
        Ok(seen)
    }

    /// Returns those of `names` that a line of the operation history records as gained by a chain. Reads the
    /// whole history.
    async fn in_history(
        &self,
        names: &BTreeSet<(WorkflowId, VersionName)>,
    ) -> Result<BTreeSet<(WorkflowId, VersionName)>> {
        let mut found = BTreeSet::new();
        self.each_segment(|segment| {
            let gained = segment.gained.into_iter();
            let named = gained.map(|it| (it.id, (it.version.generation, it.version.version_id)));
            found.extend(named.filter(|name| names.contains(name)));
        })
        .await?;
        Ok(found)
    }

    /// Calls `take_in` with every existing segment, in no order. A segment that cannot be read is skipped
    /// with a warning; `verify` reports it.
    pub(super) async fn each_segment(&self, mut take_in: impl FnMut(Segment)) -> Result<()> {
        let keys = self.objects.keys(&keys::index_segments()).await?;
        let mut reads = stream::iter(keys)
            .map(|key| async move { Ok::<_, Error>((self.objects.get(&key).await?, key)) })
            .buffer_unordered(READ_AHEAD);
        while let Some((object, key)) = reads.try_next().await? {
            let Some(object) = object else { continue };
            match Segment::decode(&object.bytes) {
                Ok(segment) => take_in(segment),
                Err(damaged) => {
                    tracing::warn!(%key, error = %damaged, "a segment of the history cannot be read");
                }
            }
        }
        Ok(())
    }

    /// Returns the highest fence of each of `ids` that the operation history or a pending record mentions.
    /// Reads the whole history.
    pub(crate) async fn fences(&self, ids: &BTreeSet<WorkflowId>) -> Result<BTreeMap<WorkflowId, u64>> {
        let mut fences = BTreeMap::new();
        if ids.is_empty() {
            return Ok(fences);
        }
        let mut take_in = |id: Option<WorkflowId>, body: &serde_json::Value| {
            if let (Some(id), Some(fence)) = (id, body.get("fence").and_then(serde_json::Value::as_u64)) {
                let highest: &mut u64 = fences.entry(id).or_default();
                *highest = fence.max(*highest);
            }
        };
        for record in Pending::list(&self.objects, usize::MAX).await?.operations {
            if record.id.as_ref().is_some_and(|id| ids.contains(id))
                && let Some(operation) = self.operation(&record).await?
            {
                take_in(operation.id, &operation.body);
            }
        }
        self.each_segment(|segment| {
            for operation in segment.operations {
                take_in(operation.id, &operation.body);
            }
        })
        .await?;
        fences.retain(|id, _| ids.contains(id));
        Ok(fences)
    }

    /// Returns the content hash of the working copy, if a candidate has that content and no version of the
    /// chain has. The copy is written after the head, so it shows that the head had reached the candidate.
    async fn copy_ahead(&self, stored: &StoredHead, candidates: &[Candidate]) -> Result<Option<ContentHash>> {
        let head = &stored.head;
        let names =
            candidates.iter().filter_map(Candidate::record).filter_map(|it| it.media_type.known().ok());
        let names: BTreeSet<Key> = names.map(|media_type| keys::copy(&head.id, media_type)).collect();
        for name in names {
            let Some(copy) = self.objects.get(&name).await? else { continue };
            let hash = ContentHash::of(&copy.bytes);
            let has_it = |candidate: &Candidate| candidate.record().is_some_and(|it| it.hash == Some(hash));
            if candidates.iter().any(has_it) && !self.chain_has(head, hash).await? {
                return Ok(Some(hash));
            }
        }
        Ok(None)
    }

    /// Whether the current version or one below it has this content.
    async fn chain_has(&self, head: &Head, hash: ContentHash) -> Result<bool> {
        if let Some(current) = &head.current {
            if current.record.hash == Some(hash) {
                return Ok(true);
            }
            let mut walk = self.objects.walk(&head.id, &current.record);
            while let Some((_, record)) = walk.go(&self.objects).await? {
                if record.hash == Some(hash) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
