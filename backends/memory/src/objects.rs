use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound::{Excluded, Included, Unbounded},
};

use pflow_backend::{
    Batch, Bytes, Commit, Conflict, DateTime, Error, ErrorKind, Key, Listed, Meta, Object, Operation, Prefix,
    Result, Utc, Version, Versions,
};

/// The stored objects in the order of their keys, and the rules for a batch. It has no lock and no clock.
///
/// Invariant: no key is below another one.
#[derive(Default)]
pub(crate) struct Objects(BTreeMap<Key, Stored>);

struct Stored {
    bytes: Bytes,
    version: Version,
    modified: DateTime<Utc>,
}

/// A batch that is ready to be applied: the new value of each key; none if the key is removed.
pub(crate) struct Changes(Vec<Vec<(Key, Option<Stored>)>>);

impl Changes {
    /// Hashes the bytes that `batch` stores.
    pub(crate) fn of(batch: &Batch, modified: DateTime<Utc>) -> Self {
        let change = |operation: &Operation| match operation {
            Operation::Put { key, bytes, .. } => {
                let version = Version::of_content(bytes);
                (key.clone(), Some(Stored { bytes: bytes.clone(), version, modified }))
            }
            Operation::Delete { key, .. } => (key.clone(), None),
        };
        Self(batch.stages().iter().map(|stage| stage.iter().map(change).collect()).collect())
    }

    fn versions(&self) -> Versions {
        let version = |(_, stored): &(Key, Option<Stored>)| stored.as_ref().map(|it| it.version.clone());
        Versions::new(self.0.iter().map(|stage| stage.iter().map(version).collect()).collect())
    }
}

impl Objects {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Object> {
        let bytes = self.0.get(key)?.bytes.clone();
        Some(Object::new(self.stat(key)?, bytes))
    }

    pub(crate) fn stat(&self, key: &Key) -> Option<Meta> {
        let Stored { bytes, version, modified } = self.0.get(key)?;
        let (size, version) = (bytes.len() as u64, version.clone());
        Some(Meta::new(key.clone(), size, version, *modified))
    }

    /// At most `most` objects below `prefix` after `after`, in order.
    pub(crate) fn page(&self, prefix: &Prefix, after: Option<&Key>, most: usize) -> Vec<Listed> {
        let first = match prefix.key().map(first_below) {
            None => Unbounded,
            Some(Some(first)) => Included(first),
            Some(None) => return Vec::new(),
        };
        let start = match (first, after) {
            (first, None) => first,
            (Included(first), Some(after)) if *after < first => Included(first),
            (_, Some(after)) => Excluded(after.clone()),
        };
        self.0
            .range((start, Unbounded))
            .take_while(|(key, _)| prefix.contains(key))
            .take(most)
            .map(|(key, it)| Listed::new(key.clone(), it.bytes.len() as u64, it.modified))
            .collect()
    }

    /// Applies all of `changes`, which were made from `batch`, or nothing.
    pub(crate) fn commit(&mut self, batch: &Batch, changes: Changes) -> Result<Commit> {
        // Immutable objects that are stored already: they stay as they are, with their times.
        let mut kept = BTreeSet::new();
        for (at, operation) in batch.operations() {
            let stored = self.0.get(operation.key());
            if stored.is_some_and(|it| operation.is_stored_as(&it.bytes)) {
                kept.insert(operation.key());
                continue;
            }
            let current = stored.map(|it| &it.version);
            if !operation.precondition().holds(current) {
                return Ok(Commit::Conflict(Conflict::new(at, current.cloned(), 0)));
            }
        }
        // `Batch::check` has checked that the batch's own keys are not below each other.
        for (_, operation) in batch.operations() {
            if let Operation::Put { key, .. } = operation {
                self.check_place(key)?;
            }
        }
        let versions = changes.versions();
        // No step after this can fail.
        for (key, stored) in changes.0.into_iter().flatten().filter(|(key, _)| !kept.contains(key)) {
            match stored {
                Some(stored) => self.0.insert(key, stored),
                None => self.0.remove(&key),
            };
        }
        Ok(Commit::Committed(versions))
    }

