//! A shutdown admits no change after it, waits for those under way, and leaves the storage at rest.

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

use futures::{StreamExt, future::join_all};
use pflow_store::{
    ChangeRequest, Error, ErrorKind, Expect, LeaseRequest, Remedy, Store, Workflow,
    backend::{
        DateTime, Environment, Identity, ManualEnvironment, Process, SystemEnvironment, Utc, async_trait,
        probe::Depth,
    },
    conflict::{Case, ConflictResolver, Policy, Resolution},
};
use pflow_testkit::{Kind, Site, every_backend, id, plan, save, seed};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

every_backend!(
    nothing_acknowledged_is_lost_and_shutdown_returns,
    every_kind_of_change_is_refused_after_shutdown,
    shutdown_waits_for_a_save_under_way,
    shutdown_waits_for_a_change_that_is_kept,
    shutdown_ends_waits_for_locks,
    shutdown_ends_a_save_that_waits,
    shutdown_ends_a_question_to_a_resolver,
    batch_folds_nothing_after_a_shutdown,
    held_guard_is_renewed_and_released_after_shutdown,
    reads_after_shutdown_write_nothing,
);

const MINUTE: Duration = Duration::from_secs(60);

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
const HALF: u64 = TASKS * CHANGES / 2;

async fn nothing_acknowledged_is_lost_and_shutdown_returns(site: Site) {
    let store = site.store().await;
    for name in NAMES {
        add(&store.workflow(&id(name)), "first").await.unwrap();
    }
    let begun = Arc::new(AtomicUsize::new(0));
    let half = Arc::new(Notify::new());
    let (shutting, shut) = watch::channel(false);
    let tasks = (0..TASKS).map(|task| {
        let (store, begun, half, mut shut) = (store.clone(), begun.clone(), half.clone(), shut.clone());
        let random = ManualEnvironment::new(seed().wrapping_add(task));
        tokio::spawn(async move {
            let (mut acknowledged, mut dropped, mut refused) = (Vec::new(), 0, 0);
            for nth in 0..CHANGES {
                match begun.fetch_add(1, Ordering::Relaxed) as u64 {
                    HALF => half.notify_one(),
                    // The last quarter begins after the shutdown has.
                    begun if begun >= HALF + HALF / 2 => drop(shut.wait_for(|shut| *shut).await.unwrap()),
                    _ => {}
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
    let mut shutdown = Box::pin(store.shutdown());
    let at_once = futures::poll!(&mut shutdown);
    shutting.send(true).unwrap();
    match at_once {
        Poll::Ready(done) => done,
        Poll::Pending => shutdown.await,
    }
    .unwrap();
    // A request to a server whose future was dropped may be carried out later.
    let at_rest = if site.kind == Kind::Bucket { None } else { Some(site.dump().await) };
    let results: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    if let Some(at_rest) = at_rest {
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
    assert!(acknowledged > 100 && dropped > 20 && refused > 200, "{acknowledged}, {dropped}, {refused}");
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

async fn shutdown_waits_for_a_change_that_is_kept(site: Site) {
    let store = site.store().await;
    site.probe.at_call(0, std::future::pending);
    let mut kept = Box::pin(store.save(save("a", "1", Expect::Any)));
    assert!(futures::poll!(&mut kept).is_pending());
    let mut shutdown = Box::pin(store.shutdown());
    assert!(futures::poll!(&mut shutdown).is_pending());
    drop(kept);
    shutdown.await.unwrap();
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

/// The system's clock, with sleeps that never end. Counts them.
#[derive(Debug)]
struct Sleepless {
    system: SystemEnvironment,
    asleep: watch::Sender<usize>,
}

impl Sleepless {
    async fn sleepers(&self, number: usize) {
        self.asleep.subscribe().wait_for(|asleep| *asleep == number).await.unwrap();
    }
}

#[async_trait]
impl Environment for Sleepless {
    fn now(&self) -> DateTime<Utc> {
        self.system.now()
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic()
    }

    async fn sleep(&self, _duration: Duration) {
        self.asleep.send_modify(|asleep| *asleep += 1);
        std::future::pending().await
    }

    fn random(&self) -> u64 {
        self.system.random()
    }

    fn identity(&self) -> &Identity {
        self.system.identity()
    }

    fn process(&self, pid: u32) -> Process {
        self.system.process(pid)
    }
}

/// A store, and the lock of its workflow `a`, which another one holds for an hour.
async fn waiting_site(site: &Site) -> (Store, Arc<Sleepless>) {
    site.store().await.save(save("a", "1", Expect::Absent)).await.unwrap();
    let (asleep, _) = watch::channel(0);
    let environment = Arc::new(Sleepless { system: SystemEnvironment::new().unwrap(), asleep });
    let other = site.other_store_of(environment.clone()).await;
    other.acquire(&id("a"), LeaseRequest::new("edit", MINUTE * 60)).await.unwrap();
    (site.other_store_of(environment.clone()).await, environment)
}

async fn refused<T: std::fmt::Debug>(waiting: tokio::task::JoinHandle<Result<T, Error>>) {
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::ShutDown), "{error}");
}

async fn shutdown_ends_waits_for_locks(site: Site) {
    let (store, environment) = waiting_site(&site).await;
    let mut waiting = Vec::new();
    // One polls, and the other one waits for its turn.
    for sleepers in 1..=2 {
        let store = store.clone();
        let request = LeaseRequest::new("edit", MINUTE).wait(MINUTE * 30);
        waiting.push(tokio::spawn(async move { store.acquire(&id("a"), request).await }));
        environment.sleepers(sleepers).await;
    }
    let before = site.dump().await;
    store.shutdown().await.unwrap();
    for one in waiting {
        refused(one).await;
    }
    assert!(site.dump().await == before, "something was written");
}

async fn shutdown_ends_a_save_that_waits(site: Site) {
    let (store, environment) = waiting_site(&site).await;
    let saving = store.clone();
    let request = save("a", "2", Expect::Any).resolver(Policy::Wait).lock_timeout(MINUTE * 30);
    let waiting = tokio::spawn(async move { saving.save(request).await });
    environment.sleepers(1).await;
    store.shutdown().await.unwrap();
    refused(waiting).await;
}

async fn shutdown_ends_a_question_to_a_resolver(site: Site) {
    let (store, _) = waiting_site(&site).await;
    let (asked, saving) = (Arc::new(Notify::new()), store.clone());
    let request = save("a", "2", Expect::Any).resolver(Silent(asked.clone()));
    let waiting = tokio::spawn(async move { saving.save(request).await });
    asked.notified().await;
    store.shutdown().await.unwrap();
    refused(waiting).await;
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
    // Whether a load without the copy succeeds depends on the storage.
    store.load(&id("a")).await.ok();
    store.load(&id("gone")).await.ok();
    store.inspect_lock(&id("a")).await.unwrap();
    assert!(site.probe.take().commits.is_empty());
}

async fn batch_folds_nothing_after_a_shutdown(site: Site) {
    let store = site.store().await;
    let requests = (0..5).map(|nth| save(&format!("w{nth}"), "1", Expect::Absent));
    let mut saves = store.save_all(requests.collect::<Vec<_>>());
    assert!(saves.next().await.unwrap().1.is_ok());
    store.shutdown().await.unwrap();
    site.probe.take();
    while saves.next().await.is_some() {}
    assert!(site.probe.take().commits.is_empty());
}
