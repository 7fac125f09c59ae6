use pflow_backend::{Batch, Key, Operation, Version};

use crate::{
    Result,
    format::{Ancestor, Head, VersionId, keys},
    repo::{Objects, StoredHead, corrupt},
};

/// A swap of the head that nobody has told the fate of: its reply got lost, or it was refused in a way that
/// may be a conflict with itself.
///
/// Invariant: every attempt names the version of the head that it replaces, and no version of a head ever
/// comes back, because each rewrite has a fresh nonce. So as soon as a read shows any head other than the
/// named one, the attempt has happened or never will, and it has happened if and only if its own version is
/// in the chain. Nothing else decides it: no clock, no error code, no guess. This is the protocol of
/// Icechunk's and Delta's commit checks, with the chain in the place of a log. A person can put back an older
/// head, and then the version of an attempt that did happen is not in the chain: so its versions are deleted
/// only if the head has reached their generation by another version.
///
/// While the head is still the named one, a further attempt on top of it settles this one: only one of the
/// two can land.
#[derive(Debug, Clone)]
pub(crate) struct Unsettled {
    /// What the swap named; none: that there is no head.
    pub(crate) named: Option<Version>,
    /// What it would put there.
    pub(crate) head: Head,
    /// What it put there before; garbage if it did not land.
    pub(crate) fresh: Vec<Key>,
    /// What was to follow it: the copies, the mirror of the lease, the record of a break.
    pub(crate) after: Vec<Operation>,
}

/// What a look at the head says of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is in place, or was and has been built upon.
    Landed,
    /// It never was and never will be: the head reached its generation by another version.
    Dead,
    /// The head has changed, so it cannot land any more, and the head has not reached its generation. It is
    /// not certain that it never was in place: a person may have put back an older head over it. So its
    /// versions stay.
    Superseded,
    /// The head is still the one that it named: it may land yet.
    Open,
}

/// What the head alone says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ByHead {
    Decided(Fate),
    /// Its generation is further back than the head remembers: whether it is `version_id` is to be read
    /// behind the `oldest`.
    Further {
        generation: u64,
        version_id: VersionId,
        oldest: Ancestor,
    },
}

fn told(landed: bool) -> Fate {
    if landed { Fate::Landed } else { Fate::Dead }
}

impl Unsettled {
    /// What the head, as it was read after the attempt, says of it.
    ///
    /// # Errors
    /// The chain cannot be read back so far.
    pub(crate) async fn fate(&self, objects: &Objects, stored: &StoredHead) -> Result<Fate> {
        let (generation, version_id, oldest) = match self.fate_by_head(stored) {
            ByHead::Decided(fate) => return Ok(fate),
            ByHead::Further { generation, version_id, oldest } => (generation, version_id, oldest),
        };
        let mut walk = objects.walk(&self.head.id, &oldest);
        while let Some(version) = walk.parent(objects).await? {
            if version.record.generation <= generation {
                return Ok(told(version.record.version_id == version_id));
            }
        }
        Err(corrupt(
            &keys::head(&self.head.id),
            format!("its chain cannot be read back to generation {generation}"),
        ))
    }

    /// The same as far as the head itself remembers. Pure, so that every case can be tried.
    pub(crate) fn fate_by_head(&self, stored: &StoredHead) -> ByHead {
        if self.is_open(stored) {
            return ByHead::Decided(Fate::Open);
        }
        if stored.head.nonce == self.head.nonce {
            return ByHead::Decided(Fate::Landed);
        }
        let Some(ours) = self.head.current.as_ref().filter(|_| !self.fresh.is_empty()) else {
            // A lease alone: it is ours by its id, or it is not ours any more, which comes to the same as
            // never.
            let id = |head: &Head| head.lease.as_ref().map(|lease| lease.id.clone());
            return ByHead::Decided(told(id(&self.head).is_some() && id(&stored.head) == id(&self.head)));
        };
        let (generation, version_id) = (ours.record.generation, &ours.record.version_id);
        let Some(current) = stored.head.current.as_ref().filter(|now| now.record.generation >= generation)
        else {
            return ByHead::Decided(Fate::Superseded);
        };
        let mut oldest = Ancestor::of(&current.record, current.record_hash);
        for ancestor in current.lineage() {
            if ancestor.generation == generation {
                return ByHead::Decided(told(ancestor.version_id == *version_id));
            }
            oldest = ancestor;
        }
        ByHead::Further { generation, version_id: version_id.clone(), oldest }
    }

    /// Whether the swap may land yet: the head still has the version that the swap named.
    pub(crate) fn is_open(&self, stored: &StoredHead) -> bool {
        stored.version == self.named
    }

    /// Deletes what a dead attempt left. What cannot be deleted stays until it is collected.
    pub(crate) async fn clear(self, objects: &Objects) {
        if self.fresh.is_empty() {
            return;
        }
        let garbage = Batch::new().stage(self.fresh.into_iter().map(Operation::delete));
        if let Err(error) = objects.backend.commit(garbage).await {
            tracing::debug!(id = %self.head.id, %error, "garbage of a lost attempt stays until it is collected");
        }
    }
}
