//! Tracks the grants that this process is requesting, guarding or releasing, by name.

use std::{
    pin::pin,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use pflow_backend::Identity;
use tokio::sync::Notify;

use super::shared_by_key::SharedByKey;
use crate::{
    Error,
    format::{LeaseId, WorkflowId},
    repo::Objects,
};

/// The grants of one store that this process is working on. All handles of the store share them.
///
/// A grant is identified by its name: the workflow and the lease id, which a caller may choose. So two
/// callers can refer to the same grant, and neither may release it under the other.
///
/// Invariants, within one process:
/// - A request for a name starts after every release of that name that started earlier has ended, and ends
///   before the next request for it starts. So no request is answered with a lease that is being released.
/// - A name has at most one guard.
#[derive(Debug, Default)]
pub(super) struct Grants {
    names: SharedByKey<(WorkflowId, LeaseId), Name>,
    /// A release by this process is in doubt and is not settled: it may land at any later time.
    in_doubt: AtomicBool,
}

/// The identity of one store within one process. The location tells copies of a store apart, and the identity
/// tells apart the machines that a test simulates.
#[derive(Debug, PartialEq, Eq, Hash)]
struct StoreKey {
    location: String,
    store_id: String,
    identity: Identity,
}

/// The stores that are open in this process.
static OPEN: LazyLock<SharedByKey<StoreKey, Grants>> = LazyLock::new(SharedByKey::default);
/// The grants of stores with a release in doubt. They are kept so that a handle that is opened later knows
/// about it too.
static IN_DOUBT: Mutex<Vec<Arc<Grants>>> = Mutex::new(Vec::new());

#[derive(Debug, Default)]
struct Name {
    state: Mutex<NameState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct NameState {
    /// A request for the name is in progress.
    asked: bool,
    /// The name has a guard.
    guarded: bool,
    /// The number of releases in progress.
    leaving: usize,
}

/// The exclusive right to request a name, until it is dropped.
#[derive(Debug)]
pub(super) struct Asking(Arc<Name>);

/// The guard of a name, until it is dropped.
#[derive(Debug)]
pub(super) struct Guarded(Arc<Name>);

/// A release of a name in progress. No request for the name starts until this is dropped.
#[derive(Debug)]
pub(super) struct Leaving {
    grants: Arc<Grants>,
    name: Arc<Name>,
    /// The outcome of the release is known.
    settled: AtomicBool,
}

impl Grants {
    /// Returns the grants of the store with this id. If the backend cannot identify its location, they are
    /// not shared with other handles.
    pub(super) fn of_store(objects: &Objects, store_id: &str) -> Arc<Self> {
        let Some(location) = objects.backend.location_id() else { return Arc::default() };
        let identity = objects.environment.identity().clone();
        OPEN.of(StoreKey { location, store_id: store_id.to_owned(), identity })
    }

    /// Waits until no other request for the name and no release of it is in progress.
    pub(super) async fn ask(&self, id: &WorkflowId, lease_id: &LeaseId) -> Asking {
        let name = self.name(id, lease_id);
        loop {
            let mut changed = pin!(name.changed.notified());
            // IMPORTANT: register for the notification before checking the state; otherwise a change in
            // between is missed.
            changed.as_mut().enable();
            if name.begin() {
                return Asking(name.clone());
            }
            changed.await;
        }
    }

    /// Waits until no release of the name is in progress, and no request that may end in a release.
    pub(super) async fn rest(&self, id: &WorkflowId, lease_id: &LeaseId) {
        drop(self.ask(id, lease_id).await);
    }

    /// Marks a release of the name as in progress.
    pub(super) fn leave(self: &Arc<Self>, id: &WorkflowId, lease_id: &LeaseId) -> Leaving {
        let name = self.name(id, lease_id);
        name.lock().leaving += 1;
        Leaving { grants: self.clone(), name, settled: AtomicBool::new(false) }
    }

    /// Whether a release in doubt may still land.
    pub(super) fn have_doubts(&self) -> bool {
        self.in_doubt.load(Ordering::Acquire)
    }

    fn name(&self, id: &WorkflowId, lease_id: &LeaseId) -> Arc<Name> {
        self.names.of((id.clone(), lease_id.clone()))
    }
}

impl Name {
    /// Starts a request if the name is free.
    fn begin(&self) -> bool {
        let mut state = self.lock();
        let free = !state.asked && state.leaving == 0;
        state.asked |= free;
        free
    }

    fn change(&self, change: impl FnOnce(&mut NameState)) {
        change(&mut self.lock());
        self.changed.notify_waiters();
    }

    /// Never held across an await.
    fn lock(&self) -> MutexGuard<'_, NameState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking {
    /// Creates a guard of the name; none if it has one. No other caller can add one during this request.
    pub(super) fn guard(&self) -> Option<Guarded> {
        let mut state = self.0.lock();
        let is_free = !std::mem::replace(&mut state.guarded, true);
        is_free.then(|| Guarded(self.0.clone()))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.change(|state| state.asked = false);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.0.change(|state| state.guarded = false);
    }
}

impl Leaving {
    /// Records how the release ended.
    pub(super) fn ended<T>(&self, result: &Result<T, Error>) {
        if !matches!(result, Err(Error::OutcomeUnknown { .. })) {
            self.settled.store(true, Ordering::Release);
        }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.settled.load(Ordering::Acquire) && !self.grants.in_doubt.swap(true, Ordering::AcqRel) {
            IN_DOUBT.lock().unwrap_or_else(PoisonError::into_inner).push(self.grants.clone());
        }
        self.name.change(|state| state.leaving = state.leaving.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, poll};
    use pflow_backend::{Environment, ManualEnvironment};

    use super::*;

    fn names() -> (WorkflowId, LeaseId) {
        (WorkflowId::parse("a").unwrap(), LeaseId::parse("mine").unwrap())
    }

    #[tokio::test]
    async fn requests_for_one_lease_id_are_serialized() {
        let (grants, (id, mine)) = (Arc::new(Grants::default()), names());
        let first = grants.ask(&id, &mine).await;
        let mut second = Box::pin(grants.ask(&id, &mine));
        assert!(poll!(&mut second).is_pending());
        let other = LeaseId::parse("other").unwrap();
        assert!(grants.ask(&id, &other).now_or_never().is_some(), "another name does not wait");
        let leaving = grants.leave(&id, &mine);
        drop(first);
        assert!(poll!(&mut second).is_pending(), "it is being given back");
        leaving.ended(&Ok(()));
        drop(leaving);
        assert!(poll!(&mut second).is_ready());
        assert!(!grants.have_doubts());
    }

    #[tokio::test]
    async fn lease_has_at_most_one_guard() {
        let (grants, (id, mine)) = (Arc::new(Grants::default()), names());
        let guarded = grants.ask(&id, &mine).await.guard();
        assert!(guarded.is_some() && grants.ask(&id, &mine).await.guard().is_none());
        drop(guarded);
        assert!(grants.ask(&id, &mine).await.guard().is_some());
    }

    #[tokio::test]
    async fn release_in_doubt_is_remembered_until_the_process_ends() {
        let (id, mine) = names();
        let environment = ManualEnvironment::new(1);
        let grants = |location: &str| {
            let identity = environment.identity().clone();
            OPEN.of(StoreKey { location: location.to_owned(), store_id: "s".to_owned(), identity })
        };
        drop(grants("doubted").leave(&id, &mine));
        let settled = grants("settled").leave(&id, &mine);
        settled.ended(&Ok(()));
        drop(settled);
        assert!(grants("doubted").have_doubts());
        assert!(!grants("settled").have_doubts());
    }
}
