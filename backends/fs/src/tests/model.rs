//! What a store may hold, after all that it answered.

use std::collections::{BTreeMap, BTreeSet};

use pflow_backend::{Batch, Bytes, Operation, Version};

/// Objects by their keys.
pub(crate) type Objects = BTreeMap<String, Bytes>;

/// Everything that may be there: one state of the store for each way in which what is unknown may have come
/// out.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    possible: Vec<Objects>,
    /// What a person wrote, of which nobody says that it is durable.
    edited: BTreeSet<String>,
}

impl Model {
    /// A store that holds this.
    pub(crate) fn of(objects: Objects) -> Self {
        Self { possible: vec![objects], edited: BTreeSet::new() }
    }

    pub(crate) fn empty() -> Self {
        Self::of(Objects::new())
    }

    /// It answered that the batch is there.
    pub(crate) fn committed(&mut self, batch: &Batch) {
        self.replace(|objects| applied(objects, batch).into_iter().collect());
        for (_, operation) in batch.operations() {
            self.edited.remove(operation.key().as_str());
        }
    }

    /// It answered that a condition did not hold.
    pub(crate) fn refused(&mut self, batch: &Batch) {
        self.possible.retain(|objects| applied(objects, batch).is_none());
    }

    /// Nobody knows.
    pub(crate) fn unknown(&mut self, batch: &Batch) {
        self.replace(|objects| {
            [Some(objects.clone()), applied(objects, batch)].into_iter().flatten().collect()
        });
    }

    /// A person wrote this; the name may go with a crash.
    pub(crate) fn edited(&mut self, key: &str, bytes: &str) {
        self.replace(|objects| {
            let mut edited = objects.clone();
            edited.insert(key.to_owned(), Bytes::copy_from_slice(bytes.as_bytes()));
            vec![objects.clone(), edited]
        });
        self.edited.insert(key.to_owned());
    }

    /// What can be seen from now on is durable: the machine started again, or the store is at rest.
    pub(crate) fn is_durable(&mut self) {
        self.edited.clear();
    }

    /// This was seen, so nothing else may ever be seen, but for edits that get lost. An error in words if it
    /// may not be there.
    pub(crate) fn saw(&mut self, seen: &Objects) -> Result<(), String> {
        if !self.possible.contains(seen) {
            let closest = self.possible.iter().min_by_key(|objects| difference(objects, seen).len());
            let lines = closest.map(|objects| difference(objects, seen).join("\n  ")).unwrap_or_default();
            return Err(format!(
                "{} states are possible; the closest differs in\n  {lines}",
                self.possible.len()
            ));
        }
        if self.edited.is_empty() {
            self.possible = vec![seen.clone()];
        }
        Ok(())
    }

    /// This was seen by somebody who does not wait for what others left under way: if nothing of that is
    /// there it may come yet.
    pub(crate) fn peeked(&mut self, seen: &Objects) -> Result<(), String> {
        match self.possible.first() == Some(seen) {
            true => Ok(()),
            false => self.saw(seen),
        }
    }

    /// Whether this may be there.
    pub(crate) fn allows(&self, seen: &Objects) -> Result<(), String> {
        self.clone().saw(seen)
    }

    /// Every key that may be there.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &String> {
        self.possible.iter().flat_map(BTreeMap::keys)
    }

    /// Whether an answer contradicted another one.
    pub(crate) fn is_contradiction(&self) -> bool {
        self.possible.is_empty()
    }

    fn replace(&mut self, next: impl Fn(&Objects) -> Vec<Objects>) {
        let mut possible: Vec<Objects> = Vec::new();
        for objects in self.possible.iter().flat_map(next) {
            if !possible.contains(&objects) {
                possible.push(objects);
            }
        }
        self.possible = possible;
    }
}

/// The objects after a batch; none if a condition does not hold.
fn applied(objects: &Objects, batch: &Batch) -> Option<Objects> {
    let mut after = objects.clone();
    for (_, operation) in batch.operations() {
        let key = operation.key().as_str();
        let current = objects.get(key).map(|bytes| Version::of_content(bytes));
        if objects.get(key).is_some_and(|bytes| operation.is_stored_as(bytes)) {
            continue;
        }
        if !operation.precondition().holds(current.as_ref()) {
            return None;
        }
        match operation {
            Operation::Put { bytes, .. } => after.insert(key.to_owned(), bytes.clone()),
            Operation::Delete { .. } => after.remove(key),
        };
    }
    Some(after)
}

/// Where two states differ, in words.
pub(crate) fn difference(expected: &Objects, seen: &Objects) -> Vec<String> {
    let keys = expected.keys().chain(seen.keys());
    let mut keys: Vec<&String> = keys.filter(|key| expected.get(*key) != seen.get(*key)).collect();
    keys.sort_unstable();
    keys.dedup();
    let show = |bytes: Option<&Bytes>| match bytes {
        None => "nothing".to_owned(),
        Some(bytes) => {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(24)]);
            format!("{} bytes {start:?}", bytes.len())
        }
    };
    keys.iter()
        .map(|key| format!("{key}: expected {}, found {}", show(expected.get(*key)), show(seen.get(*key))))
        .collect()
}
