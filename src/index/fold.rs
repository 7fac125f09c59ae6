use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use pflow_backend::{Batch, Environment, Key, Operation as Write};

use super::{
    Entry, Index, Unreadable, export,
    findings::Findings,
    parts::{Part, encode_base},
    pending::Pending,
    table::{Entries, Table, apply, from_heads},
};
use crate::{
    Error, Result,
    format::{WorkflowId, keys},
    register::{Around, Derived, Swapped, swap},
    repo::{Objects, Traits, unreadable},
};

/// How often an explicit fold or a reindex tries again when somebody else's got through first.
const ATTEMPTS: u32 = 8;
/// An explicit fold writes a base and the exports as well where so many entries have changed since the last
/// base, as a part of what that has: what it writes stays in proportion to what was saved.
const EXPLICIT_PART: u64 = 2;
/// When to fold. A fold costs one segment for all the records that it takes, so the cost of a save stays the
/// same however many workflows there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// A saver folds when it finds this many records.
    pub(crate) records: usize,
    /// A saver looks at its first write, if the work is not shared out, and then every so many writes.
    pub(crate) look_every: u32,
    /// A process begins at any of these writes, and of those that find a fold due one at a time folds. For
    /// storages where a look and a fold cost requests, and many processes make one save each.
    pub(crate) shared_out: bool,
    /// A base is never written for fewer entries than this in the segments.
    pub(crate) smallest_base: u64,
    /// A fold follows the answer of the save that found it due, instead of coming before it.
    pub(crate) behind: bool,
}

impl Policy {
    /// What suits a storage.
    ///
    /// Elsewhere than on this machine a cold reader pays a request for each workflow that a record names, a
    /// saver one for each look, and a fold two for each record. So a saver looks at one of eight writes, and
    /// one saver folds at a time. While it does, 16 others add a few records each; at three times the records
    /// they fold as well. A fold takes longer than a save, so it follows the answer.
    pub(crate) fn of(traits: Traits) -> Self {
        let remote = traits.is_remote;
        let look_every = if remote { 8 } else { 64 };
        Self { records: 64, look_every, shared_out: remote, smallest_base: 64, behind: remote }
    }

    /// The number of the first write, of which every `look_every`th looks.
    pub(crate) fn first_write(&self, environment: &dyn Environment) -> u32 {
        if self.shared_out { (environment.jitter() * f64::from(self.look_every)) as u32 } else { 0 }
    }

    /// With the caller's wishes.
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

/// What a fold does about the base.
enum Base {
    Keep,
    /// A new one of everything there is.
    Renew,
    /// A new one of exactly these.
    Replace(Entries),
}

impl Base {
    /// What the new one has, of a table and what is newer than it; none if there is no new one.
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
    /// After a write, when it is time to look: folds if enough records are there.
    pub(crate) async fn fold_if_due(&self) -> Result<Folded> {
        let limit = if self.policy.shared_out { usize::MAX } else { self.policy.records };
        let records = Pending::list(&self.objects, limit).await?.len();
        if records < self.policy.records {
            self.crowded.store(false, Ordering::Relaxed);
            return Ok(Folded::Nothing);
        }
        if self.policy.shared_out && !self.claim(records).await? {
            // Another one folds. If that takes too long it falls to the next write of this process.
            self.crowded.store(true, Ordering::Relaxed);
            return Ok(Folded::Nothing);
        }
        // Until this fold is through, the next write waits for it and looks again.
        self.crowded.store(self.policy.behind, Ordering::Relaxed);
        let folded = self.fold_once(false).await;
        if self.policy.shared_out {
            self.unclaim().await;
        }
        self.crowded.store(self.policy.behind && matches!(folded, Ok(Folded::Lost)), Ordering::Relaxed);
        folded
    }

    /// Folds whatever there is. Where much of it is new, the exports are brought up to date as well.
    pub(crate) async fn fold_now(&self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            if self.fold_once(true).await? != Folded::Lost {
                return Ok(());
            }
        }
        Err(Error::IndexBusy { attempts: ATTEMPTS })
    }

    /// Makes the index anew from the heads; how many workflows it has.
    pub(crate) async fn rebuild(&self) -> Result<usize> {
        self.gate.check_writer_again().await?;
        // IMPORTANT: the root first, then the records, the heads last. A record goes only after a swap of the
        // root, so whatever changes behind the heads that we read either still has its record for the next
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
            // Whoever got in between folded records away, so what they named may be newer than what we read.
            table = self.with_lost_heads(self.anchored(self.table().await?).await?).await?;
            records = Pending::list(&self.objects, usize::MAX).await?;
            self.update(&mut entries, &table).await?;
        }
        Err(Error::IndexBusy { attempts: ATTEMPTS })
    }

    /// Reads again the heads of workflows of which `table` has a later entry than `entries`, or the only one.
    /// A head that is damaged or hurt keeps the entry that it had.
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
        // Once in many saves: a long-lived writer must not write an index that it no longer understands.
        self.gate.check_writer_again().await?;
        let records = Pending::list(&self.objects, usize::MAX).await?;
        let mut table = self.table().await?;
        if table.lost.is_some() {
            // A new base would hide what it lacks.
            refuse_others(&self.objects, &table.unreadable).await?;
            table = self.with_lost_heads(self.anchored(table).await?).await?;
        }
        let findings = self.find(records, &table).await?;
        // Where there is nothing on top of the base, a new one would say the same.
        let changed = !findings.segment.is_empty() || !table.root.segments.is_empty();
        let new = table.root.entries_in_segments() + findings.segment.entries.len() as u64;
        let base = table.root.entries_in_base();
        let due =
            if explicit { new >= base / EXPLICIT_PART } else { new >= base.max(self.policy.smallest_base) };
        let base = if table.lost.is_some() || (changed && due) { Base::Renew } else { Base::Keep };
        self.write(table, findings, base).await
    }

    /// Swaps in a root that covers the findings, then clears away what it covers.
    ///
    /// A crash leaves, in the order of the stages: parts that nothing names; a root that covers records which
    /// are still there and do no harm; an export that lags.
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
            // The segments stay where they are: they are the operation history.
            root.segments.clear();
            parts.push(Write::put(key, bytes).absent().fresh());
        }
        let ours: Vec<Key> = parts.iter().map(|part| part.key().clone()).collect();
        let old_base = table.root.base.as_ref().filter(|old| Some(*old) != root.base.as_ref());
        let old_base = old_base.and_then(|old| Key::parse(old.key.as_str()).ok());
        let encoded = root.encode().map_err(|source| unreadable(&keys::index_root(), source))?;
        // IMPORTANT: the parts are there before the root names them, and records and the old base go only
        // after.
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
        // Deletes without a condition meet no conflict.
        self.objects.commit(batch, || "the clearing of records".to_owned()).await.map(|_| Folded::Done)
    }
}

/// Refuses to write an index of everything while there is a head that only others can read, a newer program
/// or another user: its present version would be hidden from them. A damaged head hides nothing; `verify`
/// names it.
///
/// # Errors
/// The failure to read such a head now.
async fn refuse_others(objects: &Objects, unreadable: &[Unreadable]) -> Result<()> {
    for readable_by_others in unreadable.iter().filter(|unreadable| !unreadable.is_damaged()) {
        objects.head(&readable_by_others.id).await?;
    }
    for damaged in unreadable.iter().filter(|unreadable| unreadable.is_damaged()) {
        tracing::warn!(id = %damaged.id, error = damaged.reason, "left out of the index");
    }
    Ok(())
}
