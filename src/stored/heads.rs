use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use super::{StoredHead, WorkflowId};

/// So many heads are known at a time. A head has a few KiB.
const KNOWN: usize = 1024;

/// The heads that this process read or wrote last.
///
/// Never trusted: whoever uses one names its version in a swap, which fails if it is old.
#[derive(Debug, Default)]
pub(super) struct KnownHeads(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    heads: HashMap<WorkflowId, Arc<StoredHead>>,
    /// The ids in the order in which they came, at least once each.
    order: VecDeque<WorkflowId>,
}

impl KnownHeads {
    pub(super) fn get(&self, id: &WorkflowId) -> Option<Arc<StoredHead>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).heads.get(id).cloned()
    }

    /// The oldest make room. A head that was read may be older than one that was written meanwhile; the higher revision stays.
    pub(super) fn keep(&self, stored: StoredHead) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = stored.head.id.clone();
        match inner.heads.get_mut(&id) {
            Some(known) if known.head.revision > stored.head.revision => {}
            Some(known) => *known = Arc::new(stored),
            None => {
                inner.heads.insert(id.clone(), Arc::new(stored));
                inner.order.push_back(id);
                while inner.order.len() > KNOWN {
                    if let Some(oldest) = inner.order.pop_front() {
                        inner.heads.remove(&oldest);
                    }
                }
            }
        }
    }

    pub(super) fn forget(&self, id: &WorkflowId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).heads.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use pflow_backend::Version;

    use super::*;
    use crate::stored::Head;

    fn stored(name: &str, revision: u64) -> StoredHead {
        let head = Head { revision, ..Head::new(WorkflowId::parse(name).unwrap()) };
        StoredHead { head, version: Some(Version::new(format!("{name}{revision}"))) }
    }

    #[test]
    fn the_newest_state_of_the_latest_heads_is_known() {
        let (known, id) = (KnownHeads::default(), |name: &str| WorkflowId::parse(name).unwrap());
        known.keep(stored("a", 2));
        known.keep(stored("a", 1));
        assert_eq!(known.get(&id("a")).as_deref(), Some(&stored("a", 2)));
        known.forget(&id("a"));
        assert_eq!(known.get(&id("a")), None);
        for n in 0..2 * KNOWN {
            known.keep(stored(&format!("w{n}"), 1));
            // What was forgotten and comes again must not pile up.
            known.forget(&id("again"));
            known.keep(stored("again", 1));
        }
        let inner = known.0.lock().unwrap();
        assert!(inner.heads.len() <= KNOWN && inner.order.len() <= KNOWN);
        assert!(inner.heads.contains_key(&id(&format!("w{}", 2 * KNOWN - 1))));
    }
}
