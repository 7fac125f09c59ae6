//! The last committed value of every key whose file may not be durable yet. Readers believe it and not the
//! file.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use pflow_backend::{Bytes, DateTime, Key, Result, Utc, Version, WriteKind};

use crate::journal::record::{Before, Change, Content, Record, Value};

/// What a device writes whole or not at all. Larger ones are made of these.
const SECTOR: usize = 512;

/// The last change of every key that the journal names.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    entries: BTreeMap<Key, Entry>,
    kept: u64,
    carried: Carried,
    after_crash: bool,
}

/// How many bytes the values have that the epoch before could not write into their files.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carried {
    /// In the journal itself.
    pub(crate) inline: u64,
    /// In `values/`.
    pub(crate) kept: u64,
}

impl Carried {
    pub(crate) fn all(self) -> u64 {
        self.inline.saturating_add(self.kept)
    }
}

/// What became of one key.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// None: deleted.
    pub(crate) now: Option<Value>,
    /// `Copy` only as long as nothing but copies and deletions of this key is in the journal. The file of
    /// such a key may be a person's edit, and is looked at; of every other one the journal knows best.
    pub(crate) kind: WriteKind,
    /// What the file may hold that is no edit: the values before, and what somebody replaced knowingly.
    /// Shared: a key that is written again and again has as many as the journal, and whoever looks at it
    /// takes a clone of the entry.
    earlier: Arc<Vec<Value>>,
    accepted: Vec<Version>,
    pub(crate) time: DateTime<Utc>,
    /// This handle has written it into its file, and will hear of a failure until then.
    pub(crate) applied: bool,
    /// This handle has tried to write it and could not. The next commit or checkpoint tries again.
    pub(crate) failed: bool,
    /// The epoch before could not write it, so this one began with it.
    pub(crate) carried: bool,
    /// The machine may have crashed while the journal had it, so that its file may hold a part of a value.
    pub(crate) after_crash: bool,
}

/// What a file says under an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    /// What a handle wrote or a commit replaced knowingly, or after a crash of the machine no bytes or zeros:
    /// the entry counts, and the file holds no work of a person.
    Ours,
    /// What a crash of the machine may have left of a value, or the beginning of it that a person kept: the
    /// entry counts, and the bytes are kept in `quarantine`.
    Remnant,
    /// A person's edit: the file counts.
    Edited,
}

impl Overlay {
    pub(crate) fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        self.entries.get_mut(key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        (self.kept, self.carried, self.after_crash) = (0, Carried::default(), false);
    }

    /// Whatever it holds, now or later in this epoch, may be in its file in part. **Rule:** said by every
    /// handle that finds work in the journal when it opens the folder, and only by these: a handle that was
    /// open before has seen no crash of the machine, and a process that dies leaves no part of a copy under
    /// its name.
    pub(crate) fn is_after_crash(&mut self) {
        self.after_crash = true;
        self.entries.values_mut().for_each(|entry| entry.after_crash = true);
    }

