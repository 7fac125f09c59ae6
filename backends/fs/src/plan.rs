//! One batch held against what is there: the files, under what the journal says, under the batches before it
//! in the same group.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Mutex, PoisonError},
};

use pflow_backend::{
    Batch, Conflict, DateTime, Error, ErrorKind, Key, Operation, Position, Precondition, Result, Utc,
    Version, Versions, WriteKind,
};
use rustix::fs::FileType;

use crate::{
    current::{bytes_of, edited, value_is_gone},
    error::{special_file, symbolic_link},
    files::{hash, split},
    folder::{Folder, Step, Walk},
    journal::record::{Before, Change, Content, Value},
    overlay::{Entry, Overlay},
    root::Root,
    values::Keeper,
    view::View,
};

/// What the look at a batch brought.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Every condition holds.
    Ready {
        /// What changes, in the batch's order. A delete of nothing and an immutable object that is there
        /// change nothing.
        changes: Vec<Change>,
        /// What the objects of the batch are called: by their bytes.
        versions: Versions,
    },
    Conflict(Conflict),
}

/// What a key held, for an operation that may happen.
#[derive(Debug)]
enum Found {
    /// The operation changes it.
    Before(Before),
    /// It has the bytes of the immutable object already, which are called this.
    Stored(Version),
}

/// The batches of a group that were found good so far, over everything else.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    root: &'a Root,
    view: &'a Mutex<View>,
    earlier: Overlay,
    time: DateTime<Utc>,
    /// Folders that batches of this group have been to: many go to the same ones.
    folders: HashMap<String, Folder>,
}

/// How many folders stay open while a group is looked at.
const KEPT_OPEN: usize = 64;

impl<'a> Group<'a> {
    pub(crate) fn new(root: &'a Root, view: &'a Mutex<View>, time: DateTime<Utc>) -> Self {
        Self { root, view, earlier: Overlay::default(), time, folders: HashMap::new() }
    }

    /// Looks at every condition and every place. The caller holds the lock, so what it finds stays, but for
    /// hands that know no lock. A batch that is found good stands over the others from then on; of one that
    /// is not, nothing stays.
    ///
    /// # Errors
    /// A key cannot have its place: an object is where it needs a folder or the other way round, or a link or
    /// another file system is in the way; or a large object could not be kept.
    pub(crate) fn plan(&mut self, batch: &Batch, keeper: &mut Keeper<'_>) -> Result<Plan> {
        let mut found = Vec::new();
        for (at, operation) in batch.operations() {
            match self.look(at, operation)? {
                Ok(before) => found.push((operation, before)),
                Err(conflict) => return Ok(Plan::Conflict(conflict)),
            }
        }
        let mut changes = Vec::with_capacity(found.len());
        let mut names = Vec::with_capacity(found.len());
        for (operation, found) in found {
            let key = operation.key().clone();
            let before = match found {
                Found::Before(before) => before,
                Found::Stored(version) => {
                    names.push(Some(version));
                    continue;
                }
            };
            let after = match operation {
                Operation::Put { bytes, kind, .. } => Some((*kind, keeper.value(bytes)?)),
                Operation::Delete { .. } => None,
            };
            names.push(after.as_ref().map(|(_, value)| value.version.clone()));
            // A delete of nothing changes nothing.
            if after.is_some() || before != Before::Absent {
                changes.push(Change { key, before, after });
            }
        }
        // IMPORTANT: nothing can fail behind this, so that no later batch of the group builds on one that did
        // not happen.
        keeper.sync()?;
        for change in &changes {
            self.take_in(change);
        }
        let mut names = names.into_iter();
        let stages = batch.stages().iter().map(|stage| names.by_ref().take(stage.len()).collect());
        Ok(Plan::Ready { changes, versions: Versions::new(stages.collect()) })
    }

