use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use pflow_backend::Version;

use super::{
    Entry,
    parts::Root,
    pending::Pending,
    table::{Entries, Lost, Table, apply},
    texts::Texts,
};
use crate::{
    Result, Unreadable,
    format::{Head, WorkflowId},
    gate::Gate,
    repo::Objects,
};

/// The index as one process holds it: what it has read stays in memory until it sees a newer root.
#[derive(Debug)]
pub(crate) struct Index {
    pub(super) objects: Objects,
    pub(super) gate: Arc<Gate>,
    pub(super) texts: Texts,
    /// Never held across an await.
    kept: Mutex<Kept>,
    /// The number of heads that this process wrote, starting at the policy's first number.
    writes: AtomicU32,
    /// The last check found enough records for a fold, so the next write checks again.
    pub(super) crowded: AtomicBool,
    pub(super) policy: super::fold::Policy,
}

#[derive(Debug, Default, Clone)]
struct Kept {
    table: Option<Table>,
    /// Entries of heads that this process has read or written itself since it read the table.
    own: Entries,
}

/// The index at one moment.
#[derive(Debug, Clone)]
pub(crate) struct View {
    entries: Arc<Entries>,
    /// Overrides `entries` if an id is in both.
    own: Entries,
    /// The number of pending records.
    pub(crate) pending: usize,
    /// Why the view was built from the heads instead of the stored index; none if it was not.
    pub(crate) lost: Option<Lost>,
    /// Workflows with a pending record whose heads cannot be read.
    pub(crate) unreadable: Vec<Unreadable>,
}

impl Index {
    pub(crate) fn new(objects: Objects, gate: Arc<Gate>, policy: super::fold::Policy) -> Self {
        let writes = AtomicU32::new(policy.first_write(objects.environment.as_ref()));
        Self {
            objects,
            gate,
            texts: Texts::default(),
            kept: Mutex::default(),
            writes,
            crowded: AtomicBool::new(false),
            policy,
        }
    }

    /// Returns the same index with nothing read yet.
    pub(crate) fn afresh(&self) -> Self {
        Self::new(self.objects.clone(), self.gate.clone(), self.policy)
    }

    /// Whether a save that finds a fold due replies before it folds.
    pub(crate) fn folds_behind(&self) -> bool {
        self.policy.behind
    }

