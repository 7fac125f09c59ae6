use std::{collections::BTreeMap, sync::Arc};

use pflow_backend::Key;

use super::{
    Entry, Index,
    entry::Gained,
    parts::{Operation, Segment},
    pending::{Pending, PendingChange, PendingOperation},
    table::Table,
};
use crate::{
    Error, Result,
    format::{Head, WorkflowId},
    repo::{StoredHead, VersionName, Walk},
};

/// How many records a fold reads ahead at most.
const READ_AHEAD: usize = 2048;

/// What a fold found out before it writes anything.
#[derive(Default)]
pub(super) struct Findings {
    /// What is new.
    pub(super) segment: Segment,
    /// Records that a root with this segment covers.
    pub(super) covered: Vec<Key>,
    /// For a workflow the records of generations that its head has not reached.
    pub(super) unreached: Vec<(WorkflowId, Vec<PendingChange>)>,
}

impl Index {
    /// Reads the head of every workflow that a record names.
    pub(super) async fn find(&self, records: Pending, table: &Table) -> Result<Findings> {
        let mut by_id: BTreeMap<WorkflowId, Vec<PendingChange>> = BTreeMap::new();
        for record in records.changes {
            by_id.entry(record.id.clone()).or_default().push(record);
        }
        let mut findings = Findings::default();
        findings.segment.previous.clone_from(&table.root.last_segment);
        let (known, unknown) = self.known(&by_id, table);
        let known = known.into_iter().map(|stored| (stored.head.id.clone(), Ok(stored)));
        let read = self.objects.heads(unknown).await;
        let heads: Vec<(WorkflowId, Result<Arc<StoredHead>>)> =
            known.chain(read.into_iter().map(|(id, read)| (id, read.map(Arc::new)))).collect();
        self.fetch_gained(&heads, &by_id, table).await?;
        for (id, read) in heads {
            let stored = match read {
                Ok(stored) => stored,
                // Its records stay, so every reader looks at the head. One head that cannot be read must not
                // stop the index of the others.
                Err(error) if error.spares_others() => {
                    tracing::warn!(%id, %error, "cannot be folded into the index");
                    continue;
                }
                Err(other) => return Err(other),
            };
            let known = table.entries.get(&id);
            if let Some(entry) = Entry::of(&stored.head)
                && known.is_none_or(|known| **known != entry)
                && !self.is_behind(&stored.head, known).await?
            {
                findings.segment.gained.extend(self.gained(&stored.head, known).await?);
                findings.segment.entries.push(entry);
            }
            let generation = stored.head.generation();
            let records = by_id.remove(&id).unwrap_or_default();
            let (reached, unreached): (Vec<_>, Vec<_>) =
                records.into_iter().partition(|record| record.generation <= generation);
            findings.covered.extend(reached.into_iter().map(|record| record.key));
            if !unreached.is_empty() {
                findings.unreached.push((id, unreached));
            }
        }
        for record in records.operations {
            if let Some(operation) = self.operation(&record).await? {
                findings.segment.operations.push(operation);
                findings.covered.push(record.key);
            }
        }
        findings.segment.entries.sort_by(|a, b| a.id.cmp(&b.id));
        findings
            .segment
            .gained
            .sort_by(|a, b| (&a.id, a.version.generation).cmp(&(&b.id, b.version.generation)));
        Ok(findings)
    }

    /// Reads ahead what [`gained`](Self::gained) will need, many versions at a time: records name nearly all
    /// versions between the one that the index knows and the head's.
    async fn fetch_gained(
        &self,
        heads: &[(WorkflowId, Result<Arc<StoredHead>>)],
        records: &BTreeMap<WorkflowId, Vec<PendingChange>>,
        table: &Table,
    ) -> Result<()> {
        let mut names = Vec::new();
        for (id, head) in heads {
            let Ok(stored) = head else { continue };
            let current = stored.head.current.as_ref().map(|current| &current.record.version_id);
            let indexed = table.entries.get(id).map_or(0, |entry| entry.generation);
            let is_between = |record: &&PendingChange| {
                (indexed + 1..=stored.head.generation()).contains(&record.generation)
                    && current != Some(&record.version_id)
            };
            let of_workflow = records.get(id).into_iter().flatten().filter(is_between);
            names.extend(of_workflow.map(|it| (id.clone(), (it.generation, it.version_id))));
        }
        // More would displace each other in the cache; the rest is read one by one.
        names.truncate(READ_AHEAD);
        self.objects.fetch_records(names).await
    }

