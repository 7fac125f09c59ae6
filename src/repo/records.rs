use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    document::ContentHash,
    format::{VersionId, VersionRecord, VersionRef},
};

/// How many records are cached. A record has about a KiB.
const KNOWN: usize = 4096;

/// The records that this process wrote or read last, each with the hash of its line.
///
/// A record never changes and every reference to it has its hash, so a cached one with that hash is as good as
/// a stored one: it tells what the version was, not whether its object is still there.
#[derive(Debug, Default)]
pub(super) struct KnownRecords(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    records: HashMap<VersionId, (ContentHash, Arc<VersionRecord>)>,
    /// In the order of insertion.
    order: VecDeque<VersionId>,
}

impl KnownRecords {
    /// Returns the record that `named` refers to, if it is cached.
    pub(super) fn get(&self, named: &VersionRef) -> Option<Arc<VersionRecord>> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (hash, record) = inner.records.get(&named.version_id)?;
        let is_named = *hash == named.record_hash && record.generation == named.generation;
        is_named.then(|| Arc::clone(record))
    }

    /// Whether a record of this version id is cached.
    pub(super) fn has(&self, version_id: &VersionId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).records.contains_key(version_id)
    }

    /// Adds a record and evicts the oldest ones.
    pub(super) fn keep(&self, record: Arc<VersionRecord>, hash: ContentHash) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let version_id = record.version_id;
        if inner.records.insert(version_id, (hash, record)).is_some() {
            return;
        }
        inner.order.push_back(version_id);
        while inner.order.len() > KNOWN {
            let Some(oldest) = inner.order.pop_front() else { break };
            inner.records.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::version::tests::record;

    fn named(generation: u64, line: &[u8]) -> VersionRef {
        let version_id = VersionId::parse(format!("{generation:026}")).unwrap();
        VersionRef::to(&VersionRecord { version_id, ..record(generation, b"") }, ContentHash::of(line))
    }

    #[test]
    fn latest_records_are_cached_and_found_by_their_hash() {
        let known = KnownRecords::default();
        for generation in 1..=2 * KNOWN as u64 {
            let one = Arc::new(record(generation, b"{}"));
            known.keep(one.clone(), ContentHash::of(b"line"));
            known.keep(one, ContentHash::of(b"line"));
        }
        let (evicted, kept) = (KNOWN as u64, KNOWN as u64 + 1);
        assert!(known.get(&named(evicted, b"line")).is_none() && !known.has(&named(evicted, b"").version_id));
        assert_eq!(known.get(&named(kept, b"line")).as_deref(), Some(&record(kept, b"{}")));
        assert!(known.get(&named(kept, b"other")).is_none() && known.has(&named(kept, b"").version_id));
        let inner = known.0.lock().unwrap();
        assert_eq!((inner.records.len(), inner.order.len()), (KNOWN, KNOWN));
    }
}
