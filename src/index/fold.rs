use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use pflow_backend::{Batch, Environment, Key, Operation as Write};

use super::{
    Entry, Index, export,
    findings::Findings,
    parts::{Part, encode_base},
    pending::Pending,
    table::{Entries, Table, apply, from_heads},
};
use crate::{
    Error, Result, Unreadable,
    format::{WorkflowId, keys},
    register::{Around, Derived, Swapped, swap},
    repo::{Objects, Traits, unreadable},
};

/// How many times an explicit fold or a reindex is retried after losing the race to another fold.
const ATTEMPTS: u32 = 8;
/// An explicit fold also writes a base and the exports if the number of entries that have changed since the
/// last base is at least the size of that base divided by this. So the bytes written stay in proportion to
/// what was saved.
const EXPLICIT_PART: u64 = 2;
/// The policy that decides when to fold. A fold costs one segment for all the records that it takes, so the
/// cost of a save does not grow with the number of workflows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// A writer folds when it finds this many records.
    pub(crate) records: usize,
    /// A writer checks at its first write, if the work is not shared out, and then once every this many
    /// writes.
    pub(crate) look_every: u32,
    /// A process starts checking at a random one of these writes, and of the writers that find a fold due
    /// only one at a time folds. For storages on which a check and a fold cost requests, and on which many
    /// processes make one save each.
    pub(crate) shared_out: bool,
    /// A fold that a save starts writes a base only if the segments have at least this many entries.
    pub(crate) smallest_base: u64,
    /// A save that finds a fold due replies before it folds, instead of after.
    pub(crate) behind: bool,
}

impl Policy {
    /// Returns the policy for a storage.
    ///
    /// On a remote storage a cold reader pays a request for each workflow that a record names, a writer one
    /// for each check, and a fold two for each record. So a writer checks at one of eight writes, and one
    /// writer folds at a time. Meanwhile 16 other writers add a few records each; at three times the number
    /// of records they fold as well. A fold takes longer than a save, so it follows the reply.
    pub(crate) fn of(traits: Traits) -> Self {
        let remote = traits.is_remote;
        let look_every = if remote { 8 } else { 64 };
        Self { records: 64, look_every, shared_out: remote, smallest_base: 64, behind: remote }
    }

    /// Returns the number of the first write, of which every `look_every`th checks.
    pub(crate) fn first_write(&self, environment: &dyn Environment) -> u32 {
        if self.shared_out { (environment.jitter() * f64::from(self.look_every)) as u32 } else { 0 }
    }

    /// Applies the caller's options.
    pub(crate) fn with(mut self, records: Option<usize>, behind: Option<bool>) -> Self {
        if let Some(records) = records {
            self.records = records;
            self.look_every = match records {
                usize::MAX => u32::MAX,
                _ => u32::try_from(records / 4).unwrap_or(u32::MAX).clamp(1, self.look_every),
            };
        }
        self.behind = behind.unwrap_or(self.behind);
        self
    }
}

/// The outcome of a fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folded {
    /// There was nothing to do.
    Nothing,
    /// The index covers the records that the fold found.
    Done,
    /// Another fold won the race. The remaining records are for the next one.
    Lost,
}

/// What a fold does with the base.
enum Base {
    Keep,
    /// Write a new one with all current entries.
    Renew,
    /// Write a new one with exactly these entries.
    Replace(Entries),
}

impl Base {
    /// Returns the entries of the new base, from a table and the entries that are newer; none if there is no
    /// new base.
    fn entries<'a>(
        &'a self,
        table: &'a Table,
        newer: &'a [Entry],
    ) -> Option<BTreeMap<&'a WorkflowId, &'a Entry>> {
        let present = match self {
            Self::Keep => return None,
            Self::Renew => &*table.entries,
            Self::Replace(entries) => {
                return Some(entries.iter().map(|(id, entry)| (id, entry.as_ref())).collect());
            }
        };
        let present = present.iter().map(|(id, entry)| (id, entry.as_ref()));
        Some(present.chain(newer.iter().map(|entry| (&entry.id, entry))).collect())
    }
}

impl Index {
    /// Called after a write when it is time to check: folds if there are enough records.
    pub(crate) async fn fold_if_due(&self) -> Result<Folded> {
        let limit = if self.policy.shared_out { usize::MAX } else { self.policy.records };
        let records = Pending::list(&self.objects, limit).await?.len();
        if records < self.policy.records {
            self.crowded.store(false, Ordering::Relaxed);
            return Ok(Folded::Nothing);
        }
        if self.policy.shared_out && !self.claim(records).await? {
            // Another writer is folding. If that takes too long, the next write of this process takes over.
            self.crowded.store(true, Ordering::Relaxed);
            return Ok(Folded::Nothing);
        }
        // Until this fold has ended, the next write waits for it and checks again.
        self.crowded.store(self.policy.behind, Ordering::Relaxed);
        let folded = self.fold_once(false).await;
        if self.policy.shared_out {
            self.unclaim().await;
        }
        self.crowded.store(self.policy.behind && matches!(folded, Ok(Folded::Lost)), Ordering::Relaxed);
        folded
    }