    /// What the key holds, as far as anybody has to know, if the condition holds.
    fn look(&mut self, at: Position, operation: &Operation) -> Result<std::result::Result<Found, Conflict>> {
        let (key, when) = (operation.key(), operation.precondition());
        let entry = self.entry(key);
        let must_know = match operation {
            Operation::Put { kind, .. } => *when != Precondition::Always || *kind == WriteKind::Copy,
            Operation::Delete { .. } => true,
        };
        let place = match (&entry, operation) {
            // Where an object is, one can be.
            (Some(Entry { now: Some(_), .. }), _) => Place::Unseen,
            (_, Operation::Put { .. }) => self.place_for(key, entry.as_ref())?,
            (_, Operation::Delete { .. }) => Place::Unseen,
        };
        if !must_know {
            return Ok(Ok(Found::Before(Before::Unknown)));
        }
        let current = match (&entry, place) {
            (None, Place::Free) => None,
            (None, _) => hash(self.root.folder(), key)?.map(|(version, ..)| version),
            (Some(entry), _) => self.under(key, entry)?,
        };
        if when.holds(current.as_ref()) {
            return Ok(Ok(Found::Before(current.map_or(Before::Absent, Before::Was))));
        }
        // A version is the hash of the bytes, so equal versions are equal bytes.
        let stored = match operation {
            Operation::Put { bytes, kind: WriteKind::Immutable, .. } => {
                current.clone().filter(|current| *current == Version::of_content(bytes))
            }
            _ => None,
        };
        match stored {
            Some(version) => {
                self.check_readable(key, entry.and_then(|entry| entry.now))?;
                Ok(Ok(Found::Stored(version)))
            }
            None => Ok(Err(Conflict::new(at, current, 0))),
        }
    }

    /// Refuses a value that the journal names and whose bytes are gone or damaged, for an operation that is
    /// answered as done because of it. A file was read for its version, and the journal's own bytes are
    /// checked when they are read.
    fn check_readable(&self, key: &Key, value: Option<Value>) -> Result<()> {
        let root = self.root.folder();
        match value {
            Some(value) if matches!(value.content, Content::Kept { .. }) => {
                bytes_of(root, &value)?.map(drop).ok_or_else(|| value_is_gone(root, key))
            }
            _ => Ok(()),
        }
    }

    fn under(&self, key: &Key, entry: &Entry) -> Result<Option<Version>> {
        let edit = edited(self.root.folder(), key, entry)?.map(|(_, version, _)| version);
        Ok(edit.or_else(|| entry.now.as_ref().map(|value| value.version.clone())))
    }

    fn entry(&self, key: &Key) -> Option<Entry> {
        self.earlier
            .get(key)
            .cloned()
            .or_else(|| self.view.lock().unwrap_or_else(PoisonError::into_inner).overlay.get(key).cloned())
    }

    fn take_in(&mut self, change: &Change) {
        if self.earlier.get(&change.key).is_none()
            && let Some(entry) = self.entry(&change.key)
        {
            self.earlier.adopt(change.key.clone(), entry);
        }
        self.earlier.apply(change, self.time);
    }

    /// Whether the journal says of a key that an object is there, or that none is; none if it says nothing.
    fn says(&self, key: &Key) -> Option<bool> {
        let said = |entry: &Entry| entry.now.is_some();
        self.earlier
            .get(key)
            .map(said)
            .or_else(|| self.view.lock().unwrap_or_else(PoisonError::into_inner).overlay.get(key).map(said))
    }

