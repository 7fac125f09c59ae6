use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::DateTime;
use pflow_backend::{Batch, Commit, Key, Operation as Write, Precondition, time_of_id};

use super::{
    Entry, Index,
    entry::Gained,
    export,
    parts::{Operation, Part, Root, Segment, encode_base},
    pending::{self, Pending},
    table::{Entries, Table, from_heads},
};
use crate::{
    Error, Result,
    stored::{Ancestor, FormatError, Head, Objects, StoredHead, WorkflowId, layout, unreadable},
};

/// How often an explicit fold or a reindex tries again when somebody else's got through first.
const ATTEMPTS: u32 = 8;

/// When to fold. A fold costs one segment for all the records that it takes, so the cost of a save stays the same however many
/// workflows there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// A saver folds when it finds this many records.
    pub(crate) records: usize,
    /// A saver looks at its first write and then every so many writes.
    pub(crate) look_every: u32,
    /// A base is never written for fewer entries than this in the segments.
    pub(crate) smallest_base: u64,
    /// A record whose version is not there after this long is settled. Politeness alone: a writer that is still alive
    /// merely has to try again.
    pub(crate) settle_after: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self { records: 64, look_every: 16, smallest_base: 64, settle_after: Duration::from_secs(15 * 60) }
    }
}

/// What became of a fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folded {
    /// There was nothing to do.
    Nothing,
    /// The index covers what it found.
    Done,
    /// Somebody else's fold got through first. What it left is for the next one.
    Lost,
}

/// What a fold found out before it writes anything.
#[derive(Default)]
struct Findings {
    segment: Segment,
    /// Records that the new root covers.
    covered: Vec<Key>,
    /// Records of a generation that their workflow has not reached, and the head as it was read.
    unreached: Vec<(Pending, StoredHead)>,
}

impl Index {
    /// After a write: folds if enough records are there. Looks only now and then.
    pub(crate) async fn fold_if_due(&self) -> Result<Folded> {
        let writes = self.writes.load(Ordering::Relaxed);
        if writes % self.policy.look_every.max(1) != 1 % self.policy.look_every.max(1) {
            return Ok(Folded::Nothing);
        }
        let records = pending::list(&self.objects, self.policy.records).await?;
        if records.len() < self.policy.records { Ok(Folded::Nothing) } else { self.fold_once(false).await }
    }

