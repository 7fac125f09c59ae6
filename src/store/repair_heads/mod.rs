//! Moves lost heads: heads that were removed, replaced by an older state, emptied, or damaged. Files derived
//! from sound heads are brought in line along with that.

mod choose;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use pflow_backend::{Key, Operation, Precondition};
use serde::Serialize;

use choose::{Choice, choose};

use super::{Report, Store};
use crate::{
    Error, Result,
    document::ContentHash,
    format::{Current, Ended, Jump, Lockfile, VersionId, WorkflowId, encode_line, keys},
    index::Ancestry,
    lock::MirrorUpdate,
    register::{Around, Derived, EncodedHead, Swapped, swap_head},
    repo::{Candidate, Objects, ParentWalk, StoredHead, VersionName, unreadable},
};

/// The distance of the new fence from the highest one that was seen. Released leases leave no trace, so their
/// number is unknown.
const FENCE_GAP: u64 = 1_000_000;

/// The highest fence that is accepted from a `workflow.lock` or from the operation history, which have no
/// checksum. The maximum number would stay the fence forever, because there is no higher one.
const HIGHEST_TOLD: u64 = u64::MAX / 2;

/// The changes that a repair would make.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RepairPlan {
    /// Heads that would be moved.
    pub moves: Vec<HeadMove>,
    /// Workflows whose newest version is not certain: a person must choose one.
    pub undecided: Vec<UndecidedHead>,
    /// Workflows whose working copy or `workflow.lock` would be brought in line with the head.
    pub out_of_line: BTreeSet<WorkflowId>,
}

/// A head that a repair moves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HeadMove {
    /// The workflow.
    pub id: WorkflowId,
    /// What is wrong with its head.
    pub reason: String,
    /// The present generation of the head; none if it has none or cannot be read.
    pub from: Option<u64>,
    /// The version that it is moved to.
    pub to: VersionTip,
    /// Its new fence.
    pub fence: u64,
    /// The keys of ancestors of that version that are missing or damaged. They are not restored.
    pub missing: Vec<String>,
    /// The working copy holds a person's edit, which is kept.
    pub keeps_edit: bool,
    stored: StoredHead,
    current: Current,
    copies: Vec<Operation>,
}

/// A workflow that cannot be repaired without a person: the person must choose its version, or inspect one of
/// its objects first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UndecidedHead {
    /// The workflow.
    pub id: WorkflowId,
    /// What is wrong with its head.
    pub reason: String,
    /// Why a person must choose.
    pub why: String,
    /// The versions that the head can be moved to, the newest first. Empty if none can be read, or if
    /// choosing one does not help.
    pub tips: Vec<VersionTip>,
}

/// A version that a head can be moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionTip {
    /// Its generation.
    pub generation: u64,
    /// Its id, which distinguishes it from other versions of the same generation.
    pub version_id: VersionId,
    /// When it was made, by the clock of its author.
    pub modified: DateTime<Utc>,
    /// `user@host` of its author.
    pub author: String,
}

/// The changes that a repair made.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RepairReport {
    /// Heads that were moved.
    pub moved: Vec<HeadMove>,
    /// Workflows that changed after the plan was made. They were not changed.
    pub changed: Vec<WorkflowId>,
    /// Working copies and mirrors that were brought in line with their heads, by key.
    pub in_line: Vec<String>,
    /// The workflow at which the repair failed and stopped, if it did. Later ones in the plan were not tried.
    pub failed: Option<(WorkflowId, Error)>,
}

/// The body of the record for the operation history.
#[derive(Serialize)]
struct HeadRepaired<'a> {
    kind: &'static str,
    at: DateTime<Utc>,
    by: String,
    from: Option<u64>,
    to: u64,
    version_id: &'a VersionId,
    fence: u64,
}

