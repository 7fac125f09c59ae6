use std::collections::{BTreeMap, BTreeSet};

use pflow_store::backend::{Position, WriteKind};

pub(crate) type Name = &'static str;
/// The number of a body: see [`super::bytes`].
pub(crate) type Body = u8;

/// One write of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) key: Name,
    /// None: a delete.
    pub(crate) body: Option<Body>,
    pub(crate) kind: WriteKind,
    pub(crate) when: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    Absent,
    Is(Body),
    /// A version that no object has.
    Never,
}

/// One state that a storage may be in.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct World {
    pub(crate) objects: BTreeMap<Name, Body>,
    /// Commits whose futures were dropped, by their numbers, and how far they have come.
    pub(crate) flying: BTreeMap<usize, Reached>,
    /// Copies that are written after the reply: the handle that put them, and what others may still read.
    pub(crate) lagging: BTreeMap<Name, (usize, BTreeSet<Option<Body>>)>,
}

/// How much of a batch is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reached {
    /// All stages before this one.
    pub(crate) stage: usize,
    /// These operations of this stage, as a bit set.
    pub(crate) operations: u8,
}

impl World {
    pub(crate) fn holds(&self, write: &Write) -> bool {
        let current = self.objects.get(write.key);
        match write.when {
            When::Always => true,
            When::Absent => {
                current.is_none() || write.kind == WriteKind::Immutable && current == write.body.as_ref()
            }
            When::Is(body) => current == Some(&body),
            When::Never => false,
        }
    }

    /// Returns whether another object has a name where this one needs a folder, or the other way round.
    pub(crate) fn has_no_place(&self, write: &Write) -> bool {
        let below = |this: &str, other: &str| this.strip_prefix(other).is_some_and(|it| it.starts_with('/'));
        write.body.is_some() && self.objects.keys().any(|it| below(it, write.key) || below(write.key, it))
    }

    pub(crate) fn apply(&mut self, write: &Write) {
        match write.body {
            Some(body) => self.objects.insert(write.key, body),
            None => self.objects.remove(write.key),
        };
        // A write to a key waits for the copy that is still being written there.
        self.lagging.remove(write.key);
    }

    /// Returns the first operation whose condition does not hold.
    pub(crate) fn refusal(&self, stages: &[Vec<Write>]) -> Option<Position> {
        positions(stages).find(|(_, write)| !self.holds(write)).map(|(at, _)| at)
    }

    /// Returns what a handle may read of a key, each with the state of the storage after the read.
    pub(crate) fn seen_by(&self, handle: usize, key: Name) -> Vec<(Option<Body>, Self)> {
        let now = self.objects.get(key).copied();
        let mut worlds = Vec::new();
        if let Some((owner, before)) = self.lagging.get(key)
            && *owner != handle
        {
            worlds.extend(before.iter().map(|before| (*before, self.clone())));
            // After one handle has read the new copy, all handles do.
            let mut landed = self.clone();
            landed.lagging.remove(key);
            worlds.push((now, landed));
        } else {
            worlds.push((now, self.clone()));
        }
        worlds
    }
}

pub(crate) fn positions(stages: &[Vec<Write>]) -> impl Iterator<Item = (Position, &Write)> {
    stages.iter().enumerate().flat_map(|(stage, writes)| {
        writes.iter().enumerate().map(move |(operation, write)| (Position { stage, operation }, write))
    })
}
