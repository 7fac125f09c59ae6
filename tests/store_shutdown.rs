//! A shutdown admits no change after it, waits for those under way, and leaves the storage at rest.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures::future::join_all;
use pflow_store::{
    ChangeRequest, Error, ErrorKind, Expect, LeaseRequest, Remedy, Store, Workflow,
    backend::{Environment, ManualEnvironment, SystemEnvironment, async_trait, probe::Depth},
    conflict::{Case, ConflictResolver, Policy, Resolution},
};
use serde_json::{Value, json};
use support::{Kind, Site, every_backend, id, plan, save};
use tokio::sync::Notify;

every_backend!(
    nothing_acknowledged_is_lost_and_shutdown_returns,
    every_kind_of_change_is_refused_after_shutdown,
    shutdown_waits_for_a_save_under_way,
    shutdown_ends_waits_for_locks,
    held_guard_is_renewed_and_released_after_shutdown,
    reads_after_shutdown_write_nothing,
);

const MINUTE: Duration = Duration::from_secs(60);

fn seed() -> u64 {
    std::env::var("PFLOW_TEST_SEED").map_or(0x5eed, |seed| seed.parse().unwrap())
}

/// Drops the work after so many polls. None if it was dropped.
async fn dropped_after<T>(polls: u64, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut left) = (pin!(work), polls);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

/// Adds an entry to the list in the workflow.
async fn add(workflow: &Workflow, entry: &str) -> Result<(), Error> {
    let change = |loaded: Option<&pflow_store::Loaded>| {
        let mut entries =
            loaded.map_or(Ok(json!([])), |it| it.json::<Value>().map(|it| it["done"].clone()))?;
        entries.as_array_mut().unwrap().push(json!(entry));
        Ok::<_, Error>(json!({ "nodes": [], "done": entries }).to_string())
    };
    workflow.update(change).await.map(drop)
}

async fn entries(store: &Store, name: &str) -> BTreeSet<String> {
    let content: Value = store.load(&id(name)).await.unwrap().json().unwrap();
    let entries: Vec<String> = serde_json::from_value(content["done"].clone()).unwrap();
    let found: BTreeSet<String> = entries.iter().cloned().collect();
    assert_eq!(found.len(), entries.len(), "an entry was added twice");
    found
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const TASKS: u64 = 32;
const CHANGES: u64 = 50;

async fn nothing_acknowledged_is_lost_and_shutdown_returns(site: Site) {
    let store = site.store().await;
    for name in NAMES {
        add(&store.workflow(&id(name)), "first").await.unwrap();
    }
    let begun = Arc::new(AtomicUsize::new(0));
    let half = Arc::new(Notify::new());
    let tasks = (0..TASKS).map(|task| {
        let (store, begun, half) = (store.clone(), begun.clone(), half.clone());
        let random = ManualEnvironment::new(seed().wrapping_add(task));
        tokio::spawn(async move {
            let (mut acknowledged, mut dropped, mut refused) = (Vec::new(), 0, 0);
            for nth in 0..CHANGES {
                if begun.fetch_add(1, Ordering::Relaxed) as u64 == TASKS * CHANGES / 2 {
                    half.notify_one();
                }
                let (name, entry) = (NAMES[((task + nth) % 4) as usize], format!("{task}-{nth}"));
                // A storage in memory takes one or two polls, a bucket tens.
                let is_dropped = random.jitter() < 0.25;
                let polls = if is_dropped { (30.0 * random.jitter().powi(4)) as u64 } else { u64::MAX };
                match dropped_after(polls, add(&store.workflow(&id(name)), &entry)).await {
                    Some(Ok(())) => acknowledged.push((name, entry)),
                    Some(Err(Error::ShutDown)) => refused += 1,
                    // So many writers of one workflow may be faster each time.
                    Some(Err(error)) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                    None => dropped += 1,
                }
            }
            (acknowledged, dropped, refused)
        })
    });
    let tasks: Vec<_> = tasks.collect();
    half.notified().await;
    store.shutdown().await.unwrap();
    let at_rest = site.dump().await;
    let results: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    // A request to a server whose future was dropped may be carried out later.
    if site.kind != Kind::Bucket {
        assert!(site.dump().await == at_rest, "something was written after the shutdown");
    }
    let (mut acknowledged, mut dropped, mut refused) = (0, 0, 0);
    let other = site.other_store(2).await;
    let mut found = BTreeMap::new();
    for name in NAMES {
        found.insert(name, entries(&other, name).await);
    }
    for (entries, drops, refusals) in results {
        for (name, entry) in entries {
            acknowledged += 1;
            assert!(found[name].contains(&entry), "{name} lost {entry}, seed {}", seed());
        }
        (dropped, refused) = (dropped + drops, refused + refusals);
    }
    println!("seed {}: {acknowledged} acknowledged, {dropped} dropped, {refused} refused", seed());
    assert!(acknowledged > 100 && dropped > 20 && refused > 100, "{acknowledged}, {dropped}, {refused}");
    assert!(other.verify().await.unwrap().is_sound());
}

async fn every_kind_of_change_is_refused_after_shutdown(site: Site) {
    let store = site.store().await;
    let other = site.other_store(2).await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    store.save(save("gone", "1", Expect::Absent)).await.unwrap();
    store.delete(ChangeRequest::new(id("gone"), Expect::Any)).await.unwrap();
    let held = other.acquire(&id("a"), LeaseRequest::new("edit", MINUTE)).await.unwrap();
    store.clone().shutdown().await.unwrap();
    let before = site.dump().await;
    let refused = [
        store.save(save("a", "2", Expect::Any)).await.map(drop),
        store.save(save("new", "1", Expect::Absent)).await.map(drop),
        store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.map(drop),
        store.undelete(ChangeRequest::new(id("gone"), Expect::Any)).await.map(drop),
        store.lock(&id("b"), LeaseRequest::new("edit", MINUTE)).await.map(drop),
        store.acquire(&id("b"), LeaseRequest::new("edit", MINUTE)).await.map(drop),
        store.break_lock(&id("a"), held.lease.id.clone()).await.map(drop),
        store.set_setting("x", Some(json!(1))).await.map(drop),
        store.reindex().await.map(drop),
        store.doctor(&Depth::default()).await.map(drop),
        store.repair(store.plan_repair(&[]).await.unwrap()).await.map(drop),
    ];
    for (nth, result) in refused.into_iter().enumerate() {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::ShutDown), "{nth}: {error}");
        assert_eq!((error.kind(), error.remedy()), (ErrorKind::Cancelled, Some(Remedy::OpenAgain)));
    }
    assert!(site.dump().await == before, "something was written");
    store.shutdown().await.unwrap();
    assert_eq!(store.load(&id("a")).await.unwrap().content, plan("1"));
    // The handle is shut down, and not the store.
    other.save(save("new", "1", Expect::Absent)).await.unwrap();
    assert_eq!(store.load(&id("new")).await.unwrap().content, plan("1"));
}