impl Store {
    /// Plans how the heads that [`Store::verify`] reports as hurt can be moved. Changes nothing.
    ///
    /// A head is moved to the only newest version that descends from its present one, if that version was
    /// certainly current once. If there are several newest versions, if the newest one cannot be read, or if
    /// there is no evidence that it was ever current, the head is moved to the version that `take` names.
    /// Only newest versions can be taken: those that no later version was built on. Any other version in
    /// `take` is an error.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for a version that cannot be taken; errors of the storage.
    pub async fn plan_repair(&self, take: &[VersionId]) -> Result<RepairPlan> {
        let Report { hurt, out_of_line, .. } = self.verify().await?;
        let hurt: BTreeSet<WorkflowId> = hurt.into_iter().collect();
        let mut fences = self.shared.index.fences(&hurt).await?;
        // A move of a head also brings the files of its workflow in line.
        let out_of_line = out_of_line.difference(&hurt).cloned().collect();
        let mut plan = RepairPlan { out_of_line, ..RepairPlan::default() };
        let mut taken = BTreeSet::new();
        let mut ancestries = Vec::new();
        for id in hurt {
            match self.shared.index.ancestry(&id).await {
                Ok(ancestry) => ancestries.push(ancestry),
                Err(error) => {
                    let reason = "its head is hurt".to_owned();
                    plan.undecided.push(UndecidedHead::because_of(id, reason, error)?);
                }
            }
        }
        let names = ancestries.iter().flat_map(|ancestry| {
            ancestry.candidates.iter().map(|it| (ancestry.stored.head.id.clone(), it.name))
        });
        let mut indexed: BTreeMap<WorkflowId, BTreeSet<VersionName>> = BTreeMap::new();
        for (id, name) in self.shared.index.has_seen(&names.collect()).await? {
            indexed.entry(id).or_default().insert(name);
        }
        let atomic = self.shared.objects.traits.atomic_batch;
        for ancestry in ancestries {
            let (id, reason) = (ancestry.stored.head.id.clone(), reason(&ancestry));
            let indexed = indexed.remove(&id).unwrap_or_default();
            let choice = match self.shared.index.witnesses_beside(&ancestry, indexed).await {
                Ok(witnesses) => choose(&ancestry, &witnesses, atomic, take)?,
                Err(error) => {
                    plan.undecided.push(UndecidedHead::because_of(id, reason, error)?);
                    continue;
                }
            };
            match choice {
                Choice::Take(chosen) => {
                    taken.extend(Some(chosen.name.1));
                    let seen = fences.remove(&id).unwrap_or_default();
                    match self.plan_move(ancestry, reason.clone(), &chosen, seen).await {
                        Ok(planned) => plan.moves.extend(planned),
                        Err(error) => plan.undecided.push(UndecidedHead::because_of(id, reason, error)?),
                    }
                }
                Choice::Ask { why, tips } => plan.undecided.push(UndecidedHead { id, reason, why, tips }),
                Choice::Nothing => {}
            }
        }
        if let Some(unknown) = take.iter().find(|version| !taken.contains(version)) {
            let reason = format!("no head that is hurt can be moved to a version {unknown}");
            return Err(Error::InvalidField { field: "take", reason });
        }
        Ok(plan)
    }

    /// Carries out a plan: moves heads, then brings the working copy and `workflow.lock` of other workflows in
    /// line with their heads. The old content stays in the chain. The lease of a hurt head is taken away and
    /// the fence is raised, so its holder cannot write under it any more.
    ///
    /// Each move is one swap of a head that names the state from which the plan was made: a crash leaves some
    /// heads moved and the others unchanged.
    ///
    /// # Errors
    /// Writing is not allowed here, and nothing was written. A later error is in [`RepairReport::failed`],
    /// beside the heads that were moved before it.
    pub async fn repair(&self, plan: RepairPlan) -> Result<RepairReport> {
        let _admission = self.shared.gate.admit_writer().await?;
        let mut report = RepairReport::default();
        for head in plan.moves {
            match self.move_head(&head).await {
                Ok(true) => report.moved.push(head),
                Ok(false) => report.changed.push(head.id),
                Err(error) => {
                    report.failed = Some((head.id, error));
                    return Ok(report);
                }
            }
        }
        for id in plan.out_of_line {
            match self.bring_in_line(&id).await {
                // What is mended beside a reading is not mended after a shutdown.
                Ok(keys) => {
                    report.in_line.extend(keys.iter().map(ToString::to_string));
                    if self.shared.gate.is_shut() {
                        report.failed = Some((id, Error::ShutDown));
                        break;
                    }
                }
                // `verify` reports what is wrong with it.
                Err(error) if error.spares_others() => {
                    tracing::warn!(%id, %error, "its working copy or the mirror of its lease was left as it is");
                }
                Err(error) => {
                    report.failed = Some((id, error));
                    break;
                }
            }
        }
        Ok(report)
    }

