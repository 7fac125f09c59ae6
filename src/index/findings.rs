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
    Result,
    format::{Ancestor, Head, WorkflowId},
    repo::{StoredHead, VersionName, Walk},
};

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
        for (id, read) in known.chain(read.into_iter().map(|(id, read)| (id, read.map(Arc::new)))) {
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
                        let (generation, version_id) =
                            (current.record.generation, &current.record.version_id);
                        records.iter().any(|it| it.generation == generation && it.version_id == *version_id)
                    })
            };
            match self.objects.known_head(id).filter(is_named) {
                Some(stored) => known.push(stored),
                None => unknown.push(id.clone()),
            }
        }
        (known, unknown)
    }

    /// Every version of the head's chain that the chain of `known` does not have, as far as both can be read:
    /// those above the version of `known`, or, where a head was put back and saved over, those above the
    /// version at which the two chains part.
    async fn gained(&self, head: &Head, known: Option<&Arc<Entry>>) -> Result<Vec<Gained>> {
        let Some(current) = &head.current else { return Ok(Vec::new()) };
        let remembered: Vec<Ancestor> = current.lineage().collect();
        // Further back than the head remembers, the records themselves tell.
        let oldest = remembered.last().filter(|oldest| oldest.generation > 1);
        let mut further = oldest.map(|oldest| self.objects.walk(&head.id, oldest));
        let mut remembered = remembered.into_iter();
        let mut theirs = known.map(|known| (known.generation, known.version_id.clone()));
        let (mut their_walk, mut gained) = (None, Vec::new());
        loop {
            let version = match (remembered.next(), &mut further) {
                (Some(version), _) => version,
                (None, None) => break,
                (None, Some(walk)) => match walk.parent(&self.objects).await? {
                    Some(version) => Ancestor::of_version(&version),
                    None => break,
                },
            };
            while let Some(name) = theirs.as_ref().filter(|(generation, _)| *generation > version.generation)
            {
                theirs = self.below(&head.id, name, &mut their_walk).await?;
            }
            if theirs.as_ref() == Some(&(version.generation, version.version_id.clone())) {
                break;
            }
            gained.push(Gained { id: head.id.clone(), version });
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
            let walk = match walk {
                Some(walk) => walk,
                None => match self.objects.unvouched_version(id, name).await? {
                    Some(version) => walk.insert(self.objects.walk(id, &Ancestor::of_version(&version))),
                    None => return Ok(None),
                },
            };
            walk.parent(&self.objects).await
        };
        match read.await {
            Ok(parent) => Ok(parent.map(|parent| (parent.record.generation, parent.record.version_id))),
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
                let (id, operation_id) = (record.id.clone(), record.operation_id.clone());
                Ok(Some(Operation { id, operation_id, body }))
            }
            Err(malformed) => {
                tracing::warn!(key = %record.key, error = %malformed, "an operation that cannot be read stays as it is");
                Ok(None)
            }
        }
    }
}
