//! Waiting for a lock: within the limit, in order, promptly, and without a thundering herd.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::TimeDelta;
use pflow_store::{
    Conflict, Error, LeaseRequest, Store,
    backend::{Environment, ManualEnvironment, Process, SystemEnvironment},
};
use pflow_testkit::{Fault, Kind, Site, conflict, every_backend, id};

every_backend!(
    wait_ends_at_its_limit,
    lease_that_becomes_stale_while_waiting_is_taken_over,
    release_on_another_machine_is_noticed,
    temporary_storage_failure_does_not_end_a_wait,
    dropped_waiter_leaves_the_queue,
    uncontended_lock_operations_cost_one_commit,
);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn request() -> LeaseRequest {
    LeaseRequest::new("edit", MINUTE)
}

async fn wait_ends_at_its_limit(site: Site) {
    let store = site.store().await;
    let held =
        site.other_store(2).await.acquire(&id("a"), LeaseRequest::new("edit", HOUR)).await.unwrap().lease;
    let begun = site.environment.monotonic();
    let refused = conflict(store.acquire(&id("a"), request().wait(MINUTE)).await);
    assert!(matches!(&refused, Conflict::Locked { lease, .. } if lease.id == held.id), "{refused}");
    let waited = site.environment.monotonic() - begun;
    assert!((MINUTE..MINUTE + Duration::from_secs(3)).contains(&waited), "{waited:?}");
    let looks = site.probe.take().gets.len();
    // The pause between two reads is a sixteenth of the wait, with a minimum: the longer the wait, the fewer
    // the reads.
    assert!((10..4000).contains(&looks), "{looks}");
    store.await_unlock(&id("a"), &held, MINUTE).await.unwrap();
    assert!(site.environment.monotonic() - begun >= MINUTE * 2);
}

async fn temporary_storage_failure_does_not_end_a_wait(site: Site) {
    let store = site.store().await;
    // More faults than one request retries.
    site.probe.fail(Fault::refuse(30));
    let granted = store.acquire(&id("a"), request().wait(HOUR)).await.unwrap();
    assert!((granted.lease.fence, granted.already_held) == (1, false));
    site.probe.fail(Fault::refuse(usize::MAX));
    let begun = site.environment.monotonic();
    let refused = store.acquire(&id("b"), request().wait(MINUTE)).await.unwrap_err();
    assert!(matches!(refused, Error::Storage(_)), "{refused}");
    let waited = site.environment.monotonic() - begun;
    assert!((MINUTE..MINUTE * 2).contains(&waited), "{waited:?}");
}

async fn lease_that_becomes_stale_while_waiting_is_taken_over(site: Site) {
    let store = site.store().await;
    // By its own clock it ends in three days. It is not renewed.
    let ahead = Arc::new(ManualEnvironment::new(2));
    ahead.set_now(ahead.now() + TimeDelta::days(3));
    let theirs = site.other_store_of(ahead).await;
    theirs.acquire(&id("a"), request()).await.unwrap();
    let begun = site.environment.monotonic();
    let grant = store.acquire(&id("a"), request().wait(HOUR)).await.unwrap();
    let waited = site.environment.monotonic() - begun;
    assert!((MINUTE..MINUTE + Duration::from_secs(3)).contains(&waited), "{waited:?}");
    assert_eq!(grant.lease.fence, 2);
    store.release(&id("a"), grant.lease.id).await.unwrap();
    // If a process of this machine dies, its lock is free at the next read.
    let mut neighbour = ManualEnvironment::new(1).identity().clone();
    (neighbour.pid, neighbour.process_start) = (77, Some("5".to_owned()));
    let neighbour = Arc::new(ManualEnvironment::new(3).with_identity(neighbour));
    let theirs = site.other_store_of(neighbour).await;
    theirs.acquire(&id("a"), LeaseRequest::new("edit", HOUR)).await.unwrap();
    site.environment.set_process(77, Process::Started("5".to_owned()));
    conflict(store.acquire(&id("a"), request().wait(MINUTE)).await);
    let environment = site.environment.clone();
    site.probe.at_call(5, move || async move { environment.set_process(77, Process::Gone) });
    let begun = site.environment.monotonic();
    store.acquire(&id("a"), request().wait(HOUR)).await.unwrap();
    assert!(site.environment.monotonic() - begun < Duration::from_secs(5));
}

async fn release_on_another_machine_is_noticed(site: Site) {
    let store = site.store().await;
    let other = site.other_store(2).await;
    let held = other.acquire(&id("a"), LeaseRequest::new("edit", HOUR)).await.unwrap().lease;
    site.probe.at_call(7, move || async move { drop(other.release(&id("a"), held.id).await.unwrap()) });
    let grant = store.acquire(&id("a"), request().wait(HOUR)).await.unwrap();
    assert_eq!(grant.lease.fence, 2);
    assert!(site.environment.monotonic() < MINUTE, "{:?}", site.environment.monotonic());
}