    /// One without entries, for reading the same journal again.
    pub(crate) fn emptied(&self) -> Self {
        Self { after_crash: self.after_crash, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn carried(&self) -> Carried {
        self.carried
    }

    /// How many bytes the files in `values/` have that this epoch's commits named.
    pub(crate) fn kept(&self) -> u64 {
        self.kept
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&Key, &mut Entry)> {
        self.entries.iter_mut()
    }

    /// The entries below `name`, or all for an empty name, in key order.
    pub(crate) fn below<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Key, &'a Entry)> {
        // `name/` is no key, but `name/-` is, and no key below `name` comes before it.
        let first = (!name.is_empty()).then(|| Key::parse(format!("{name}/-")).ok()).flatten();
        let from = first.map_or(Bound::Unbounded, Bound::Included);
        let is_below = move |key: &Key| {
            name.is_empty() || key.as_str().strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
        };
        self.entries.range((from, Bound::Unbounded)).take_while(move |(key, _)| is_below(key))
    }

    /// Takes in all changes of a record.
    pub(crate) fn absorb(&mut self, record: &Record) {
        for change in &record.changes {
            self.apply(change, record.time);
        }
        if record.carries {
            self.are_carried();
        }
    }

    /// What it holds was not committed in this epoch, but could not be written in the one before. It takes
    /// nothing of the room that commits have.
    pub(crate) fn are_carried(&mut self) {
        (self.kept, self.carried) = (0, self.bytes());
        for entry in self.entries.values_mut() {
            (entry.carried, entry.applied) = (true, false);
        }
    }

    /// How many bytes all of its values have.
    fn bytes(&self) -> Carried {
        let values = self.entries.values().flat_map(|entry| entry.earlier.iter().chain(&entry.now));
        values.fold(Carried::default(), |sum, value| match value.content {
            Content::Inline(_) => Carried { inline: sum.inline.saturating_add(value.size), ..sum },
            Content::Kept { .. } => Carried { kept: sum.kept.saturating_add(value.size), ..sum },
        })
    }

    /// The files in `values/` that its entries name.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let values = self.entries.values().flat_map(|entry| entry.earlier.iter().chain(&entry.now));
        let name = |value: &Value| match &value.content {
            Content::Kept { name, .. } => Some(name.clone()),
            Content::Inline(_) => None,
        };
        values.filter_map(name).collect()
    }

    /// Takes in one change.
    pub(crate) fn apply(&mut self, change: &Change, time: DateTime<Utc>) {
        let mut entry = self.entries.remove(&change.key).unwrap_or_else(|| Entry {
            now: None,
            kind: WriteKind::Copy,
            earlier: Arc::default(),
            accepted: Vec::new(),
            time,
            applied: false,
            failed: false,
            carried: false,
            after_crash: self.after_crash,
        });
        if let Some((kind, _)) = &change.after
            && *kind != WriteKind::Copy
        {
            entry.kind = *kind;
        }
        let before = entry.now.take();
        if entry.kind == WriteKind::Copy {
            // What a change replaces is what the one before it wrote, unless somebody came in between.
            if let Before::Was(was) = &change.before
                && before.as_ref().is_none_or(|value| value.version != *was)
                && !entry.accepted.contains(was)
            {
                entry.accepted.push(was.clone());
            }
            Arc::make_mut(&mut entry.earlier).extend(before);
        } else {
            (entry.earlier, entry.accepted) = (Arc::default(), Vec::new());
        }
        entry.now = change.after.as_ref().map(|(_, value)| value.clone());
        if let Some(Value { size, content: Content::Kept { .. }, .. }) = &entry.now {
            self.kept += size;
        }
        (entry.time, entry.applied, entry.failed) = (time, false, false);
        self.entries.insert(change.key.clone(), entry);
    }

    /// Puts an entry of another overlay in here, to be changed further.
    pub(crate) fn adopt(&mut self, key: Key, entry: Entry) {
        self.entries.insert(key, entry);
    }

    /// Changes that lead to these entries where nothing was before.
    pub(crate) fn as_changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (key, entry) in &self.entries {
            if entry.kind != WriteKind::Copy && entry.now.is_none() {
                // IMPORTANT: a deletion alone says nothing of its kind, and would be one that gives way to
                // what the file holds.
                let after = Some((entry.kind, Value::inline(Bytes::new())));
                changes.push(Change { key: key.clone(), before: Before::Unknown, after });
            }
            let mut before = entry.accepted.iter().cloned().map(Before::Was);
            let values = entry.earlier.iter().map(Some).chain([entry.now.as_ref()]);
            for value in values {
                let after = value.cloned().map(|value| (entry.kind, value));
                let before = before.next().unwrap_or(Before::Unknown);
                changes.push(Change { key: key.clone(), before, after });
            }
            // More was accepted than there are values: say it with the last one again.
            for before in before {
                let after = entry.now.clone().map(|value| (entry.kind, value));
                changes.push(Change { key: key.clone(), before, after });
            }
        }
        changes
    }
}

