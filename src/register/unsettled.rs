use pflow_backend::{Batch, Key, Operation, Version};

use crate::{
    Result,
    format::{Ancestor, Head, VersionId, keys},
    repo::{Objects, StoredHead, corrupt},
};

/// A swap of the head whose outcome is unknown: its reply was lost, or it was refused in a way that may be a
/// conflict with itself.
///
/// Invariant: every attempt names the version of the head that it replaces, and no version of a head ever
/// recurs, because each rewrite has a fresh nonce. So once a read returns any head other than the named one,
/// the attempt has landed or never will, and it has landed if and only if its own version is in the chain.
/// Nothing else decides this: no clock and no error code. Icechunk and Delta check their commits with the
/// same protocol; the chain takes the place of their log. A person can restore an older head; then the
/// version of an attempt that did land is not in the chain. So the versions of an attempt are deleted only if
/// the head has reached their generation by another version.
///
/// While the head is still the named one, a further attempt on top of it settles this one: only one of the
/// two can land.
#[derive(Debug, Clone)]
pub(crate) struct Unsettled {
    /// The version that the swap named; none: the head did not exist.
    pub(crate) named: Option<Version>,
    /// The head that it writes.
    pub(crate) head: Head,
    /// The objects that it wrote before the head; garbage if it did not land.
    pub(crate) fresh: Vec<Key>,
    /// The objects to write after it: the copies, the mirror of the lease, the record of a break.
    pub(crate) after: Vec<Operation>,
}

/// The outcome of an attempt, as decided by a read of the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is in place, or was and later changes build on it.
    Landed,
    /// It did not land and never will: the head reached its generation by another version.
    Dead,
    /// The head has changed, so the attempt cannot land any more, but the head has not reached its
    /// generation. The attempt may have landed before a person restored an older head over it. So its
    /// versions are kept.
    Superseded,
    /// The head is still the one that the attempt named: it may still land.
    Open,
}

/// The part of the outcome that the head alone decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ByHead {
    Decided(Fate),
    /// The generation is older than the head remembers: the chain must be read behind `oldest` to see whether
    /// it has `version_id`.
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
    /// Returns the outcome of the attempt according to the head, which was read after it.
    ///
    /// # Errors
    /// The chain cannot be read back that far.
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

    /// Decides the outcome as far as the head itself remembers. Pure, so that tests can cover every case.
    pub(crate) fn fate_by_head(&self, stored: &StoredHead) -> ByHead {
        if self.is_open(stored) {
            return ByHead::Decided(Fate::Open);
        }
        if stored.head.nonce == self.head.nonce {
            return ByHead::Decided(Fate::Landed);
        }
        let Some(ours) = self.head.current.as_ref().filter(|_| !self.fresh.is_empty()) else {
            // The attempt changed a lease only. The lease is ours by its id. If it no longer is, that has the
            // same consequences as a swap that never landed.
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

    /// Whether the swap may still land: the head still has the version that the swap named.
    pub(crate) fn is_open(&self, stored: &StoredHead) -> bool {
        stored.version == self.named
    }

    /// Deletes the objects of a dead attempt. What cannot be deleted remains until garbage collection.
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
