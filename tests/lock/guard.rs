//! A guard renews its lease, notices when it cannot, and releases it, on every backend.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use pflow_store::{
    Conflict, Error, ErrorKind, Expect, LeaseGuard, LeaseRequest, Store,
    backend::{Environment, ManualEnvironment},
};
use pflow_testkit::{Fault, Left, Site, conflict, every_backend, id, save};

every_backend!(
    guard_renews_until_it_is_released,
    dropped_guard_releases_its_lease,
    guard_refuses_after_a_suspension_until_it_has_renewed,
    holder_overtaken_while_suspended_cannot_write,
    broken_lease_wakes_its_holder,
    guard_survives_a_temporary_storage_failure,
    guard_of_an_older_grant_renews_first,
    lost_reply_of_a_renewal_is_settled,
    guard_reports_when_it_becomes_uncertain,
    break_of_a_long_lease_is_noticed_soon,
    close_waits_for_releases,
    abandoned_acquire_leaves_no_lease,
    acquire_that_is_abandoned_before_its_swap_starts_none,
    break_is_recorded_and_hits_only_the_named_lease,
);

const MINUTE: Duration = Duration::from_secs(60);

fn request() -> LeaseRequest {
    LeaseRequest::new("edit", MINUTE)
}

/// Opens the first store with a clock that only the test advances.
async fn stepped(site: &Site) -> (Store, Arc<ManualEnvironment>) {
    let environment = Arc::new(ManualEnvironment::new(5).stepped());
    (site.store_with(site.builder().environment(environment.clone())).await, environment)
}

/// Advances the time second by second until `so` is true.
async fn until(environment: &ManualEnvironment, so: impl Fn() -> bool) {
    while !so() {
        environment.advance(Duration::from_secs(1));
        settle().await;
    }
}

