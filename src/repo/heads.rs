use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use super::StoredHead;
use crate::format::WorkflowId;

/// How many heads are cached. A head has a few KiB.
const KNOWN: usize = 1024;

/// The heads that this process read or wrote last.
///
/// A cached head is never trusted. It is used in a swap, which fails if the head is outdated, or for a fact
/// that stays true once it was true (for a fold: that a version of this process is in place).
#[derive(Debug, Default)]
pub(super) struct KnownHeads(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    heads: HashMap<WorkflowId, (u64, Arc<StoredHead>)>,
    /// The ids in the order of insertion, each with its insertion number. An older entry of an id that was
    /// inserted again is ignored.
    order: VecDeque<(u64, WorkflowId)>,
    came: u64,
}

impl KnownHeads {
    pub(super) fn get(&self, id: &WorkflowId) -> Option<Arc<StoredHead>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .heads
            .get(id)
            .map(|(_, stored)| Arc::clone(stored))
    }

    /// Adds a head and evicts the oldest ones. A head that was read may be older than one that was written
    /// meanwhile; the higher revision is kept.
    pub(super) fn keep(&self, stored: StoredHead) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = stored.head.id.clone();
        match inner.heads.get_mut(&id) {
            Some((_, known)) if known.head.revision > stored.head.revision => {}
            Some((_, known)) => *known = Arc::new(stored),
            None => {
                inner.came += 1;
                let came = inner.came;
                inner.heads.insert(id.clone(), (came, Arc::new(stored)));
                inner.order.push_back((came, id));
                while inner.order.len() > KNOWN {
                    let Some((came, oldest)) = inner.order.pop_front() else { break };
                    if inner.heads.get(&oldest).is_some_and(|(number, _)| *number == came) {
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
    use crate::format::Head;

    fn stored(name: &str, revision: u64) -> StoredHead {
        let head = Head { revision, ..Head::new(WorkflowId::parse(name).unwrap()) };
        StoredHead { head, version: Some(Version::new(format!("{name}{revision}"))) }
    }

    #[test]
    fn newest_state_of_the_latest_heads_is_cached() {
        let (known, id) = (KnownHeads::default(), |name: &str| WorkflowId::parse(name).unwrap());
        known.keep(stored("a", 2));
        known.keep(stored("a", 1));
        assert_eq!(known.get(&id("a")).as_deref(), Some(&stored("a", 2)));
        known.forget(&id("a"));
        assert_eq!(known.get(&id("a")), None);
        for n in 0..2 * KNOWN {
            known.keep(stored(&format!("w{n}"), 1));
            // Ids that are forgotten and inserted again must not accumulate in `order`.
            known.forget(&id("again"));
            known.keep(stored("again", 1));
            assert!(known.get(&id("again")).is_some(), "what came last is known, however often it came");
        }
        let inner = known.0.lock().unwrap();
        assert!(inner.heads.len() <= KNOWN && inner.order.len() <= KNOWN);
        assert!(inner.heads.contains_key(&id(&format!("w{}", 2 * KNOWN - 1))));
    }
}