impl Entry {
    /// Whether nothing was committed for the key between the two.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        // Every change of a key that may be edited leaves a value or a deletion behind; the files of others
        // are not asked.
        let version = |entry: &Self| entry.now.as_ref().map(|value| value.version.clone());
        (self.kind, self.earlier.len(), self.accepted.len(), self.time)
            == (other.kind, other.earlier.len(), other.accepted.len(), other.time)
            && version(self) == version(other)
    }

    /// Whether the file must be looked at before the entry is believed.
    pub(crate) fn may_be_edited(&self) -> bool {
        self.kind == WriteKind::Copy
    }

    /// What may be forgotten of an entry whose file is durable as it is and holds this version, or nothing of
    /// ours: what it held before.
    pub(crate) fn forget_all_but(&mut self, held: Option<&Version>) {
        let known = self.earlier.iter().find(|value| Some(&value.version) == held).cloned();
        self.earlier = Arc::new(known.into_iter().collect());
        self.accepted = held.into_iter().cloned().collect();
    }

    /// Judges what the file holds. Only for an entry that may be edited. `whole` gives the bytes of a value,
    /// if they are still there.
    ///
    /// # Errors
    /// Those of `whole`.
    pub(crate) fn judge(
        &self,
        version: &Version,
        bytes: &[u8],
        whole: impl Fn(&Value) -> Result<Option<Bytes>>,
    ) -> Result<Judged> {
        if self.knows(version) {
            return Ok(Judged::Ours);
        }
        if !self.after_crash {
            return Ok(Judged::Edited);
        }
        if is_remnant(bytes, &[]) {
            return Ok(Judged::Ours);
        }
        for value in self.earlier.iter().chain(&self.now) {
            if whole(value)?.is_some_and(|whole| is_remnant(bytes, &whole)) {
                return Ok(Judged::Remnant);
            }
        }
        Ok(Judged::Edited)
    }

    /// Whether the file holds exactly what we wrote or somebody replaced knowingly, so that it may go.
    pub(crate) fn knows(&self, version: &Version) -> bool {
        self.earlier.iter().chain(&self.now).any(|value| value.version == *version)
            || self.accepted.contains(version)
    }
}

