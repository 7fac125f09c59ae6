//! Savers and acquirers of one process wait for a lock in one queue.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use pflow_store::{
    Conflict, Expect, LeaseRequest, Store,
    backend::{ManualEnvironment, async_trait},
    conflict::{Case, ConflictResolver, Policy, Resolution},
};
use pflow_testkit::{Kind, Site, conflict, id, save};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn request() -> LeaseRequest {
    LeaseRequest::new("edit", MINUTE)
}

#[tokio::test]
async fn savers_and_acquirers_share_one_fifo_queue() {
    let site = Site::new(Kind::Memory).await;
    let environment = Arc::new(ManualEnvironment::new(5).stepped());
    let store = site.store_with(site.builder().environment(environment.clone())).await;
    store.save(save("a", "0", Expect::Absent)).await.unwrap();
    let first = store.acquire(&id("a"), request()).await.unwrap().lease;
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for n in 0..8 {
        let (store, environment, served) = (store.clone(), environment.clone(), served.clone());
        tasks.push(tokio::spawn(async move {
            if n % 2 == 0 {
                let request = save("a", &format!("{}", n + 1), Expect::Any).lock_timeout(HOUR);
                store.save(request.resolver(Arc::new(Policy::Wait))).await.unwrap();
                served.lock().unwrap().push(n);
                return;
            }
            let lease = store.acquire(&id("a"), request().wait(HOUR)).await.unwrap().lease;
            served.lock().unwrap().push(n);
            // Long enough for the first in line to read the head, and to find another lease than the one it
            // met on arrival.
            for _ in 0..20 {
                environment.advance(Duration::from_millis(5));
                rest().await;
            }
            store.release(&id("a"), lease.id).await.unwrap();
        }));
        rest().await;
    }
    store.release(&id("a"), first.id).await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*served.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
}

/// Lets all ready tasks run.
async fn rest() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Waits, and counts how often it is called.
#[derive(Debug, Default)]
struct Counting(AtomicU32);

#[async_trait]
impl ConflictResolver for Counting {
    async fn resolve(&self, _: &Case) -> pflow_store::Result<Resolution> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Resolution::Wait { limit: HOUR * 24 })
    }
}

#[tokio::test]
async fn save_waits_through_thousands_of_handovers() {
    // Three nodes are visited for each handover, which is more than the default step limit of a flow.
    const TIMES: u32 = 3500;
    let site = Site::new(Kind::Memory).await;
    let (store, other) = (site.store().await, site.other_store(2).await);
    store.save(save("a", "0", Expect::Absent)).await.unwrap();
    let asked = Arc::new(Counting::default());
    let waits = async {
        let saved = store.save(save("a", "1", Expect::Any).resolver(asked.clone())).await;
        // No client waits any more, however the save ended.
        asked.0.fetch_max(TIMES, Ordering::Relaxed);
        saved
    };
    // Each handover is one swap, so the lock is never free.
    let hand_over = async || {
        let request = save("a", "0", Expect::Any).hold(request().detached());
        other.save(request.resolver(Arc::new(Policy::Override))).await.unwrap().lease.unwrap()
    };
    let mut last = hand_over().await;
    let busy = async {
        while asked.0.load(Ordering::Relaxed) < TIMES {
            last = hand_over().await;
            tokio::task::yield_now().await;
        }
        other.release(&id("a"), last.id).await.unwrap();
    };
    let (saved, ()) = futures::join!(waits, busy);
    assert_eq!(saved.unwrap().generation, 2);
}

/// Waits for the lock, and then locks the workflow, which is free by then, to inspect it.
#[derive(Debug)]
struct Looks {
    store: Store,
    waits: AtomicBool,
    took: Mutex<Option<Duration>>,
}

#[async_trait]
impl ConflictResolver for Looks {
    async fn resolve(&self, case: &Case) -> pflow_store::Result<Resolution> {
        if matches!(case.conflict(), Conflict::Locked { .. }) {
            self.waits.store(true, Ordering::Relaxed);
            return Ok(Resolution::Wait { limit: MINUTE });
        }
        let environment = self.store.environment();
        let begun = environment.monotonic();
        let grant = self.store.acquire(case.id(), request().wait(MINUTE)).await?;
        *self.took.lock().unwrap() = Some(environment.monotonic() - begun);
        self.store.release(case.id(), grant.lease.id).await?;
        Ok(Resolution::Cancel)
    }
}

#[tokio::test]
async fn resolver_may_lock_during_its_own_change() {
    let site = Site::new(Kind::Memory).await;
    let environment = Arc::new(ManualEnvironment::new(5).stepped());
    let store = site.store_with(site.builder().environment(environment.clone())).await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let other = site.other_store(2).await;
    let held = other.acquire(&id("a"), request()).await.unwrap().lease;
    let looks =
        Arc::new(Looks { store: store.clone(), waits: AtomicBool::new(false), took: Mutex::default() });
    let saver = tokio::spawn({
        let request = save("a", "mine", Expect::Generation(1)).resolver(looks.clone());
        async move { store.save(request).await }
    });
    // The first attempt loses its race with the lease, and continues after a random wait.
    while !looks.waits.load(Ordering::Relaxed) {
        environment.advance(Duration::from_millis(5));
        rest().await;
    }
    rest().await;
    other.save(save("a", "2", Expect::Any).lease(held.id.clone())).await.unwrap();
    other.release(&id("a"), held.id).await.unwrap();
    while !saver.is_finished() {
        environment.advance(Duration::from_millis(5));
        rest().await;
    }
    assert!(matches!(conflict(saver.await.unwrap()), Conflict::Version { .. }));
    let took = looks.took.lock().unwrap().unwrap();
    assert!(took < Duration::from_secs(1), "it waited {took:?} for a free lock");
}