    async fn plan_move(
        &self,
        ancestry: Ancestry,
        reason: String,
        chosen: &Candidate,
        seen: u64,
    ) -> Result<Option<HeadMove>> {
        let objects = &self.shared.objects;
        let (Some((record, record_hash)), stored) = (&chosen.version, ancestry.stored) else {
            return Ok(None);
        };
        let id = stored.head.id.clone();
        let lineage = Lineage::read(objects, &id, chosen).await?;
        let mirror = objects.get(&keys::lockfile(&id)).await?;
        let mirror = mirror.and_then(|mirror| serde_json::from_slice::<Lockfile>(&mirror.bytes).ok());
        let told = seen.max(mirror.map_or(0, |mirror| mirror.fence));
        let fence = told.min(HIGHEST_TOLD).max(stored.head.fence);
        let media_type = record.media_type.known().map_err(|source| {
            unreadable(&keys::version(&id, record.generation, &record.version_id), source)
        })?;
        let key = keys::copy(&id, media_type);
        let found = objects.get(&key).await?;
        let (copy, keeps_edit) = match &found {
            Some(copy) if Some(ContentHash::of(&copy.bytes)) == record.hash => (None, false),
            Some(copy) if !lineage.contents.contains(&ContentHash::of(&copy.bytes)) => (None, true),
            found => {
                let when = found
                    .as_ref()
                    .map_or(Precondition::Absent, |copy| Precondition::Is(copy.meta.version.clone()));
                (copy_of(objects, &id, chosen, key.clone(), found.is_some(), when).await?, false)
            }
        };
        let mut copies = Vec::from_iter(copy);
        // The copy of the present version has another name if its format is another one.
        let before = keys::copy_of(&stored.head);
        if before != key
            && let Some(found) = objects.get(&before).await?
            && lineage.contents.contains(&ContentHash::of(&found.bytes))
        {
            let when = match objects.traits.conditional_delete {
                true => Precondition::Is(found.meta.version),
                false => Precondition::Always,
            };
            copies.push(Operation::delete(before).when(when));
        }
        Ok(Some(HeadMove {
            reason,
            from: stored.head.current.as_ref().map(|current| current.record.generation),
            to: VersionTip::of(chosen)?,
            fence: fence.saturating_add(FENCE_GAP),
            missing: lineage.missing,
            keeps_edit,
            current: Current::restored(record.clone(), *record_hash, lineage.jumps),
            copies,
            id,
            stored,
        }))
    }

    /// Moves a head. Returns false if the head has changed since the plan was made.
    async fn move_head(&self, head: &HeadMove) -> Result<bool> {
        let (objects, id) = (&self.shared.objects, &head.id);
        let (now, by) = (objects.now(), objects.environment.identity().to_string());
        let next = head.stored.head.next(objects.environment.new_id());
        let mut next = match next.lease {
            Some(_) => next.without_lease(Ended::BROKEN, by.clone(), now),
            None => next,
        };
        next.fence = head.fence;
        next.current = Some(head.current.clone());
        // The mirror is judged by the new head: its fence is above that of every earlier lease, so their
        // mirrors are not edits.
        let mirror = MirrorUpdate::of(objects, &next, &next).await?;
        let key = keys::head(id);
        let body = HeadRepaired {
            kind: "head_repaired",
            at: now,
            by,
            from: head.from,
            to: head.to.generation,
            version_id: &head.to.version_id,
            fence: head.fence,
        };
        let operation_id =
            VersionId::of_new(&objects.environment.new_id()).map_err(|source| unreadable(&key, source))?;
        let told = keys::pending_operation(id, &operation_id);
        let line = encode_line(&body).map_err(|source| unreadable(&told, source))?;
        let attempt = VersionId::of_new(&next.nonce).map_err(|source| unreadable(&key, source))?;
        let tip = (head.to.generation, &head.to.version_id);
        // It writes no version: they are all there.
        let pending = keys::pending(id, tip, &attempt, 0);
        // IMPORTANT: the pending record comes first, so that no reader of the index misses the move; the copy
        // and the history come after the head.
        let after = [Operation::put(told, line)].into_iter().chain(head.copies.clone()).chain(mirror.write);
        let around = Around {
            before: vec![Operation::put(pending, Vec::new())],
            beside: mirror.keep,
            after: after.collect(),
        };
        let what = || format!("the repair of {id}");
        match swap_head(objects, head.stored.version.as_ref(), EncodedHead::of(&next)?, around).await {
            Swapped::Landed(_, derived) => {
                if let Derived::Failed(error) = derived {
                    tracing::warn!(%id, %error, "its head is moved, but what follows from it could not be written");
                }
                Ok(true)
            }
            Swapped::Lost { .. } => Ok(false),
            // The head may have been moved, and another client may have built on it.
            Swapped::InDoubt(doubt) => match (self.has_reached(head).await, doubt) {
                (Ok(true), _) => Ok(true),
                (Ok(false), None) => Ok(false),
                (Ok(false), Some(error)) => Err(Error::of_commit(what, error)),
                // The check failed, so the outcome is still unknown.
                (Err(look), doubt) => Err(Error::in_doubt(what(), doubt, look)),
            },
            Swapped::Failed { error, .. } | Swapped::Unknown(error) => Err(Error::of_commit(what, error)),
        }
    }