    /// Whether the head is hurt and the index has seen a later version than the head's. That entry is the
    /// witness, so nothing older replaces it. It stays also where a newer program wrote the versions, because
    /// then this program cannot tell.
    pub(super) async fn is_behind(&self, head: &Head, known: Option<&Arc<Entry>>) -> Result<bool> {
        if known.is_none_or(|known| known.generation <= head.generation()) {
            return Ok(false);
        }
        match self.ancestry(&head.id).await {
            Ok(ancestry) => Ok(ancestry.is_hurt()),
            Err(error) if error.spares_others() => {
                tracing::warn!(id = %head.id, %error, "its index entry stays as it is");
                Ok(true)
            }
            Err(other) => Err(other),
        }
    }

    /// The heads that need not be read, and the workflows whose heads must be.
    ///
    /// IMPORTANT: a head that this process saw covers the records up to its generation, whatever came since:
    /// that has records of its own. It counts only where it is no older than what the index says already, and
    /// where its own record is among those: so it is no head of a time before the store was brought back from
    /// a copy.
    fn known(
        &self,
        records: &BTreeMap<WorkflowId, Vec<PendingChange>>,
        table: &Table,
    ) -> (Vec<Arc<StoredHead>>, Vec<WorkflowId>) {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for (id, records) in records {
            let named = records.iter().map(|record| record.generation).max().unwrap_or_default();
            let indexed = table.entries.get(id).map_or(0, |entry| entry.generation);
            let is_named = |stored: &Arc<StoredHead>| {
                stored.head.generation() >= named.max(indexed)
                    && stored.head.current.as_ref().is_some_and(|current| {
                        // Others may have written the same derived version.
                        let is_own = |it: &PendingChange| {
                            !current.record.is_derived() || it.attempt.as_str() == stored.head.nonce
                        };
                        let name = (current.record.generation, current.record.version_id);
                        records.iter().any(|it| (it.generation, it.version_id) == name && is_own(it))
                    })
            };
            match self.objects.known_head(id).filter(is_named) {
                Some(stored) => known.push(stored),
                None => unknown.push(id.clone()),
            }
        }
        (known, unknown)
    }

    /// Every version among the first parents of the head that those of `known` do not have, as far as both can
    /// be read: those above the version of `known`, or, where a head was put back and saved over, those above
    /// the version at which the two chains part. Costs no read for a version that this process wrote or read,
    /// nor for the one that the index knows.
    async fn gained(&self, head: &Head, known: Option<&Arc<Entry>>) -> Result<Vec<Gained>> {
        let Some(current) = &head.current else { return Ok(Vec::new()) };
        let mut theirs = known.map(|known| (known.generation, known.version_id));
        let mut their_walk = None;
        let mut walk = self.objects.walk(&head.id, &current.record);
        let mut at = current.reference();
        let mut line = Some(Gained::of(&head.id, &current.record, current.record_hash));
        let mut gained = Vec::new();
        loop {
            while let Some(name) = theirs.as_ref().filter(|(generation, _)| *generation > at.generation) {
                theirs = self.below(&head.id, name, &mut their_walk).await?;
            }
            if theirs.as_ref() == Some(&(at.generation, at.version_id)) {
                break;
            }
            gained.push(match line.take() {
                Some(line) => line,
                None => match walk.go(&self.objects).await? {
                    Some((named, record)) => Gained::of(&head.id, &record, named.record_hash),
                    None => break,
                },
            });
            match walk.next() {
                Some(next) => at = next.clone(),
                None => break,
            }
        }
        Ok(gained)
    }

    /// The first parent of the version `name`, which `walk` has come to; none at the end, and where the chain
    /// cannot be read any further.
    async fn below(
        &self,
        id: &WorkflowId,
        name: &VersionName,
        walk: &mut Option<Walk>,
    ) -> Result<Option<VersionName>> {
        let read = async {
            match walk {
                Some(walk) => drop(walk.go(&self.objects).await?),
                None => match self.objects.unvouched_record(id, name).await? {
                    Some(version) => *walk = Some(self.objects.walk(id, &version.record)),
                    None => return Ok(None),
                },
            }
            let next = walk.as_ref().and_then(Walk::next);
            Ok::<_, Error>(next.map(|next| (next.generation, next.version_id)))
        };
        match read.await {
            Ok(parent) => Ok(parent),
            Err(error) if error.spares_others() => {
                tracing::warn!(%id, %error, "where its chain parts from the indexed one is not known; all of it is indexed");
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    pub(super) async fn operation(&self, record: &PendingOperation) -> Result<Option<Operation>> {
        let Some(object) = self.objects.get(&record.key).await? else { return Ok(None) };
        match serde_json::from_slice(&object.bytes) {
            Ok(body) => {
                let (id, operation_id) = (record.id.clone(), record.operation_id);
                Ok(Some(Operation { id, operation_id, body }))
            }
            Err(malformed) => {
                tracing::warn!(key = %record.key, error = %malformed, "an operation that cannot be read stays as it is");
                Ok(None)
            }
        }
    }
}