/// Whether a crash of the machine can have left these bytes of a file that was written whole and never
/// synced: its length may be any up to the whole, and each sector may have been written or still be zeros.
fn is_remnant(bytes: &[u8], whole: &[u8]) -> bool {
    let is_zero = |sector: &[u8]| sector.iter().all(|byte| *byte == 0);
    bytes.iter().all(|byte| *byte == 0)
        || bytes.len() <= whole.len()
            && bytes
                .chunks(SECTOR)
                .zip(whole.chunks(SECTOR))
                .all(|(sector, written)| written.get(..sector.len()) == Some(sector) || is_zero(sector))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::parse(name).unwrap()
    }

    fn was(bytes: &str) -> Before {
        Before::Was(Version::of_content(bytes.as_bytes()))
    }

    fn put(name: &str, kind: WriteKind, before: Before, bytes: &'static str) -> Change {
        Change {
            key: key(name),
            before,
            after: Some((kind, Value::inline(Bytes::from_static(bytes.as_bytes())))),
        }
    }

    fn overlay(changes: &[Change]) -> Overlay {
        let mut overlay = Overlay::default();
        overlay.absorb(&Record { time: DateTime::UNIX_EPOCH, changes: changes.to_vec(), carries: false });
        overlay
    }

    fn judged(overlay: &Overlay, bytes: &str) -> Judged {
        let version = Version::of_content(bytes.as_bytes());
        let whole = |value: &Value| match &value.content {
            Content::Inline(bytes) => Ok(Some(bytes.clone())),
            Content::Kept { .. } => Ok(None),
        };
        overlay.get(&key("a")).unwrap().judge(&version, bytes.as_bytes(), whole).unwrap()
    }

    #[test]
    fn a_file_under_a_copy_is_ours_if_it_holds_what_was_there_or_what_a_crash_left() {
        let mut copies = overlay(&[
            put("a", WriteKind::Copy, was("base"), "first value"),
            put("a", WriteKind::Copy, was("first value"), "second value"),
            put("a", WriteKind::Copy, was("an edit that was seen"), "third value"),
        ]);
        copies.is_after_crash();
        for ours in ["base", "first value", "third value", "", "\0\0\0", "an edit that was seen"] {
            assert_eq!(judged(&copies, ours), Judged::Ours, "{ours:?}");
        }
        for remnant in ["third", "first"] {
            assert_eq!(judged(&copies, remnant), Judged::Remnant, "{remnant:?}");
        }
        for edited in ["bas", "third value!", "an edit", "\0x"] {
            assert_eq!(judged(&copies, edited), Judged::Edited, "{edited:?}");
        }
    }

    #[test]
    fn without_a_crash_a_part_of_a_copy_is_an_edit() {
        let copies = overlay(&[put("a", WriteKind::Copy, was("base"), "first value")]);
        for ours in ["base", "first value"] {
            assert_eq!(judged(&copies, ours), Judged::Ours, "{ours:?}");
        }
        for edited in ["first", "", "\0\0\0", "bas"] {
            assert_eq!(judged(&copies, edited), Judged::Edited, "{edited:?}");
        }
    }

    #[test]
    fn any_sector_of_a_file_that_was_not_synced_may_be_missing() {
        let whole: Vec<u8> = (0..1_300).map(|at| b'a' + (at / 512) as u8).collect();
        let zeroed = |range: std::ops::Range<usize>| {
            let mut bytes = whole.clone();
            bytes[range].fill(0);
            bytes
        };
        for remnant in [
            zeroed(0..512),
            zeroed(512..1_024),
            zeroed(1_024..1_300),
            zeroed(0..1_300),
            whole[..1_000].to_vec(),
        ] {
            assert!(is_remnant(&remnant, &whole));
        }
        for other in [zeroed(0..511), zeroed(500..600), [&whole[..], &[0]].concat(), b"b".repeat(600)] {
            assert!(!is_remnant(&other, &whole));
        }
    }

    #[test]
    fn once_a_key_was_written_otherwise_the_journal_knows_best() {
        let mixed = overlay(&[
            put("a", WriteKind::Copy, was("base"), "1"),
            put("a", WriteKind::Swap, Before::Unknown, "2"),
            put("a", WriteKind::Copy, was("2"), "3"),
            Change { key: key("a"), before: was("3"), after: None },
        ]);
        let entry = mixed.get(&key("a")).unwrap();
        assert!(!entry.may_be_edited() && entry.now.is_none());
    }

    #[test]
    fn the_keys_below_a_name_are_found_and_no_others() {
        let names = ["a", "a-b/c", "a.b", "a/-", "a/.x", "a/b/c", "a/z", "a0", "ab/c", "b"];
        let all = names.map(|name| put(name, WriteKind::Swap, Before::Unknown, "x"));
        let overlay = overlay(&all);
        let below = |name| overlay.below(name).map(|(key, _)| key.as_str()).collect::<Vec<_>>();
        assert_eq!(below("a"), ["a/-", "a/.x", "a/b/c", "a/z"]);
        assert_eq!(below("a/b"), ["a/b/c"]);
        assert_eq!(below("").len(), names.len());
        assert!(below("c").is_empty());
    }

    #[test]
    fn the_changes_of_an_overlay_lead_to_the_same_overlay() {
        let before = overlay(&[
            put("a", WriteKind::Copy, was("base"), "1"),
            put("a", WriteKind::Copy, was("1"), "2"),
            put("b", WriteKind::Swap, Before::Unknown, "3"),
            Change { key: key("c"), before: was("4"), after: None },
            put("d", WriteKind::Swap, Before::Unknown, "5"),
            Change { key: key("d"), before: was("5"), after: None },
        ]);
        let after = overlay(&before.as_changes());
        for (key, entry) in before.iter() {
            let same = after.get(key).unwrap();
            assert_eq!((&same.now, same.kind), (&entry.now, entry.kind), "{key}");
            assert_eq!((&same.earlier, &same.accepted), (&entry.earlier, &entry.accepted), "{key}");
        }
    }
}
