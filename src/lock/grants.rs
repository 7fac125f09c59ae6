//! Which grants of a store this process asks for, guards and gives back just now, by their names.

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

/// The grants of one store that something is done about in this process. All handles of the store share them.
///
/// A grant is found again by its name: the workflow and the lease id, which a caller may choose. So two
/// callers can mean one grant, and what one of them does must not take it from the other.
///
/// Invariants, within one process:
/// - A request for a name begins after every release of that name that had begun before it, and ends before
///   the next request for it begins. So no request is answered by a lease that is being given back.
/// - A name has one guard at most.
#[derive(Debug, Default)]
pub(super) struct Grants {
    names: SharedByKey<(WorkflowId, LeaseId), Name>,
    /// A release of this process ended in an unknown outcome, so it may land at any later time.
    doubted: AtomicBool,
}

/// One store, as one process knows it. The location tells copies of a store apart, the identity the machines
/// that a test plays.
#[derive(Debug, PartialEq, Eq, Hash)]
struct StoreKey {
    location: String,
    store_id: String,
    identity: Identity,
}

/// The stores that are open in this process.
static OPEN: LazyLock<SharedByKey<StoreKey, Grants>> = LazyLock::new(SharedByKey::default);
/// Those of stores where a release is in doubt, so that a handle that is opened later knows of it as well.
static DOUBTED: Mutex<Vec<Arc<Grants>>> = Mutex::new(Vec::new());

#[derive(Debug, Default)]
struct Name {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// A request for it is under way.
    asked: bool,
    /// How many guards it has: one at most.
    guards: usize,
    /// So many releases of it are under way.
    leaving: usize,
}

/// The only request for a name, until it is dropped.
#[derive(Debug)]
pub(super) struct Asking(Arc<Name>);

/// The guard of a name, until it is dropped.
#[derive(Debug)]
pub(super) struct Guarded(Arc<Name>);

/// A release of a name. Until it is dropped no request for the name begins.
#[derive(Debug)]
pub(super) struct Leaving {
    grants: Arc<Grants>,
    name: Arc<Name>,
    /// It will not land any more, or has landed.
    settled: AtomicBool,
}

impl Grants {
    /// Those of the store with this id. A backend that cannot say where its objects are shares them with
    /// nobody.
    pub(super) fn of_store(objects: &Objects, store_id: &str) -> Arc<Self> {
        let Some(location) = objects.backend.location_id() else { return Arc::default() };
        let identity = objects.environment.identity().clone();
        OPEN.of(StoreKey { location, store_id: store_id.to_owned(), identity })
    }

    /// Waits until no other request for the name and no release of it is under way.
    pub(super) async fn ask(&self, id: &WorkflowId, lease_id: &LeaseId) -> Asking {
        let name = self.name(id, lease_id);
        loop {
            let mut changed = pin!(name.changed.notified());
            // IMPORTANT: listens before it looks, or it would miss what happens in between.
            changed.as_mut().enable();
            if name.begin() {
                return Asking(name.clone());
            }
            changed.await;
        }
    }

    /// Waits until no release of the name is under way, nor a request for it that may end in one.
    pub(super) async fn rest(&self, id: &WorkflowId, lease_id: &LeaseId) {
        drop(self.ask(id, lease_id).await);
    }

    /// From now on a release of the name is under way.
    pub(super) fn leave(self: &Arc<Self>, id: &WorkflowId, lease_id: &LeaseId) -> Leaving {
        let name = self.name(id, lease_id);
        name.lock().leaving += 1;
        Leaving { grants: self.clone(), name, settled: AtomicBool::new(false) }
    }

    /// Whether a release may land that nobody waits for any more.
    pub(super) fn are_doubted(&self) -> bool {
        self.doubted.load(Ordering::Acquire)
    }

    fn name(&self, id: &WorkflowId, lease_id: &LeaseId) -> Arc<Name> {
        self.names.of((id.clone(), lease_id.clone()))
    }
}

impl Name {
    /// Begins a request, if that is possible now.
    fn begin(&self) -> bool {
        let mut state = self.lock();
        let free = !state.asked && state.leaving == 0;
        state.asked |= free;
        free
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_waiters();
    }

    /// Never held across an await.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking {
    /// Whether the name has a guard. It gets none from elsewhere while this request is under way.
    pub(super) fn is_guarded(&self) -> bool {
        self.0.lock().guards > 0
    }

    /// Ends the request and begins a guard. The name must have none: see [`is_guarded`](Self::is_guarded).
    pub(super) fn guard(self) -> Guarded {
        self.0.lock().guards += 1;
        Guarded(self.0.clone())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.change(|state| state.asked = false);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.0.change(|state| state.guards = state.guards.saturating_sub(1));
    }
}

impl Leaving {
    /// Notes how the release ended.
    pub(super) fn ended<T>(&self, result: &Result<T, Error>) {
        if !matches!(result, Err(Error::OutcomeUnknown { .. })) {
            self.settled.store(true, Ordering::Release);
        }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.settled.load(Ordering::Acquire) && !self.grants.doubted.swap(true, Ordering::AcqRel) {
            DOUBTED.lock().unwrap_or_else(PoisonError::into_inner).push(self.grants.clone());
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
    async fn requests_for_one_name_come_one_after_the_other() {
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
        assert!(!grants.are_doubted());
    }

    #[tokio::test]
    async fn a_name_has_one_guard() {
        let (grants, (id, mine)) = (Arc::new(Grants::default()), names());
        let guarded = grants.ask(&id, &mine).await.guard();
        assert!(grants.ask(&id, &mine).await.is_guarded());
        drop(guarded);
        assert!(!grants.ask(&id, &mine).await.is_guarded());
    }

    #[tokio::test]
    async fn a_release_without_a_known_end_leaves_a_doubt_for_as_long_as_the_process_lives() {
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
        assert!(grants("doubted").are_doubted());
        assert!(!grants("settled").are_doubted());
    }
}