/// Advances the time while `work` runs: it may lose a race with a renewal, and then backs off.
async fn meanwhile<T>(environment: &ManualEnvironment, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        if let std::task::Poll::Ready(done) = futures::poll!(&mut work) {
            return done;
        }
        environment.advance(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
}

/// Lets all ready tasks run.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Waits until nothing is locked, without advancing the time.
async fn unlocked(store: &Store) {
    while store.lock_state(&id("a")).await.unwrap().lease.is_some() {
        tokio::task::yield_now().await;
    }
}

#[track_caller]
fn is_uncertain(guard: &LeaseGuard) {
    let refused = guard.check().unwrap_err();
    assert!(matches!(refused, Error::LeaseUncertain { .. }), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Locked);
}

async fn guard_renews_until_it_is_released(site: Site) {
    let (store, environment) = stepped(&site).await;
    let guard = store.lock(&id("a"), request()).await.unwrap();
    let first = guard.lease();
    settle().await;
    assert_eq!((guard.lease(), guard.fence()), (first.clone(), 1), "not before it is time");
    for renewals in 1..=3 {
        until(&environment, || guard.lease().renewals >= renewals).await;
    }
    // The time does not advance any more, so a renewal in progress is the last one.
    let mut seen = (0, 0);
    for _ in 0..1_000 {
        let lease = store.lock_state(&id("a")).await.unwrap().lease.unwrap();
        assert!(lease.renewals >= 3 && lease.expires > first.expires, "{lease:?}");
        assert_eq!((&lease.id, lease.fence), (&first.id, first.fence));
        let mirrored = site.json("workflows/a/workflow.lock").await["renewals"].as_u64().unwrap();
        seen = (lease.renewals, mirrored);
        if lease.renewals == mirrored {
            break;
        }
    }
    assert_eq!(seen.0, seen.1, "the mirror follows");
    let saving = store.save(save("a", "1", Expect::Absent).lease(guard.ensure().await.unwrap()));
    assert_eq!(meanwhile(&environment, saving).await.unwrap().generation, 1);

    // The renewal in progress may back off too, after losing a race with the save.
    meanwhile(&environment, guard.release()).await.unwrap();
    let state = store.lock_state(&id("a")).await.unwrap();
    assert_eq!((state.lease, state.fence), (None, 1));
    assert_eq!(site.get("workflows/a/workflow.lock").await, None);
    let before = site.dump().await;
    environment.advance(MINUTE * 10);
    settle().await;
    assert_eq!(site.dump().await, before, "the renewals have ended");
}

async fn dropped_guard_releases_its_lease(site: Site) {
    let (store, _environment) = stepped(&site).await;
    drop(store.lock(&id("a"), request()).await.unwrap());
    unlocked(&store).await;
    let guard = store.lock(&id("a"), request()).await.unwrap();
    let mut releasing = Box::pin(guard.release());
    // Dropped at once: the task releases the lease all the same.
    drop(futures::poll!(&mut releasing));
    drop(releasing);
    unlocked(&store).await;
}

async fn guard_refuses_after_a_suspension_until_it_has_renewed(site: Site) {
    let (store, environment) = stepped(&site).await;
    let guard = store.lock(&id("a"), request()).await.unwrap();
    guard.check().unwrap();
    // The machine is suspended: the timers do not notice.
    environment.set_now(environment.now() + TimeDelta::minutes(10));
    is_uncertain(&guard);
    assert_eq!(guard.ensure().await.unwrap(), guard.lease().id);
    assert!(guard.lease().renewals >= 1);
    guard.check().unwrap();
    // A clock that is set back does not extend the lease.
    environment.set_now(environment.now() - TimeDelta::days(1));
    environment.advance(MINUTE * 2);
    guard.ensure().await.unwrap();
    assert!(guard.lease().renewals >= 2);
    guard.release().await.unwrap();
}

async fn holder_overtaken_while_suspended_cannot_write(site: Site) {
    let (store, environment) = stepped(&site).await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let guard = store.lock(&id("a"), request()).await.unwrap();
    let mine = guard.lease_id().unwrap();
    let later = environment.now() + TimeDelta::minutes(3);
    let other = Arc::new(ManualEnvironment::new(2));
    other.set_now(later);
    let other = site.other_store_of(other).await;
    let theirs = other.acquire(&id("a"), request()).await.unwrap().lease;
    environment.set_now(later);
    let before = site.dump().await;
    is_uncertain(&guard);
    let late = store.save(save("a", "2", Expect::Any).lease(mine)).await;
    assert_eq!(late.as_ref().unwrap_err().kind(), ErrorKind::Locked);
    let text = conflict(late).to_string();
    assert!(text.contains("tester@host-2 (pid 4242) holds it since 2024-01-15T10:33:00Z"), "{text}");
    let lost = conflict(guard.ensure().await);
    assert!(matches!(&lost, Conflict::LeaseLost { held: Some(held), .. } if held.id == theirs.id), "{lost}");
    assert_eq!(guard.lost().await, lost);
    assert_eq!(conflict(guard.check()), lost);
    assert!(matches!(conflict(guard.release().await), Conflict::LeaseLost { .. }));
    assert_eq!(site.dump().await, before);
}

async fn broken_lease_wakes_its_holder(site: Site) {
    let (store, environment) = stepped(&site).await;
    let guard = store.lock(&id("a"), request()).await.unwrap();
    let other = site.other_store(2).await;
    let broken = other.break_lock(&id("a"), guard.lease().id).await.unwrap();
    assert_eq!(broken.id, guard.lease().id);
    let (lost, ()) = futures::join!(guard.lost(), until(&environment, || guard.check().is_err()));
    let text = lost.to_string();
    assert!(text.contains("it was broken by tester@host-2 at 2024-01-15T10:30:00Z"), "{text}");
    let late = store.save(save("a", "2", Expect::Any).lease(guard.lease().id)).await;
    assert_eq!(conflict(late), lost);
    assert_eq!(store.lock_state(&id("a")).await.unwrap().fence, 2);
    drop(guard);
    // A client that saves over a stale lease is named as well.
    let old = store.acquire(&id("a"), request()).await.unwrap().lease;
    let later = Arc::new(ManualEnvironment::new(3));
    later.set_now(later.now() + TimeDelta::days(1));
    let other = site.other_store_of(later).await;
    other.save(save("a", "1", Expect::Absent)).await.unwrap();
    let text = conflict(store.renew(&id("a"), old.id, None).await).to_string();
    assert!(text.contains("it was overridden by tester@host-3 at 2024-01-16T10:30:00Z"), "{text}");
}

async fn guard_survives_a_temporary_storage_failure(site: Site) {
    let (store, environment) = stepped(&site).await;
    let guard = store.lock(&id("a"), request()).await.unwrap();
    site.probe.fail(Fault::refuse(usize::MAX));
    environment.set_now(environment.now() + TimeDelta::minutes(2));
    until(&environment, || guard.check().is_err() && site.probe.struck() > 2).await;
    is_uncertain(&guard);
    assert_eq!(guard.lease().renewals, 0);
    assert!(site.probe.heal() > 2, "it keeps trying");
    let ((), lease) = futures::join!(until(&environment, || guard.check().is_ok()), guard.ensure());
    assert_eq!(lease.unwrap(), guard.lease().id);
    guard.release().await.unwrap();
    assert_eq!(store.lock_state(&id("a")).await.unwrap().lease, None);
}

async fn guard_of_an_older_grant_renews_first(site: Site) {
    let (store, environment) = stepped(&site).await;
    let mine = || request().id(pflow_store::LeaseId::parse("mine").unwrap());
    let before = store.acquire(&id("a"), mine()).await.unwrap().lease;
    // At the very end of the lease.
    environment.set_now(environment.now() + TimeDelta::seconds(60));
    let guard = store.lock(&id("a"), mine()).await.unwrap();
    assert_eq!(guard.ensure().await.unwrap(), before.id);
    assert_eq!((guard.fence(), guard.lease().renewals > 0), (1, true));
    let second = conflict(store.lock(&id("a"), mine()).await);
    assert!(matches!(second, Conflict::Locked { .. }), "it has a guard: {second}");
    guard.check().unwrap();
    guard.release().await.unwrap();
    // The previous holder can acquire the lease again.
    store.lock(&id("a"), mine()).await.unwrap().release().await.unwrap();
}

async fn lost_reply_of_a_renewal_is_settled(site: Site) {
    let store = site.store().await;
    let held = store.acquire(&id("a"), request()).await.unwrap().lease;
    let mut renewals = 0;
    for left in [Left::All, Left::Stages(0)] {
        site.probe.fail(Fault::unknown(left));
        // On a disk the outcome stays unknown until the caller asks again; elsewhere it is found out at once.
        if store.renew(&id("a"), held.id.clone(), None).await.is_err() {
            assert!(site.kind.survives_power_loss());
            store.renew(&id("a"), held.id.clone(), None).await.unwrap();
        }
        let now = store.lock_state(&id("a")).await.unwrap().lease.unwrap();
        assert!(now.renewals > renewals && now.id == held.id && now.fence == held.fence);
        renewals = now.renewals;
    }
    site.probe.fail(Fault::unknown(Left::All));
    let broken = store.break_lock(&id("a"), held.id.clone()).await;
    assert_eq!(broken.is_err(), site.kind.survives_power_loss());
    let state = store.lock_state(&id("a")).await.unwrap();
    assert_eq!((state.lease, state.fence), (None, 2));
    if !site.kind.survives_power_loss() {
        assert_eq!(site.keys("ops/pending/").await.len(), 1, "it is recorded once");
    }
}

/// Waits until `so` is true, advancing the time by at most ten seconds: a task may start to wait only after
/// the time has advanced.
#[track_caller]
fn soon(environment: &ManualEnvironment, so: impl Fn() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        for _ in 0..10 {
            for _ in 0..300_000 {
                if so() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            environment.advance(Duration::from_secs(1));
        }
        panic!("it is not so at {place}");
    }
}

async fn guard_reports_when_it_becomes_uncertain(site: Site) {
    let (store, environment) = stepped(&site).await;
    let guard = store.lock(&id("a"), request()).await.unwrap();
    {
        let mut uncertain = Box::pin(guard.uncertain());
        // It is certain while it is renewed.
        for renewals in 1..=5 {
            environment.advance(MINUTE / 3);
            soon(&environment, || guard.lease().renewals >= renewals).await;
            assert!(futures::poll!(&mut uncertain).is_pending());
        }
        site.probe.fail(Fault::refuse(usize::MAX));
        environment.advance(MINUTE / 2);
        settle().await;
        assert!(futures::poll!(&mut uncertain).is_pending(), "not before it is time");
        environment.advance(MINUTE / 2);
        let error = uncertain.await;
        assert!(matches!(&error, Error::LeaseUncertain { silent, .. } if *silent >= MINUTE), "{error}");
    }
    site.probe.heal();
    until(&environment, || guard.check().is_ok()).await;
    site.other_store(2).await.break_lock(&id("a"), guard.lease().id).await.unwrap();
    until(&environment, || matches!(guard.check(), Err(Error::Conflict(_)))).await;
    assert_eq!(guard.uncertain().await.to_string(), Error::from(guard.lost().await).to_string());
}

async fn break_of_a_long_lease_is_noticed_soon(site: Site) {
    let (store, environment) = stepped(&site).await;
    let guard = store.lock(&id("a"), LeaseRequest::new("edit", MINUTE * 600)).await.unwrap();
    for _ in 0..3 {
        environment.advance(Duration::from_secs(20));
        settle().await;
    }
    guard.check().unwrap();
    site.other_store(2).await.break_lock(&id("a"), guard.lease().id).await.unwrap();
    environment.advance(Duration::from_secs(20));
    soon(&environment, || guard.check().is_err()).await;
    assert!(guard.lost().await.to_string().contains("it was broken by tester@host-2"));
}

async fn close_waits_for_releases(site: Site) {
    let store = site.store().await;
    let held = store.lock(&id("b"), request()).await.unwrap();
    for _ in 0..20 {
        drop(store.lock(&id("a"), request()).await.unwrap());
        store.close().await.unwrap();
        assert_eq!(site.other_store(2).await.lock_state(&id("a")).await.unwrap().lease, None);
    }
    // The time may have advanced faster than the guard was renewed.
    held.ensure().await.unwrap();
    held.release().await.unwrap();
}

async fn acquire_that_is_abandoned_before_its_swap_starts_none(site: Site) {
    let store = site.store().await;
    let (start, started) = tokio::sync::oneshot::channel::<()>();
    let asking = tokio::spawn({
        let store = store.clone();
        async move {
            started.await.unwrap();
            store.acquire(&id("a"), request()).await
        }
    });
    let (gone, is_gone) = tokio::sync::oneshot::channel();
    // The caller is gone when the head is read, and the head is read before the swap.
    site.probe.at_call(0, move || async move {
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        gone.send(()).unwrap();
    });
    start.send(()).unwrap();
    is_gone.await.unwrap();
    store.close().await.unwrap();
    let state = site.other_store(2).await.lock_state(&id("a")).await.unwrap();
    assert_eq!((state.lease, state.fence), (None, 0));
}

async fn abandoned_acquire_leaves_no_lease(site: Site) {
    let a = id("a");
    let store = site.store().await;
    for polls in 1..100 {
        let mut asking = Box::pin(store.acquire(&a, request()));
        let mut granted = None;
        for _ in 0..polls {
            if let std::task::Poll::Ready(grant) = futures::poll!(&mut asking) {
                granted = Some(grant.unwrap());
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(asking);
        if let Some(grant) = granted {
            store.release(&id("a"), grant.lease.id).await.unwrap();
        }
        store.close().await.unwrap();
        let left = site.other_store(2).await.lock_state(&id("a")).await.unwrap().lease;
        assert_eq!(left, None, "after {polls} polls");
    }
    // Dropping the request does not release a lease that was granted before.
    let mine = || request().id(pflow_store::LeaseId::parse("mine").unwrap());
    let held = store.acquire(&id("a"), mine()).await.unwrap().lease;
    for _ in 0..20 {
        let mut asking = Box::pin(store.acquire(&a, mine()));
        drop(futures::poll!(&mut asking));
        drop(asking);
        store.close().await.unwrap();
    }
    assert_eq!(store.lock_state(&id("a")).await.unwrap().lease, Some(held));
}

async fn break_is_recorded_and_hits_only_the_named_lease(site: Site) {
    let store = site.store().await;
    let old = store.acquire(&id("a"), request()).await.unwrap().lease;
    store.release(&id("a"), old.id.clone()).await.unwrap();
    let held = store.acquire(&id("a"), request()).await.unwrap().lease;
    let before = site.dump().await;
    let refused = conflict(site.other_store(2).await.break_lock(&id("a"), old.id).await);
    assert!(matches!(&refused, Conflict::LeaseLost { held: Some(now), .. } if now.id == held.id));
    assert_eq!(site.dump().await, before);
    site.other_store(2).await.break_lock(&id("a"), held.id.clone()).await.unwrap();
    assert_eq!(site.get("workflows/a/workflow.lock").await, None);
    let key = site.only_key("ops/pending/").await;
    assert!(key.starts_with("ops/pending/a.") && key.ends_with(".op"), "{key}");
    let record = site.json(&key).await;
    assert_eq!(
        (&record["kind"], &record["by"], &record["lease_id"], &record["holder"]),
        (&"lock_broken".into(), &"tester@host-2".into(), &held.id.as_str().into(), &"tester@host-1".into())
    );
    assert_eq!(store.verify().await.unwrap().findings, []);
    store.reindex().await.unwrap();
    assert_eq!(site.keys("ops/pending/").await, [""; 0]);
    let segment = site.get(&site.only_key("ops/segments/").await).await.unwrap();
    let history = String::from_utf8(segment.to_vec()).unwrap();
    assert!(history.contains(r#""kind":"lock_broken""#), "{history}");
}