    /// Refuses what a disk must refuse: an object where other objects need a folder, or below an object.
    fn check_place(&self, key: &Key) -> Result<()> {
        let refuse = |other: &Key| {
            Err(Error::not_applied(
                ErrorKind::InvalidInput,
                format!("{key} cannot exist beside {other}, which does"),
            ))
        };
        let above = key.as_str().match_indices('/').filter_map(|(at, _)| key.as_str().get(..at));
        for name in above {
            if let Some((other, _)) = Key::parse(name).ok().and_then(|name| self.0.get_key_value(&name)) {
                return refuse(other);
            }
        }
        let below = first_below(key).and_then(|first| self.0.range(first..).next());
        match below {
            Some((other, _)) if other.is_below(key) => refuse(other),
            _ => Ok(()),
        }
    }
}

/// The first possible key below `key`: `-` is the smallest byte in a segment. None if such a key would be too
/// long.
fn first_below(key: &Key) -> Option<Key> {
    Key::parse(format!("{key}/-")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::parse(name).unwrap()
    }

    fn objects(names: &[&str]) -> Objects {
        let batch = Batch::new().stage(names.iter().map(|name| Operation::put(key(name), "x")));
        let mut objects = Objects::default();
        let committed = objects.commit(&batch, Changes::of(&batch, DateTime::UNIX_EPOCH)).unwrap();
        assert!(matches!(committed, Commit::Committed(_)));
        objects
    }

    #[test]
    fn page_begins_after_its_prefix_and_the_given_key() {
        let objects = objects(&["a-b/x", "a.x", "a/-", "a/x", "a0"]);
        let page = |prefix: Prefix, after: Option<&str>, most| {
            let found = objects.page(&prefix, after.map(key).as_ref(), most);
            found.iter().map(|it| it.key.to_string()).collect::<Vec<_>>()
        };
        let a = || Prefix::parse("a").unwrap();
        assert_eq!(page(Prefix::root(), None, 2), ["a-b/x", "a.x"]);
        assert_eq!(page(Prefix::root(), Some("a.x"), 2), ["a/-", "a/x"]);
        assert_eq!(page(a(), None, 9), ["a/-", "a/x"]);
        assert_eq!(page(a(), Some("a-b"), 9), ["a/-", "a/x"]);
        assert_eq!(page(a(), Some("a/-"), 9), ["a/x"]);
        assert!(page(a(), Some("a0"), 9).is_empty());
    }

    #[test]
    fn immutable_object_that_is_stored_keeps_its_time() {
        let put = |name: &str| Operation::put(key(name), "x").immutable();
        let mut objects = objects(&["a"]);
        let batch = Batch::new().stage([put("a"), put("b")]);
        let later = DateTime::from_timestamp_millis(7).unwrap();
        let committed = objects.commit(&batch, Changes::of(&batch, later)).unwrap();
        assert!(matches!(committed, Commit::Committed(_)));
        let times = ["a", "b"].map(|name| objects.stat(&key(name)).unwrap().modified);
        assert_eq!(times, [DateTime::UNIX_EPOCH, later]);
    }

    #[test]
    fn prefix_too_long_for_any_key_is_empty() {
        let long = [&"x".repeat(255), &"x".repeat(254), "y"].map(key);
        let long = long.map(|it| it.to_string()).join("/");
        assert!(objects(&["a"]).page(&Prefix::parse(long).unwrap(), None, 9).is_empty());
    }

    #[test]
    fn keys_above_and_below_objects_are_refused() {
        let objects = objects(&["a/b/c", "a/b-c"]);
        for name in ["a", "a/b", "a/b/c/d", "a/b-c/d"] {
            let refused = objects.check_place(&key(name)).unwrap_err();
            assert!(refused.to_string().starts_with(name), "{refused}");
        }
        for name in ["a-b", "a/b.c", "a/b/d", "a/b/c"] {
            objects.check_place(&key(name)).unwrap();
        }
    }
}