    /// Folds all records. If enough of them are new, the exports are updated as well.
    pub(crate) async fn fold_now(&self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            if self.fold_once(true).await? != Folded::Lost {
                return Ok(());
            }
        }
        Err(Error::IndexBusy { attempts: ATTEMPTS })
    }

    /// Rebuilds the index from the heads. Returns the number of workflows in it.
    pub(crate) async fn rebuild(&self) -> Result<usize> {
        self.gate.check_writer_again().await?;
        // IMPORTANT: read the root first, then the records, then the heads. A record is removed only after a
        // swap of the root. So any change after our read of a head either still has its record for the next
        // fold, or makes our own swap fail.
        let mut table = self.with_lost_heads(self.anchored(self.table().await?).await?).await?;
        let mut records = Pending::list(&self.objects, usize::MAX).await?;
        let (mut entries, unreadable) = from_heads(&self.objects, &self.texts).await?;
        refuse_others(&self.objects, &unreadable).await?;
        self.update(&mut entries, &table).await?;
        for _ in 0..ATTEMPTS {
            let findings = self.find(records, &table).await?;
            apply(&mut entries, findings.segment.entries.iter().cloned(), &self.texts);
            if self.write(table, findings, Base::Replace(entries.clone())).await? == Folded::Done {
                return Ok(entries.values().filter(|entry| !entry.deleted).count());
            }
            // The fold that won the race removed records, so the heads that they named may be newer than what
            // we read.
            table = self.with_lost_heads(self.anchored(self.table().await?).await?).await?;
            records = Pending::list(&self.objects, usize::MAX).await?;
            self.update(&mut entries, &table).await?;
        }
        Err(Error::IndexBusy { attempts: ATTEMPTS })
    }

    /// Reads again the heads of workflows for which `table` has a later entry than `entries`, or the only
    /// one. A workflow whose head is damaged or hurt keeps its previous entry.
    async fn update(&self, entries: &mut Entries, table: &Table) -> Result<()> {
        let newer = |(id, known): &(&WorkflowId, &Arc<Entry>)| {
            entries.get(*id).is_none_or(|read| read.generation < known.generation)
        };
        let ids = table.entries.iter().filter(newer).map(|(id, _)| id.clone()).collect();
        for (id, read) in self.objects.heads(ids).await {
            match read {
                Ok(stored) => match table.entries.get_key_value(&id) {
                    Some((id, known)) if self.is_behind(&stored.head, Some(known)).await? => {
                        tracing::warn!(%id, "its head is hurt; indexed as it was known before");
                        entries.insert(id.clone(), known.clone());
                    }
                    _ => apply(entries, Entry::of(&stored.head), &self.texts),
                },
                Err(error) if error.is_of_one_object() => {
                    tracing::warn!(%id, %error, "indexed as it was known before");
                    entries.extend(
                        table.entries.get_key_value(&id).map(|(id, known)| (id.clone(), known.clone())),
                    );
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    async fn fold_once(&self, explicit: bool) -> Result<Folded> {
        // Checked here because it is rare: a long-lived writer must not write an index that it no longer
        // understands.
        self.gate.check_writer_again().await?;
        let records = Pending::list(&self.objects, usize::MAX).await?;
        let mut table = self.table().await?;
        if table.lost.is_some() {
            // A new base would hide the entries that it lacks.
            refuse_others(&self.objects, &table.unreadable).await?;
            table = self.with_lost_heads(self.anchored(table).await?).await?;
        }
        let findings = self.find(records, &table).await?;
        // Without segments on top of the base, a new one would be identical.
        let changed = !findings.segment.is_empty() || !table.root.segments.is_empty();
        let new = table.root.entries_in_segments() + findings.segment.entries.len() as u64;
        let base = table.root.entries_in_base();
        let due =
            if explicit { new >= base / EXPLICIT_PART } else { new >= base.max(self.policy.smallest_base) };
        let base = if table.lost.is_some() || (changed && due) { Base::Renew } else { Base::Keep };
        self.write(table, findings, base).await
    }

    /// Swaps in a root that covers the findings, and then deletes what the root covers.
    ///
    /// By stage, a crash leaves: parts that no root names; a root that covers records which still exist,
    /// which is harmless; an outdated export.
    async fn write(&self, table: Table, findings: Findings, base: Base) -> Result<Folded> {
        let Findings { mut segment, mut covered, unreached } = findings;
        let settled = self.settle(unreached).await;
        covered.extend(settled.covered);
        segment.unconfirmed.extend(settled.unconfirmed);
        if segment.is_empty() && matches!(base, Base::Keep) {
            return self.clear(covered).await;
        }
        let objects = &self.objects;
        let mut root = table.root.next(objects.environment.new_id());
        let mut parts = Vec::new();
        if !segment.is_empty() {
            segment.sequence = root.sequence;
            let key = keys::index_segment(&objects.environment.new_id());
            let bytes = segment.encode().map_err(|source| unreadable(&key, source))?;
            let part = Part::new(&key, &bytes, segment.entries.len());
            root.segments.push(part.clone());
            root.last_segment = Some(part);
            parts.push(Write::put(key, bytes).absent().fresh());
        }
        if let Some(entries) = base.entries(&table, &segment.entries) {
            let key = keys::index_base(&objects.environment.new_id());
            let encoded = encode_base(root.sequence, root.size(), entries.values().copied());
            let bytes = encoded.map_err(|source| unreadable(&key, source))?;
            root.base = Some(Part::new(&key, &bytes, entries.len()));
            // The segments are not deleted: they are the operation history.
            root.segments.clear();
            parts.push(Write::put(key, bytes).absent().fresh());
        }
        let ours: Vec<Key> = parts.iter().map(|part| part.key().clone()).collect();
        let old_base = table.root.base.as_ref().filter(|old| Some(*old) != root.base.as_ref());
        let old_base = old_base.and_then(|old| Key::parse(old.key.as_str()).ok());
        let encoded = root.encode().map_err(|source| unreadable(&keys::index_root(), source))?;
        // IMPORTANT: the parts are in place before the root names them. Records and the old base are deleted
        // only after it.
        let after = covered.into_iter().chain(old_base).map(Write::delete).collect();
        let around = Around { before: parts, beside: None, after };
        let version = match swap(objects, keys::index_root(), encoded, table.version.as_ref(), around).await {
            Swapped::Landed(version, derived) => {
                if let Derived::Failed(error) = derived {
                    tracing::warn!(%error, "the index is folded, but what it covers could not be cleared away");
                }
                version
            }
            Swapped::InDoubt(None) => {
                if !self.has_been(&root, &ours).await? {
                    self.clear(ours).await?;
                }
                return Ok(Folded::Lost);
            }
            Swapped::Lost { leaves } => {
                if leaves {
                    self.clear(ours).await?;
                }
                return Ok(Folded::Lost);
            }
            // Of a stage that failed, some parts may be in place. The swap never happens, so no root names them.
            Swapped::Failed { error, leaves } => {
                if leaves && let Err(left) = self.clear(ours).await {
                    tracing::debug!(error = %left, "parts of a fold that failed stay");
                }
                return Err(Error::Storage(error));
            }
            Swapped::InDoubt(Some(error)) | Swapped::Unknown(error) => {
                return Err(Error::of_commit(|| "the fold of the index".to_owned(), error));
            }
        };
        let (is_renewed, size) = (!matches!(base, Base::Keep), root.size());
        let entries = match base {
            Base::Replace(entries) => self.keep(Table {
                root,
                version,
                entries: Arc::new(entries),
                lost: None,
                unreadable: Arc::default(),
            }),
            Base::Keep | Base::Renew => self.keep_grown(table, root, version, segment.entries),
        };
        if is_renewed {
            // An entry in the export is about as long as in a base.
            export::write(objects, &entries, size).await;
        }
        Ok(Folded::Done)
    }

    async fn clear(&self, keys: Vec<Key>) -> Result<Folded> {
        if keys.is_empty() {
            return Ok(Folded::Nothing);
        }
        let batch = Batch::new().stage(keys.into_iter().map(Write::delete));
        // Unconditional deletes cannot conflict.
        self.objects.commit(batch, || "the clearing of records".to_owned()).await.map(|_| Folded::Done)
    }
}

/// Refuses to write a full index while a head can be read only by others: by a newer program or another user.
/// The index would hide its current version from them. A damaged head hides nothing; `verify` reports it.
///
/// # Errors
/// The error of reading such a head now.
async fn refuse_others(objects: &Objects, unreadable: &[Unreadable]) -> Result<()> {
    for readable_by_others in unreadable.iter().filter(|unreadable| !unreadable.is_damaged()) {
        objects.head(&readable_by_others.id).await?;
    }
    for damaged in unreadable.iter().filter(|unreadable| unreadable.is_damaged()) {
        tracing::warn!(id = %damaged.id, error = damaged.reason, "left out of the index");
    }
    Ok(())
}
