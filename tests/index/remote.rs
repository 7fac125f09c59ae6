//! Folding on a remote storage: after the reply, and often enough that a cold reader never has many heads to
//! read.

use std::sync::Arc;

use futures::{StreamExt, future::join_all};
use pflow_store::{
    Expect, Query, Store,
    backend::{ManualEnvironment, Prefix, StorageBackend},
};
use pflow_testkit::{Kind, Remote, Site, generations, listing, notices, save};

/// The maximum number of heads that a cold reader may have to read.
const MOST: usize = 256;

/// Opens a store on memory that reports to be a remote service, as another process would.
async fn open(site: &Site, seed: u64) -> Store {
    let remote: Arc<dyn StorageBackend> = Arc::new(Remote(site.raw.clone()));
    Store::on(remote).environment(Arc::new(ManualEnvironment::new(seed))).init().await.unwrap()
}

async fn pending(site: &Site) -> usize {
    site.raw.list(&Prefix::parse("ops/pending").unwrap(), None).count().await
}

/// Returns how many heads a cold reader reads.
async fn heads_read(site: &Site) -> usize {
    let reader = site.on(Arc::new(site.probe.clone())).open().await.unwrap();
    site.probe.take();
    listing(&reader, Query::new()).await.unwrap();
    site.probe.take().gets.iter().filter(|key| key.ends_with("metadata.json")).count()
}

#[tokio::test]
async fn many_short_runs_leave_few_heads_to_read() {
    let site = Site::new(Kind::Staged).await;
    let (mut most, mut folds) = (0, 0);
    for run in 0..400 {
        let store = open(&site, run).await;
        store.save(save(&format!("w{run:03}"), "1", Expect::Absent)).await.unwrap();
        let before = pending(&site).await;
        store.close().await.unwrap();
        folds += usize::from(pending(&site).await < before);
        most = most.max(pending(&site).await);
    }
    assert!(folds >= 5, "{folds}");
    // One of eight saves checks, at random.
    assert!((64..=128).contains(&most), "{most}");
    assert!(heads_read(&site).await <= most);
    let store = open(&site, 1000).await;
    assert_eq!(generations(&store).await.len(), 400);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

/// Sixteen long-lived processes that check at the worst times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_leave_few_heads_to_read() {
    let site = Arc::new(Site::new(Kind::Staged).await);
    let stores = join_all((0..16).map(|seed| open(&site, seed))).await;
    let writing = stores.iter().enumerate().map(|(writer, store)| {
        let (store, site) = (store.clone(), Arc::clone(&site));
        tokio::spawn(async move {
            let mut most = 0;
            for n in 0..60 {
                store.save(save(&format!("w{writer:02}.{n:02}"), "1", Expect::Absent)).await.unwrap();
                most = most.max(pending(&site).await);
            }
            store.close().await.unwrap();
            most
        })
    });
    let most = join_all(writing).await.into_iter().map(Result::unwrap).max().unwrap();
    assert!((64..=MOST).contains(&most), "{most}");
    assert!(heads_read(&site).await <= MOST);
    assert_eq!(generations(&stores[0]).await.len(), 16 * 60);
    assert_eq!(notices(&stores[0].verify().await.unwrap()), [""; 0]);
}

#[tokio::test]
async fn remote_fold_follows_the_reply_and_close_waits_for_it() {
    let site = Site::new(Kind::Staged).await;
    let remote: Arc<dyn StorageBackend> = Arc::new(Remote(Arc::new(site.probe.clone())));
    let environment = Arc::new(ManualEnvironment::new(1));
    let store = Store::on(remote).environment(environment).fold_after(1).init().await.unwrap();
    let saved = store.save(save("a", "1", Expect::Absent)).await.unwrap();
    assert_eq!((saved.generation, pending(&site).await), (1, 1), "the answer came first");
    store.close().await.unwrap();
    assert_eq!(pending(&site).await, 0);
    // A fold that fails after the reply is made up for later.
    site.probe.fail(pflow_testkit::Fault {
        touching: "ops/checkpoint",
        ..pflow_testkit::Fault::refuse(usize::MAX)
    });
    assert!(store.save(save("b", "1", Expect::Absent)).await.unwrap().index_error.is_none());
    store.close().await.unwrap();
    assert_eq!((site.probe.heal() > 0, pending(&site).await), (true, 1));
    store.save(save("c", "1", Expect::Absent)).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(pending(&site).await, 0);
    assert_eq!(generations(&store).await, ["a@1", "b@1", "c@1"]);
}
