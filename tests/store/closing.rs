//! Closing a store waits for operations that started before, and for nothing else, even if several callers
//! close it at the same time.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures::future::{Either, select};
use pflow_store::{
    LeaseId, LeaseRequest, Store,
    backend::{Environment, SystemEnvironment},
};
use pflow_testkit::{Kind, Site, every_backend, id};

every_backend!(close_returns_while_guards_are_dropped, unpolled_release_does_not_block_close);

const MINUTE: Duration = Duration::from_secs(60);

/// Panics instead of hanging.
async fn within_a_minute<T>(work: impl Future<Output = T>) -> T {
    let environment = SystemEnvironment::new().unwrap();
    match select(pin!(work), environment.sleep(MINUTE)).await {
        Either::Left((done, _)) => done,
        Either::Right(_) => panic!("it does not return"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_closes_all_return() {
    let store = Site::new(Kind::Memory).await.store().await;
    let close = |store: Store| async move {
        for round in 0..200_000_u32 {
            store.close().await.unwrap();
            // Yields rarely, so that both threads close at the same time most of the time.
            if round % 512 == 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    let closing = [(); 2].map(|()| tokio::spawn(close(store.clone())));
    within_a_minute(async {
        for one in closing {
            one.await.unwrap();
        }
    })
    .await;
}

async fn close_returns_while_guards_are_dropped(site: Site) {
    let store = site.store().await;
    let stop = Arc::new(AtomicBool::new(false));
    let droppers = ["a", "b", "c", "d"].map(|name| {
        let (store, stop) = (store.clone(), stop.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                drop(store.lock(&id(name), LeaseRequest::new("edit", MINUTE).wait(MINUTE)).await.unwrap());
            }
        })
    });
    within_a_minute(async {
        for _ in 0..50 {
            futures::try_join!(store.close(), store.close()).unwrap();
        }
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for dropper in droppers {
        dropper.await.unwrap();
    }
    store.close().await.unwrap();
    for name in ["a", "b", "c", "d"] {
        assert_eq!(site.other_store(2).await.lock_state(&id(name)).await.unwrap().lease, None);
    }
}

async fn unpolled_release_does_not_block_close(site: Site) {
    let store = site.store().await;
    let request = || LeaseRequest::new("edit", MINUTE).id(LeaseId::parse("mine").unwrap());
    let guard = store.lock(&id("a"), request()).await.unwrap();
    let mut release = pin!(guard.release());
    let asked_once = futures::poll!(&mut release);
    within_a_minute(store.close()).await.unwrap();
    let again = within_a_minute(store.lock(&id("a"), request())).await.unwrap();
    let released = match asked_once {
        Poll::Ready(released) => released,
        Poll::Pending => release.await,
    };
    assert_eq!(released.unwrap().fence + 1, again.fence());
}