    /// Folds whatever there is, and writes a base and the exports.
    pub(crate) async fn fold_whole(&self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            if self.fold_once(true).await? != Folded::Lost {
                return Ok(());
            }
        }
        Err(Error::IndexBusy { attempts: ATTEMPTS })
    }

    /// Makes the index anew from the heads; how many entries it has.
    pub(crate) async fn rebuild(&self) -> Result<usize> {
        // IMPORTANT: the root first, then the records, the heads last. A record goes only after a swap of the root, so whatever changes
        // behind the heads that we read either still has its record for the next fold, or makes our own swap fail.
        let mut table = self.table().await?;
        let mut records = pending::list(&self.objects, usize::MAX).await?;
        let mut entries = from_heads(&self.objects).await?;
        for _ in 0..ATTEMPTS {
            let findings = self.find(&records, &table).await?;
            apply(&mut entries, &findings.segment.entries);
            if self.write(&table, findings, Some(entries.clone())).await? == Folded::Done {
                return Ok(entries.values().filter(|entry| !entry.deleted).count());
            }
            // Whoever got in between folded records away, so what they named may be newer than what we read.
            table = self.table().await?;
            records = pending::list(&self.objects, usize::MAX).await?;
            let changed = table
                .entries
                .iter()
                .filter(|(id, entry)| entries.get(*id).is_none_or(|read| read.generation < entry.generation));
            for (id, read) in self.objects.heads(changed.map(|(id, _)| id.clone()).collect()).await {
                if let Some(entry) = Entry::of(&read?.head) {
                    entries.insert(id, Arc::new(entry));
                }
            }
        }
        Err(Error::IndexBusy { attempts: ATTEMPTS })
    }

    async fn fold_once(&self, whole: bool) -> Result<Folded> {
        let records = pending::list(&self.objects, usize::MAX).await?;
        let table = self.table().await?;
        let findings = self.find(&records, &table).await?;
        // Where there is nothing on top of the base, a new one would say the same.
        let stale = !table.root.segments.is_empty() || !findings.segment.is_empty();
        let whole = table.rebuilt || (whole && stale);
        let entries = whole.then(|| {
            let mut entries = (*table.entries).clone();
            apply(&mut entries, &findings.segment.entries);
            entries
        });
        self.write(&table, findings, entries).await
    }

    /// Reads the head of every workflow that a record names.
    async fn find(&self, records: &[Pending], table: &Table) -> Result<Findings> {
        let ids: BTreeSet<WorkflowId> = records.iter().map(|record| record.id.clone()).collect();
        let mut findings = Findings::default();
        findings.segment.previous.clone_from(&table.root.last_segment);
        for (id, read) in self.objects.heads(ids.into_iter().collect()).await {
            let stored = match read {
                Ok(stored) => stored,
                // Its records stay. One bad head must not stop the index of the others.
                Err(unreadable @ (Error::Corrupt { .. } | Error::Format { .. })) => {
                    tracing::warn!(%id, error = %unreadable, "cannot be folded into the index");
                    continue;
                }
                Err(other) => return Err(other),
            };
            let old = table.entries.get(&id).map_or(0, |entry| entry.generation);
            let new = stored.head.generation();
            if let Some(entry) = Entry::of(&stored.head)
                && table.entries.get(&id).is_none_or(|known| **known != entry)
            {
                findings.segment.gained.extend(self.gained(&stored.head, old).await?);
                findings.segment.entries.push(entry);
            }
            for record in records.iter().filter(|record| record.id == id) {
                if record.generation > new {
                    findings.unreached.push((record.clone(), stored.clone()));
                } else if !record.has_body {
                    findings.covered.push(record.key.clone());
                } else if let Some(operation) = self.operation(record).await? {
                    findings.segment.operations.push(operation);
                    findings.covered.push(record.key.clone());
                }
            }
        }
        findings.segment.entries.sort_by(|a, b| a.id.cmp(&b.id));
        findings
            .segment
            .gained
            .sort_by(|a, b| (&a.id, a.version.generation).cmp(&(&b.id, b.version.generation)));
        Ok(findings)
    }

    /// Every version behind generation `old` up to the head's own.
    async fn gained(&self, head: &Head, old: u64) -> Result<Vec<Gained>> {
        let Some(current) = &head.current else { return Ok(Vec::new()) };
        let mut chain: Vec<Ancestor> = current.lineage().collect();
        // Further back than the head remembers, the records themselves tell.
        while let Some(last) = chain.last()
            && last.generation > old + 1
        {
            let oldest = self.objects.version(&head.id, last.generation, &last.version_id).await?;
            let Some(parent) = oldest.and_then(|oldest| oldest.record.parents.into_iter().next()) else {
                break;
            };
            let parent = self.objects.named_version(&head.id, &parent).await?;
            chain.push(Ancestor::from(&parent.record));
        }
        let gained = chain.into_iter().filter(|version| version.generation > old);
        Ok(gained.map(|version| Gained { id: head.id.clone(), version }).collect())
    }

    async fn operation(&self, record: &Pending) -> Result<Option<Operation>> {
        let Some(object) = self.objects.get(&record.key).await? else { return Ok(None) };
        match serde_json::from_slice(&object.bytes) {
            Ok(body) => Ok(Some(Operation { operation_id: record.version_id.clone(), body })),
            Err(malformed) => {
                tracing::warn!(key = %record.key, error = %malformed, "an operation that cannot be read stays as it is");
                Ok(None)
            }
        }
    }

    /// Swaps in a root that covers the findings, then clears away what it covers. `entries` asks for a base of exactly these;
    /// without it a base is written when the segments outweigh the present one.
    ///
    /// A crash leaves, in the order of the stages: parts that nothing names; a root that covers records which are still there and do
    /// no harm; an export that lags.
    async fn write(&self, table: &Table, findings: Findings, entries: Option<Entries>) -> Result<Folded> {
        let Findings { segment, covered, unreached } = findings;
        self.settle(unreached).await;
        let weight = table.root.entries_in_segments() + segment.entries.len() as u64;
        let due = weight >= table.root.entries_in_base().max(self.policy.smallest_base);
        let entries = entries.or_else(|| {
            due.then(|| {
                let mut entries = (*table.entries).clone();
                apply(&mut entries, &segment.entries);
                entries
            })
        });
        if segment.is_empty() && entries.is_none() {
            return self.clear(covered).await;
        }

        let objects = &self.objects;
        let mut root = table.root.next(objects.environment.new_id());
        let mut parts = Vec::new();
        if !segment.is_empty() {
            let key = layout::index_segment(&objects.environment.new_id());
            let bytes = segment.encode().map_err(|source| unreadable(&key, source))?;
            let part = Part::new(&key, &bytes, segment.entries.len());
            root.segments.push(part.clone());
            root.last_segment = Some(part);
            parts.push(Write::put(key, bytes).absent().fresh());
        }
        let mut stages = Vec::new();
        if let Some(entries) = entries {
            let key = layout::index_base(&objects.environment.new_id());
            let bytes = encode_base(entries.values().map(AsRef::as_ref))
                .map_err(|source| unreadable(&key, source))?;
            root.base = Some(Part::new(&key, &bytes, entries.len()));
            // The segments stay where they are: they are the operation history.
            root.segments.clear();
            parts.push(Write::put(key, bytes).absent().fresh());
            stages = export::operations(objects, &entries).await?.into();
        }
        let swap = Write::put(layout::index_root(), encode_root(&root)?);
        let when = table.version.clone().map_or(Precondition::Absent, Precondition::Is);
        let ours: Vec<Key> = parts.iter().map(|part| part.key().clone()).collect();
        // IMPORTANT: the parts are there before the root names them, and records and the old base go only after.
        let mut batch = Batch::new().stage(parts).stage([swap.when(when)]);
        let old_base = table.root.base.as_ref().filter(|old| Some(*old) != root.base.as_ref());
        let old_base = old_base.and_then(|old| Key::parse(old.key.as_str()).ok());
        batch = batch.stage(covered.into_iter().chain(old_base).map(Write::delete));
        for stage in stages {
            batch = batch.stage(stage);
        }
        match objects.commit(batch, || "the fold of the index".to_owned()).await? {
            Commit::Committed(_) => Ok(Folded::Done),
            Commit::Conflict(conflict) => {
                if conflict.applied > 0 {
                    self.clear(ours).await?;
                }
                Ok(Folded::Lost)
            }
        }
    }

    async fn clear(&self, keys: Vec<Key>) -> Result<Folded> {
        if keys.is_empty() {
            return Ok(Folded::Nothing);
        }
        let batch = Batch::new().stage(keys.into_iter().map(Write::delete));
        // Deletes without a condition meet no conflict.
        self.objects.commit(batch, || "the clearing of records".to_owned()).await.map(|_| Folded::Done)
    }

    /// Ends the attempts whose writers seem to be dead. Rewriting the head makes sure that such an attempt cannot land any more, so
    /// its record and its version are garbage from then on. Whoever is alive after all tries again with a new version id.
    ///
    /// Housekeeping: what fails here is tried again by a later fold.
    async fn settle(&self, unreached: Vec<(Pending, StoredHead)>) {
        let now = self.objects.now();
        for (record, stored) in unreached {
            let overdue = |made: DateTime<_>| {
                now.signed_duration_since(made).to_std().is_ok_and(|age| age > self.policy.settle_after)
            };
            if time_of_id(&record.version_id).is_some_and(overdue)
                && let Err(error) = settle(&self.objects, &record, stored).await
            {
                tracing::debug!(key = %record.key, %error, "not settled");
            }
        }
    }
}

async fn settle(objects: &Objects, record: &Pending, stored: StoredHead) -> Result<()> {
    let key = layout::head(&record.id);
    let head = stored.head.next(objects.environment.new_id());
    let bytes = head.encode().map_err(|source| unreadable(&key, source))?;
    let swap = Write::put(key, bytes).when(stored.version.map_or(Precondition::Absent, Precondition::Is));
    let garbage = [record.key.clone(), layout::version(&record.id, record.generation, &record.version_id)];
    // IMPORTANT: the head first. Before it is rewritten the attempt may still land and needs both.
    let batch = Batch::new().stage([swap]).stage(garbage.map(Write::delete));
    if let Commit::Conflict(_) = objects.commit(batch, || format!("the settling of {}", record.id)).await? {
        tracing::debug!(id = %record.id, "the workflow changed while it was being settled");
    }
    Ok(())
}

fn encode_root(root: &Root) -> Result<bytes::Bytes> {
    root.encode().map_err(|source: FormatError| unreadable(&layout::index_root(), source))
}

fn apply(entries: &mut Entries, newer: &[Entry]) {
    entries.extend(newer.iter().map(|entry| (entry.id.clone(), Arc::new(entry.clone()))));
}
