//! Callers of one process that use the same lease id do not take the grant from each other.

use std::{sync::Arc, time::Duration};

use futures::poll;
use pflow_store::{
    Conflict, Expect, LeaseId, LeaseRequest, Store,
    backend::{ErrorKind, Outcome},
};
use pflow_testkit::{Fault, Kind, Left, Site, conflict, every_backend, id, save};
use tokio::sync::Notify;

every_backend!(
    two_handles_share_one_guard,
    lease_released_by_id_is_not_granted_to_its_guard_again,
    next_acquire_settles_an_unsettled_release,
);

const MINUTE: Duration = Duration::from_secs(60);

fn lease_id() -> LeaseId {
    LeaseId::parse("mine").unwrap()
}

fn mine() -> LeaseRequest {
    LeaseRequest::new("edit", MINUTE).id(lease_id())
}

/// Opens a second handle of the same process.
async fn twin(site: &Site) -> Store {
    site.other_store_of(site.environment.clone()).await
}

async fn two_handles_share_one_guard(site: Site) {
    let (one, two) = (site.store().await, twin(&site).await);
    let first = one.lock(&id("a"), mine()).await.unwrap();
    for store in [&one, &two] {
        let mut looks = 0;
        loop {
            match conflict(store.lock(&id("a"), mine()).await) {
                Conflict::Locked { .. } => break,
                // The pauses of the guard move the clock, so the lease may have ended by it between the read of
                // the head and the look at the clock.
                Conflict::LeaseLost { held: Some(_), .. } if looks < 100 => looks += 1,
                other => panic!("{other}"),
            }
        }
    }
    assert_eq!(first.lease_id().unwrap(), lease_id());
    drop(first);
    // The request waits for the release, and the lease is a new one.
    let again = two.lock(&id("a"), mine()).await.unwrap();
    assert_eq!(again.fence(), 2);
    again.release().await.unwrap();
}

async fn lease_released_by_id_is_not_granted_to_its_guard_again(site: Site) {
    let store = site.store().await;
    let guard = store.lock(&id("a"), mine()).await.unwrap();
    store.release(&id("a"), lease_id()).await.unwrap();
    let again = conflict(store.lock(&id("a"), mine()).await);
    assert!(matches!(again, Conflict::LeaseLost { held: None, .. }), "{again}");
    assert_eq!(store.lock_state(&id("a")).await.unwrap().lease, None, "no lease is left without a guard");
    assert!(matches!(conflict(guard.release().await), Conflict::LeaseLost { .. }));
    let again = store.lock(&id("a"), mine()).await.unwrap();
    assert_eq!(again.fence(), 2);
    again.release().await.unwrap();
}

async fn next_acquire_settles_an_unsettled_release(site: Site) {
    let store = site.store().await;
    store.acquire(&id("a"), mine()).await.unwrap();
    let again = store.acquire(&id("a"), mine()).await.unwrap();
    assert!((again.already_held, again.lease.renewals) == (true, 0));
    let outcome = Outcome::Unknown;
    site.probe.fail(Fault { kind: ErrorKind::Unavailable, outcome, ..Fault::refuse(3) });
    let unknown = store.release(&id("a"), lease_id()).await.unwrap_err();
    assert_eq!(unknown.kind(), pflow_store::ErrorKind::OutcomeUnknown, "{unknown}");
    site.probe.heal();
    // The release may still land. The renewal replaces the head that it names.
    let again = twin(&site).await.acquire(&id("a"), mine()).await.unwrap();
    assert_eq!((again.already_held, again.lease.renewals), (true, 1));
    site.probe.fail(Fault { outcome, ..Fault::unknown(Left::All) });
    drop(store.release(&id("a"), lease_id()).await);
    site.probe.heal();
    let again = store.acquire(&id("a"), mine()).await.unwrap();
    assert_eq!((again.already_held, again.lease.fence), (false, 2), "that one had landed");
}

/// Stops the next call to the storage, after `calls` others, until it is told to continue.
fn stop_next_call(site: &Site, calls: usize) -> (Arc<Notify>, Arc<Notify>) {
    let (stopped, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (stopped.clone(), go.clone());
    site.probe.at_call(calls, move || async move {
        tell.notify_one();
        wait.notified().await;
    });
    (stopped, go)
}

/// Requests the lease while a release of it is in progress; the release continues after `go`.
async fn check_requests_during_a_release(site: &Site, store: &Store, go: Arc<Notify>) {
    let a = id("a");
    let handles = [store.clone(), twin(site).await];
    let mut requests = handles.each_ref().map(|store| Box::pin(store.acquire(&a, mine())));
    for _ in 0..50 {
        for request in &mut requests {
            assert!(poll!(request).is_pending(), "it is being given back");
        }
        tokio::task::yield_now().await;
    }
    go.notify_one();
    let mut granted = Vec::new();
    for request in requests {
        granted.push(request.await.unwrap().lease);
    }
    store.close().await.unwrap();
    let held = store.lock_state(&id("a")).await.unwrap().lease.unwrap();
    assert!(granted.iter().all(|lease| *lease == held), "{granted:?}");
    store.save(save("a", "2", Expect::Any).lease(lease_id()).fence(held.fence)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_acquire_does_not_release_the_next_grant() {
    let site = Site::new(Kind::Memory).await;
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    // An acquire makes these calls: the head, then the commit.
    let (at_commit, go_on) = stop_next_call(&site, 1);
    let asking = tokio::spawn({
        let store = store.clone();
        async move { store.acquire(&id("a"), mine()).await }
    });
    at_commit.notified().await;
    asking.abort();
    asking.await.unwrap_err();
    let (at_release, go) = stop_next_call(&site, 0);
    go_on.notify_one();
    at_release.notified().await;
    check_requests_during_a_release(&site, &store, go).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_guard_does_not_release_the_next_grant() {
    let site = Site::new(Kind::Memory).await;
    let store = site.store().await;
    let guard = store.lock(&id("a"), mine()).await.unwrap();
    let (at_release, go) = stop_next_call(&site, 0);
    drop(guard);
    at_release.notified().await;
    check_requests_during_a_release(&site, &store, go).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_release_does_not_release_the_next_grant() {
    let site = Site::new(Kind::Memory).await;
    let store = site.store().await;
    store.acquire(&id("a"), mine()).await.unwrap();
    let (at_release, go) = stop_next_call(&site, 0);
    let releasing = tokio::spawn({
        let store = store.clone();
        async move { store.release(&id("a"), lease_id()).await }
    });
    at_release.notified().await;
    releasing.abort();
    releasing.await.unwrap_err();
    check_requests_during_a_release(&site, &store, go).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn save_with_hold_waits_for_a_pending_release() {
    let site = Site::new(Kind::Memory).await;
    let store = site.store().await;
    let guard = store.lock(&id("a"), mine()).await.unwrap();
    let (at_release, go) = stop_next_call(&site, 0);
    drop(guard);
    at_release.notified().await;
    let mut saving = Box::pin(store.save(save("a", "1", Expect::Absent).hold(mine())));
    for _ in 0..50 {
        assert!(poll!(&mut saving).is_pending());
        tokio::task::yield_now().await;
    }
    go.notify_one();
    let held = saving.await.unwrap().lease.unwrap();
    store.close().await.unwrap();
    assert_eq!(held.fence, 2);
    assert_eq!(store.lock_state(&id("a")).await.unwrap().lease, Some(held));
}