async fn dropped_waiter_leaves_the_queue(site: Site) {
    let environment = Arc::new(ManualEnvironment::new(5).stepped());
    let store = site.store_with(site.builder().environment(environment)).await;
    let held = store.acquire(&id("a"), request()).await.unwrap().lease;
    let a = id("a");
    let wait = || Box::pin(store.acquire(&a, request().wait(HOUR)));
    let (mut first, mut second) = (wait(), wait());
    for _ in 0..50 {
        assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
        tokio::task::yield_now().await;
    }
    let before = site.dump().await;
    drop(first);
    assert_eq!(site.dump().await, before, "giving up changes nothing");
    store.release(&id("a"), held.id).await.unwrap();
    // The release wakes it; the time does not have to advance.
    assert_eq!(second.await.unwrap().lease.fence, 2);
}

async fn uncontended_lock_operations_cost_one_commit(site: Site) {
    let store = site.store().await;
    store.acquire(&id("a"), request()).await.unwrap();
    let looks = if matches!(site.kind, Kind::Disk | Kind::PlainMemory) { 2 } else { 1 };
    for wait in [Duration::ZERO, MINUTE] {
        let lease = store.lock_state(&id("a")).await.unwrap().lease.unwrap();
        site.probe.take();
        store.renew(&id("a"), lease.id.clone(), None).await.unwrap();
        assert_eq!(site.probe.take().calls(), (looks, 0, 1), "renew");
        store.release(&id("a"), lease.id).await.unwrap();
        assert_eq!(site.probe.take().calls(), (looks, 0, 1), "release");
        store.acquire(&id("a"), request().wait(wait)).await.unwrap();
        assert_eq!(site.probe.take().calls(), (looks, 0, 1), "acquire");
    }
}

/// The number of tasks that want the same lock.
const TASKS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_waiters_cause_no_thundering_herd() {
    let site = Site::new(Kind::Disk).await;
    // The store's time does not advance: only a task that is woken reads again, so the counts are those of
    // the handovers alone.
    let still = Arc::new(ManualEnvironment::new(5).stepped());
    let store = site.store_with(site.builder().environment(still)).await;
    let clock = Arc::new(SystemEnvironment::new().unwrap());
    let first = store.acquire(&id("a"), request()).await.unwrap().lease;
    let released = Arc::new(Mutex::new((clock.monotonic(), Vec::new(), Vec::new())));
    let mut tasks = Vec::new();
    for n in 0..TASKS {
        let (store, clock, released) = (store.clone(), clock.clone(), released.clone());
        tasks.push(tokio::spawn(async move {
            let grant = store.acquire(&id("a"), request().wait(HOUR)).await.unwrap();
            {
                let (since, handovers, order) = &mut *released.lock().unwrap();
                handovers.push(clock.monotonic() - *since);
                order.push(n);
            }
            released.lock().unwrap().0 = clock.monotonic();
            store.release(&id("a"), grant.lease.id).await.unwrap();
        }));
        // Starts the tasks in the order in which they are to be served.
        tokio::task::yield_now().await;
    }
    released.lock().unwrap().0 = clock.monotonic();
    site.probe.take();
    store.release(&id("a"), first.id).await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let log = site.probe.take();
    let (_, mut handovers, order) = std::mem::take(&mut *released.lock().unwrap());
    handovers.sort();
    let median = handovers[TASKS / 2];
    let (gets, commits) = (log.gets.len(), log.commits.len());
    println!(
        "{TASKS} hand-overs: median {median:?}, slowest {:?}; {gets} reads, {commits} commits",
        handovers[TASKS - 1]
    );
    assert_eq!(order.len(), TASKS);
    assert_eq!(store.lock_state(&id("a")).await.unwrap().fence, TASKS as u64 + 1);
    // One commit to acquire and one to release. Only the first in line asks, so no task loses a race.
    assert_eq!(commits, TASKS * 2 + 1);
    // Two reads (head and mirror) for each of those, and as many for a refusal of a task that becomes first
    // in line, twice if the previous release wakes it.
    assert!(gets <= TASKS * 8 + 2, "{gets}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_in_one_process_are_served_in_order() {
    let site = Site::new(Kind::Memory).await;
    let environment = Arc::new(ManualEnvironment::new(5).stepped());
    let store: Store = site.store_with(site.builder().environment(environment)).await;
    let first = store.acquire(&id("a"), request()).await.unwrap().lease;
    let served = Mutex::new(Vec::new());
    let wait = async |n: usize| {
        let grant = store.acquire(&id("a"), request().wait(HOUR)).await.unwrap();
        served.lock().unwrap().push(n);
        store.release(&id("a"), grant.lease.id).await.unwrap();
    };
    let release = async {
        tokio::task::yield_now().await;
        store.release(&id("a"), first.id.clone()).await.unwrap();
    };
    // The futures are polled in this order, so they join the queue in this order.
    futures::join!(wait(0), wait(1), wait(2), wait(3), release);
    assert_eq!(*served.lock().unwrap(), [0, 1, 2, 3]);
}
