//! Clocks and timers with unusual values.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta};
use futures::StreamExt;
use pflow_store::{
    ChangeRequest, Expect, LeaseRequest, Store,
    backend::{Environment, ManualEnvironment},
};
use pflow_testkit::{Site, every_backend, everything, id, listed, notices, plan, save};

every_backend!(clock_before_1970_works, clock_set_back_before_1970_keeps_its_locks);

const MINUTE: Duration = Duration::from_secs(60);

async fn use_everything(store: &Store, name: &str) {
    let saved = store.save(save(name, "1", Expect::Absent)).await.unwrap();
    assert!(saved.record.modified < DateTime::UNIX_EPOCH, "{}", saved.record.modified);
    // The guard's waiting lets time pass at once, so a short lease may end between a read and its judgement.
    let guard = store.lock(&id(name), LeaseRequest::new("edit", MINUTE * 60 * 24 * 100)).await.unwrap();
    assert_eq!(guard.ensure().await.unwrap(), guard.lease().id);
    let request = save(name, "2", Expect::Generation(1)).lease(guard.lease_id().unwrap());
    store.save(request).await.unwrap();
    assert!(store.lock_state(&id(name)).await.unwrap().live);
    assert_eq!(store.locks().count().await, 1);
    assert_eq!(store.status().await.unwrap().locked.len(), 1);
    guard.release().await.unwrap();
    assert_eq!(store.load(&id(name)).await.unwrap().content, plan("2"));
    store.delete(ChangeRequest::new(id(name), Expect::Any)).await.unwrap();
    store.undelete(ChangeRequest::new(id(name), Expect::Any)).await.unwrap();
    store.reindex().await.unwrap();
    assert!(listed(store).await.contains(&name.to_owned()));
    assert_eq!(everything(store).await.len(), 1);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
    store.close().await.unwrap();
}

async fn clock_before_1970_works(site: Site) {
    site.environment
        .set_now(DateTime::UNIX_EPOCH - TimeDelta::days(7000) + TimeDelta::nanoseconds(1_500_001));
    use_everything(&site.store().await, "a").await;
}

async fn clock_set_back_before_1970_keeps_its_locks(site: Site) {
    let store = site.store().await;
    let held = store.acquire(&id("a"), LeaseRequest::new("edit", MINUTE)).await.unwrap().lease;
    site.environment.set_now(DateTime::UNIX_EPOCH - TimeDelta::milliseconds(1));
    let state = store.lock_state(&id("a")).await.unwrap();
    assert!(state.live && state.now < DateTime::UNIX_EPOCH);
    let other = ManualEnvironment::new(2);
    other.set_now(DateTime::UNIX_EPOCH - TimeDelta::days(1));
    let other = site.other_store_of(Arc::new(other)).await;
    other.acquire(&id("a"), LeaseRequest::new("edit", MINUTE)).await.unwrap_err();
    let renewed = store.renew(&id("a"), held.id.clone(), None).await.unwrap();
    assert!(renewed.expires > site.environment.now());
    store.release(&id("a"), held.id).await.unwrap();
}

/// A runtime without a timer, on the real clock.
#[test]
fn guard_works_on_a_runtime_without_a_timer() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        for url in ["memory:".to_owned(), folder.path().join("s").display().to_string()] {
            let store = Store::builder(&url).init().await.unwrap();
            store.save(save("a", "1", Expect::Absent)).await.unwrap();
            let guard =
                store.lock(&id("a"), LeaseRequest::new("edit", Duration::from_millis(300))).await.unwrap();
            while guard.lease().renewals == 0 {
                guard.ensure().await.unwrap();
                tokio::task::yield_now().await;
            }
            let waits = LeaseRequest::new("wait", MINUTE).wait(Duration::from_millis(20));
            store.acquire(&id("a"), waits).await.unwrap_err();
            guard.release().await.unwrap();
            store.close().await.unwrap();
        }
    });
}