async fn shutdown_waits_for_a_save_under_way(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let hook = (arrived.clone(), go_on.clone());
    site.probe.at_call(0, move || async move {
        hook.0.notify_one();
        hook.1.notified().await;
    });
    let saving = store.clone();
    let saving = tokio::spawn(async move { saving.save(save("a", "2", Expect::Generation(1))).await });
    arrived.notified().await;
    let mut shutdown = Box::pin(store.shutdown());
    assert!(futures::poll!(&mut shutdown).is_pending());
    assert!(matches!(store.save(save("b", "1", Expect::Any)).await, Err(Error::ShutDown)));
    // It stays shut down for the next caller as well.
    drop(shutdown);
    let mut shutdown = Box::pin(store.shutdown());
    assert!(futures::poll!(&mut shutdown).is_pending());
    go_on.notify_one();
    shutdown.await.unwrap();
    assert_eq!(saving.await.unwrap().unwrap().generation, 2);
    assert_eq!(site.other_store(2).await.load(&id("a")).await.unwrap().content, plan("2"));
}

/// Says when it is asked, and never answers.
#[derive(Debug)]
struct Silent(Arc<Notify>);

#[async_trait]
impl ConflictResolver for Silent {
    async fn resolve(&self, _case: &Case) -> Result<Resolution, Error> {
        self.0.notify_one();
        std::future::pending().await
    }
}

async fn shutdown_ends_waits_for_locks(site: Site) {
    site.store().await;
    // Real time, so that the waits are long.
    let environment = Arc::new(SystemEnvironment::new().unwrap());
    let store = site.other_store_of(environment.clone()).await;
    let other = site.other_store_of(environment).await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let held = other.acquire(&id("a"), LeaseRequest::new("edit", MINUTE * 60)).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let store = store.clone();
        waiting.push(tokio::spawn(async move {
            store.acquire(&id("a"), LeaseRequest::new("edit", MINUTE).wait(MINUTE * 30)).await.map(drop)
        }));
    }
    let saving = store.clone();
    waiting.push(tokio::spawn(async move {
        let request = save("a", "2", Expect::Any).resolver(Policy::Wait).lock_timeout(MINUTE * 30);
        saving.save(request).await.map(drop)
    }));
    let (asked, saving) = (Arc::new(Notify::new()), store.clone());
    let silent = Silent(asked.clone());
    waiting.push(tokio::spawn(async move {
        saving.save(save("a", "2", Expect::Any).resolver(silent)).await.map(drop)
    }));
    asked.notified().await;
    let before = site.dump().await;
    store.shutdown().await.unwrap();
    for one in waiting {
        let error = one.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::ShutDown), "{error}");
    }
    assert!(site.dump().await == before, "something was written");
    assert_eq!(other.lock_state(&id("a")).await.unwrap().lease, Some(held.lease));
}

async fn held_guard_is_renewed_and_released_after_shutdown(site: Site) {
    let store = site.store().await;
    let guard = store.lock(&id("a"), LeaseRequest::new("edit", MINUTE)).await.unwrap();
    let lease = guard.lease();
    store.shutdown().await.unwrap();
    let renewed = store.renew(&id("a"), lease.id.clone(), Some(MINUTE * 2)).await.unwrap();
    assert!(renewed.expires > lease.expires);
    let other = site.other_store(2).await;
    assert_eq!(other.lock_state(&id("a")).await.unwrap().lease.unwrap().id, lease.id);
    guard.release().await.unwrap();
    assert_eq!(other.lock_state(&id("a")).await.unwrap().lease, None);
}

async fn reads_after_shutdown_write_nothing(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    store.save(save("gone", "1", Expect::Absent)).await.unwrap();
    store.delete(ChangeRequest::new(id("gone"), Expect::Any)).await.unwrap();
    store.shutdown().await.unwrap();
    // A reader that may write would put both in line.
    site.remove("workflows/a/workflow.json").await;
    site.put_raw("workflows/gone/workflow.json", plan("1")).await;
    site.probe.take();
    let _ = store.load(&id("a")).await;
    let _ = store.load(&id("gone")).await;
    store.inspect_lock(&id("a")).await.unwrap();
    assert!(site.probe.take().commits.is_empty());
}