    /// Returns the current view: everything that was acknowledged before this call, and possibly more.
    pub(crate) async fn view(&self) -> Result<View> {
        // IMPORTANT: list the records before reading the root. A record that is removed in between is covered
        // by the root that is read next.
        let pending = Pending::list(&self.objects, usize::MAX).await?;
        let table = self.table().await?;
        let (stale, own) = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            (to_read(&pending, &table, &kept.own), kept.own.clone())
        };
        let mut view = View {
            entries: table.entries,
            own,
            pending: pending.len(),
            lost: table.lost,
            unreadable: table.unreadable.to_vec(),
        };
        for (id, read) in self.objects.heads(stale.keys().cloned().collect()).await {
            match read {
                Ok(stored) => {
                    let named = stale.get(&id).copied().unwrap_or_default();
                    if stored.head.generation() < named
                        && self.may_be_hurt(&stored.head, &view.entries)
                        && let Err(hurt) = self.refuse_hurt(&id, &[]).await
                    {
                        if !hurt.spares_others() {
                            return Err(hurt);
                        }
                        view.unreadable.push(Unreadable::new(id.clone(), &hurt));
                    }
                    if let Some(entry) = Entry::of(&stored.head) {
                        keep_newer(&mut view.own, Arc::new(entry));
                    }
                }
                Err(error) if error.spares_others() => view.unreadable.push(Unreadable::new(id, &error)),
                Err(other) => return Err(other),
            }
        }
        view.unreadable.sort_by(|a, b| a.id.cmp(&b.id));
        view.unreadable.dedup_by(|a, b| a.id == b.id);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in view.own.values() {
            keep_newer(&mut kept.own, entry.clone());
        }
        Ok(view)
    }

    /// Whether a head that has not reached its pending records justifies a listing of the versions: the head
    /// has no version, or is behind its index entry, or the storage has atomic batches, on which no record
    /// exists before its head. On other storages, a writer in progress causes the same state.
    fn may_be_hurt(&self, head: &Head, entries: &Entries) -> bool {
        head.current.is_none()
            || self.objects.traits.atomic_batch
            || entries.get(&head.id).is_some_and(|entry| entry.generation > head.generation())
    }

    /// Returns the table that the current root names.
    pub(super) async fn table(&self) -> Result<Table> {
        let known = self.kept.lock().unwrap_or_else(PoisonError::into_inner).table.clone();
        let table = Table::load(&self.objects, &self.texts, known.as_ref()).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|known| known.version != table.version) {
            // The new root may come from a reindex that corrected what we remember. Whatever the new root
            // lacks has a pending record.
            kept.own.clear();
        }
        kept.table = Some(table.clone());
        Ok(table)
    }

    /// Keeps a table that this process wrote itself, if the version of its root is known. Returns its
    /// entries.
    pub(super) fn keep(&self, table: Table) -> Arc<Entries> {
        let entries = Arc::clone(&table.entries);
        if table.version.is_some() {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = Kept { table: Some(table), own: Entries::new() };
        }
        entries
    }

    /// Like [`keep`](Self::keep), for a table that a fold has extended. The entries are copied only if
    /// another caller is reading them: a copy would make the cost of a fold grow with the number of
    /// workflows.
    pub(super) fn keep_grown(
        &self,
        before: Table,
        root: Root,
        version: Option<Version>,
        newer: Vec<Entry>,
    ) -> Arc<Entries> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = before.entries;
        if version.is_some() {
            *kept = Kept::default();
        }
        apply(Arc::make_mut(&mut entries), newer, &self.texts);
        if version.is_some() {
            let entries = Arc::clone(&entries);
            kept.table = Some(Table { root, version, entries, lost: None, unreadable: Arc::default() });
        }
        entries
    }

    /// Remembers a head that this process wrote, so that its own next listing does not read it. Returns
    /// whether it is time to check for records to fold: at the writes that the policy chooses, and at every
    /// write while the last check has found enough records for a fold.
    pub(crate) fn remember(&self, head: &Head) -> bool {
        let before = self.writes.fetch_add(1, Ordering::Relaxed);
        if let Some(entry) = Entry::of(head) {
            keep_newer(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner).own, Arc::new(entry));
        }
        before.is_multiple_of(self.policy.look_every.max(1)) || self.crowded.load(Ordering::Relaxed)
    }
}

impl View {
    /// Returns every workflow that ever had a version, ordered by id, including deleted ones.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let mut merged: BTreeMap<&WorkflowId, &Arc<Entry>> = self.entries.iter().collect();
        for (id, entry) in &self.own {
            match merged.get(id) {
                Some(known) if known.generation > entry.generation => {}
                _ => {
                    merged.insert(id, entry);
                }
            }
        }
        merged.into_values()
    }
}

/// Returns the workflows whose heads must be read, with the highest generation that a record names: those
/// with a record of a generation that no known entry has reached. Once an entry has reached it, the entry
/// covers the outcome of that attempt.
fn to_read(pending: &Pending, table: &Table, own: &Entries) -> BTreeMap<WorkflowId, u64> {
    let mut highest: BTreeMap<&WorkflowId, u64> = BTreeMap::new();
    for record in &pending.changes {
        let generation = highest.entry(&record.id).or_default();
        *generation = record.generation.max(*generation);
    }
    let known = |id| {
        let of = |entries: &Entries| entries.get(id).map_or(0, |entry| entry.generation);
        of(&table.entries).max(of(own))
    };
    highest
        .into_iter()
        .filter(|(id, generation)| known(id) < *generation)
        .map(|(id, generation)| (id.clone(), generation))
        .collect()
}

fn keep_newer(entries: &mut Entries, entry: Arc<Entry>) {
    match entries.get(&entry.id) {
        Some(known) if known.generation > entry.generation => {}
        _ => {
            entries.insert(entry.id.clone(), entry);
        }
    }
}