    /// Whether the move happened: its version is among the present ancestors, and the fence is not lower than the
    /// move's. Other writers raise a fence by one, and not by a million.
    async fn has_reached(&self, head: &HeadMove) -> Result<bool> {
        let stored = self.shared.objects.head(&head.id).await?;
        if stored.head.fence < head.fence {
            return Ok(false);
        }
        self.shared.objects.has_ancestor(&stored.head, &(head.to.generation, head.to.version_id)).await
    }
}

impl UndecidedHead {
    /// A workflow that is not repaired because one of its objects cannot be read. Any other error ends the
    /// plan.
    fn because_of(id: WorkflowId, reason: String, error: Error) -> Result<Self> {
        if error.spares_others() {
            Ok(Self { id, reason, why: error.to_string(), tips: Vec::new() })
        } else {
            Err(error)
        }
    }
}

impl VersionTip {
    fn of(candidate: &Candidate) -> Result<Self> {
        let record =
            candidate.record().ok_or_else(|| Error::Internal("a version without a record".to_owned()))?;
        let (generation, version_id) = candidate.name;
        Ok(Self { generation, version_id, modified: record.modified, author: record.author.clone() })
    }
}

/// Says what is wrong with the head.
fn reason(ancestry: &Ancestry) -> String {
    match ancestry.hurt() {
        Some(Error::HeadHurt { reason, .. }) => reason,
        Some(other) => other.to_string(),
        None => "a version that was current once is ahead of it".to_owned(),
    }
}

/// The ancestry of the version that a head is moved to.
#[derive(Default)]
struct Lineage {
    /// The jump of the version's jump, the jump of that one, and so on, as far as they can be read.
    jumps: Vec<Jump>,
    missing: Vec<String>,
    contents: BTreeSet<ContentHash>,
}

impl Lineage {
    async fn read(objects: &Objects, id: &WorkflowId, tip: &Candidate) -> Result<Self> {
        let mut lineage = Self::default();
        let mut walk = ParentWalk::default();
        if let Some(record) = tip.record() {
            lineage.contents.extend(record.hash);
            walk.go_on(record, true);
        }
        while let Some((named, is_first)) = walk.next() {
            match objects.named_version(id, &named).await {
                Ok(version) => {
                    lineage.contents.extend(version.record.hash);
                    walk.go_on(&version.record, is_first);
                }
                Err(error) if error.is_of_one_object() => {
                    lineage.missing.push(keys::version(id, named.generation, &named.version_id).to_string());
                }
                Err(other) => return Err(other),
            }
        }
        let mut next = tip.record().and_then(|record| record.jump.clone());
        while let Some(jump) = next {
            next = match objects.record(id, &jump.reference()).await {
                Ok(record) => record.jump.clone(),
                Err(error) if error.spares_others() => None,
                Err(other) => return Err(other),
            };
            lineage.jumps.extend(next.clone());
        }
        Ok(lineage)
    }
}

/// The operation that brings the copy in line with `chosen`; none if nothing needs to be done.
async fn copy_of(
    objects: &Objects,
    id: &WorkflowId,
    chosen: &Candidate,
    key: Key,
    is_there: bool,
    when: Precondition,
) -> Result<Option<Operation>> {
    if chosen.record().is_some_and(|record| record.deleted) {
        return Ok(is_there.then(|| Operation::delete(key).when(when)));
    }
    let Some(named) = chosen.reference() else { return Ok(None) };
    let version = objects.named_version(id, &named).await?;
    Ok(Some(version)
        .and_then(|version| version.content)
        .map(|content| Operation::put(key, content).copy().when(when)))
}