    /// Looks for what is in the way of an object under `key`.
    fn place_for(&mut self, key: &Key, entry: Option<&Entry>) -> Result<Place> {
        for (at, _) in key.as_str().match_indices('/') {
            let above = key.as_str().get(..at).and_then(|name| Key::parse(name).ok());
            if let Some(above) = above.filter(|above| self.says(above) == Some(true)) {
                return Err(self.beside(key, above.as_str()));
            }
        }
        if let Some(below) = self.first_below(key) {
            return Err(self.beside(key, below.as_str()));
        }
        let (path, name) = key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()));
        if let Some(folder) = self.folders.get(path) {
            return self.look_at(folder, key, name, entry);
        }
        match self.root.folder().walk(split(key).0)? {
            Walk::There(folder) => {
                self.check_device(&folder)?;
                if self.folders.len() < KEPT_OPEN {
                    self.folders.insert(path.to_owned(), folder.clone());
                }
                self.look_at(&folder, key, name, entry)
            }
            Walk::Missing(deepest) => self.check_device(&deepest).map(|()| Place::Free),
            Walk::Blocked(path, FileType::RegularFile) => match self.key_of(&path) {
                Some(file) if self.says(&file) == Some(false) => Ok(Place::Free),
                _ => Err(self.beside(key, &self.name_of(&path))),
            },
            Walk::Blocked(path, _) => Err(special_file(&path)),
        }
    }

    fn look_at(&self, folder: &Folder, key: &Key, name: &str, entry: Option<&Entry>) -> Result<Place> {
        let Some(status) = folder.look(name)? else { return Ok(Place::Free) };
        match status.kind {
            FileType::RegularFile if entry.is_some() => Ok(Place::Free),
            FileType::RegularFile => self.check_mount(folder, Some(name)).map(|()| Place::Unseen),
            FileType::Symlink => Err(symbolic_link(&folder.path_of(name))),
            FileType::Directory => {
                let is_deleted =
                    |path: &Path| self.key_of(path).is_some_and(|key| self.says(&key) == Some(false));
                let inhabitant = match folder.step(name)? {
                    Step::Folder(below) => below.first_inhabitant(&is_deleted)?,
                    Step::Missing => None,
                    Step::Other(_) => Some(folder.path_of(name)),
                };
                match inhabitant {
                    Some(path) => Err(self.beside(key, &self.name_of(&path))),
                    None => Ok(Place::Free),
                }
            }
            _ => Err(special_file(&folder.path_of(name))),
        }
    }

    /// An object below `key` of which the journal knows.
    fn first_below(&self, key: &Key) -> Option<Key> {
        let live = |(key, entry): (&Key, &Entry)| entry.now.is_some().then(|| key.clone());
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |(key, entry): &(&Key, &Entry)| {
            self.earlier.get(key).map_or(entry.now.is_some(), |newer| newer.now.is_some())
        };
        self.earlier
            .below(key.as_str())
            .find_map(live)
            .or_else(|| view.overlay.below(key.as_str()).find(known).map(|(key, _)| key.clone()))
    }

    /// Refuses a folder of another file system or another mount: a file gets its place by a move, which works
    /// within one mount only.
    fn check_device(&self, folder: &Folder) -> Result<()> {
        if folder.id()?.device != self.root.id().device {
            return Err(self.elsewhere(folder.path()));
        }
        self.check_mount(folder, None)
    }

    /// Refuses what is reached through another mount than the root, even if the file system is the same (a
    /// bind mount).
    fn check_mount(&self, folder: &Folder, name: Option<&str>) -> Result<()> {
        match (self.root.mount(), folder.mount(name)?) {
            (Some(root), Some(mount)) if root != mount => {
                Err(self
                    .elsewhere(&name.map_or_else(|| folder.path().to_owned(), |name| folder.path_of(name))))
            }
            _ => Ok(()),
        }
    }

    fn elsewhere(&self, path: &Path) -> Error {
        let (path, root) = (path.display(), self.root.path().display());
        let what = format!(
            "{path} is on another file system or mount than {root}; nothing can be moved there in one step. Unmount it, or keep the \
             store elsewhere"
        );
        Error::not_applied(ErrorKind::Unsafe, what)
    }

    fn name_of(&self, path: &Path) -> String {
        path.strip_prefix(self.root.path()).unwrap_or(path).display().to_string()
    }

    fn key_of(&self, path: &Path) -> Option<Key> {
        Key::parse(self.name_of(path)).ok()
    }

    fn beside(&self, key: &Key, other: &str) -> Error {
        let what = format!("{key} cannot exist beside {other} in {}", self.root.path().display());
        Error::not_applied(ErrorKind::InvalidInput, what)
    }
}

/// What the look at a key's place brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// No file that counts is there.
    Free,
    /// A file may be there.
    Unseen,
}
