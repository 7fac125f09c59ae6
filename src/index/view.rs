use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use pflow_backend::Version;

use super::{
    Entry, Unreadable,
    parts::Root,
    pending::Pending,
    table::{Entries, Lost, Table, apply},
    texts::Texts,
};
use crate::{
    Result,
    format::{Head, WorkflowId},
    repo::{Gate, Objects},
};

/// The index as one process keeps it: what it has read stays in memory until a newer root is seen.
#[derive(Debug)]
pub(crate) struct Index {
    pub(super) objects: Objects,
    pub(super) gate: Arc<Gate>,
    pub(super) texts: Texts,
    /// Never held across an await.
    kept: Mutex<Kept>,
    /// How many heads this process wrote, from the policy's first number on.
    writes: AtomicU32,
    /// The last look found enough records for a fold, so the next write looks again.
    pub(super) crowded: AtomicBool,
    pub(super) policy: super::fold::Policy,
}

#[derive(Debug, Default, Clone)]
struct Kept {
    table: Option<Table>,
    /// Entries of heads that this process read or wrote itself since it read the table.
    own: Entries,
}

/// The index at one moment.
#[derive(Debug, Clone)]
pub(crate) struct View {
    entries: Arc<Entries>,
    /// Newer than `entries` where an id is in both.
    own: Entries,
    /// How many pending records there were.
    pub(crate) pending: usize,
    /// Why this was made from the heads instead of the stored index; none where it was not.
    pub(crate) lost: Option<Lost>,
    /// Workflows that may have changed, whose heads cannot be read.
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

    /// The same index with nothing read yet.
    pub(crate) fn afresh(&self) -> Self {
        Self::new(self.objects.clone(), self.gate.clone(), self.policy)
    }

    /// Whether a fold follows the answer of the save that found it due.
    pub(crate) fn folds_behind(&self) -> bool {
        self.policy.behind
    }

    /// What there is now: everything that was acknowledged before this call, and perhaps more.
    pub(crate) async fn view(&self) -> Result<View> {
        // IMPORTANT: records first, root after. A record that is gone by now is covered by the root that we
        // read next.
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

    /// Whether a head that has not reached its pending records is worth a look at the versions: it has no
    /// version, is behind its entry, or the storage has atomic batches, where no record comes before its
    /// head. Elsewhere a writer at work leaves the same.
    fn may_be_hurt(&self, head: &Head, entries: &Entries) -> bool {
        head.current.is_none()
            || self.objects.traits.atomic_batch
            || entries.get(&head.id).is_some_and(|entry| entry.generation > head.generation())
    }

    /// The table that the present root names.
    pub(super) async fn table(&self) -> Result<Table> {
        let known = self.kept.lock().unwrap_or_else(PoisonError::into_inner).table.clone();
        let table = Table::load(&self.objects, &self.texts, known.as_ref()).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|known| known.version != table.version) {
            // The new root may have been made by a reindex that corrected what we remember; what it lacks has
            // a record.
            kept.own.clear();
        }
        kept.table = Some(table.clone());
        Ok(table)
    }

    /// Keeps a table that this process wrote itself, if it knows the version of its root; its entries.
    pub(super) fn keep(&self, table: Table) -> Arc<Entries> {
        let entries = Arc::clone(&table.entries);
        if table.version.is_some() {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = Kept { table: Some(table), own: Entries::new() };
        }
        entries
    }

    /// The same for a table that a fold has added to. Unless somebody reads it just now it is not copied:
    /// that would make a fold cost more the more workflows there are.
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

    /// Remembers a head that this process wrote, so that its own next listing need not read it. Whether it is
    /// time to look for records to fold: at the writes that the policy names, and while others leave more of
    /// them than a fold takes at every one.
    pub(crate) fn remember(&self, head: &Head) -> bool {
        let before = self.writes.fetch_add(1, Ordering::Relaxed);
        if let Some(entry) = Entry::of(head) {
            keep_newer(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner).own, Arc::new(entry));
        }
        before.is_multiple_of(self.policy.look_every.max(1)) || self.crowded.load(Ordering::Relaxed)
    }
}

impl View {
    /// Every workflow that ever had a version, in the order of their ids, deleted ones included.
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

/// The workflows whose heads must be read, and the highest generation that a record names: those with a
/// record of a generation that we have not seen them reach. Once an entry has reached it, whatever became of
/// that attempt is history that the entry covers.
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
