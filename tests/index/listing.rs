//! A listing is complete, whichever process saved the workflows and whichever folds at the same time.

use futures::StreamExt;
use pflow_store::{ChangeRequest, Expect, Query, Store};
use pflow_testkit::{
    Kind, Site, every_backend, generations, history, id, listed, listing, notices, save, versions,
};

every_backend!(
    listing_shows_every_acknowledged_change,
    records_are_folded_when_there_are_enough,
    history_names_every_version_once,
    unchanged_batch_writes_nothing,
);

async fn listing_shows_every_acknowledged_change(site: Site) {
    let store = site.store_with(site.builder().fold_after(4)).await;
    let reader = site.other_store(2).await;
    let mut wanted: Vec<String> = Vec::new();
    for n in 0..20 {
        store.save(save(&format!("w{n:02}"), "1", Expect::Absent)).await.unwrap();
        wanted.push(format!("w{n:02}@1"));
        if n % 3 == 0 {
            store.save(save(&format!("w{n:02}"), "2", Expect::Generation(1))).await.unwrap();
            wanted.pop();
            wanted.push(format!("w{n:02}@2"));
        }
        if n % 5 == 4 {
            store.delete(ChangeRequest::new(id(&format!("w{n:02}")), Expect::Any)).await.unwrap();
            wanted.pop();
        }
        assert_eq!(generations(&store).await, wanted, "the saver itself");
        assert_eq!(generations(&reader).await, wanted, "another process that has listed before");
        assert_eq!(generations(&site.other_store(3).await).await, wanted, "another process that begins now");
    }
    let deleted = listing(&reader, Query::new().deleted(true)).await.unwrap().workflows;
    assert_eq!(deleted.len(), 4);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn records_are_folded_when_there_are_enough(site: Site) {
    let store = site.store_with(site.builder().fold_after(4)).await;
    for n in 1..=12 {
        store.save(save(&format!("w{n:02}"), "1", Expect::Absent)).await.unwrap();
        assert_eq!(site.keys("ops/pending/").await.len(), n % 4, "after {n}");
        assert_eq!(site.keys("ops/segments/").await.len(), n / 4, "after {n}");
        assert_eq!(listed(&site.other_store(2).await).await.len(), n);
        assert_eq!(store.status().await.unwrap().index.pending, n % 4);
    }
    let store = site.other_store_of(site.environment.clone()).await;
    let before = site.keys("ops/segments/").await.len();
    for n in 0..63 {
        store.save(save(&format!("v{n:02}"), "1", Expect::Absent)).await.unwrap();
    }
    assert_eq!(site.keys("ops/segments/").await.len(), before, "64 records are the default");
}

async fn history_names_every_version_once(site: Site) {
    let store = site.store_with(site.builder().fold_after(5)).await;
    for n in 0..40_u64 {
        // The case of a workflow that changes more often between two folds than its head remembers follows
        // below.
        let (name, expect) = (format!("w{}", n % 7), Expect::Any);
        store.save(save(&name, &n.to_string(), expect)).await.unwrap();
        if n % 9 == 8 {
            store.delete(ChangeRequest::new(id(&name), Expect::Any)).await.unwrap();
        }
    }
    let seldom = site.other_store_with(site.environment.clone(), |builder| builder.fold_after(1000)).await;
    for n in 0..50 {
        seldom.save(save("often", &n.to_string(), Expect::Any)).await.unwrap();
    }
    let _: Vec<_> = store.save_all([save("last", "1", Expect::Absent)]).collect().await;
    let mut named = history(&site).await;
    named.sort();
    assert_eq!(named, versions(&site).await);
    assert_eq!(named.len(), 40 + 4 + 50 + 1);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn unchanged_batch_writes_nothing(site: Site) {
    let store = site.store().await;
    let requests = || ["a", "b"].map(|name| save(name, "1", Expect::Any));
    let before = site.dump().await;
    let none: Vec<_> = store.save_all([]).collect().await;
    assert_eq!((none.len(), site.dump().await), (0, before));
    let _: Vec<_> = store.save_all(requests()).collect().await;
    assert_eq!(site.json("index.json").await.as_object().unwrap().len(), 2);
    let before = site.dump().await;
    let again: Vec<_> = store.save_all(requests()).collect().await;
    assert!(again.iter().all(|(_, saved)| saved.as_ref().unwrap().unchanged));
    assert_eq!(site.dump().await, before);
}

/// Saves a new generation of `a` and a new workflow, and folds both.
async fn save_and_fold(store: &Store, n: usize) {
    let requests = [save("a", &n.to_string(), Expect::Any), save(&format!("new{n}"), "1", Expect::Absent)];
    let results: Vec<_> = store.save_all(requests).collect().await;
    assert!(results.iter().all(|(_, result)| result.is_ok()));
}

#[tokio::test]
async fn listing_is_complete_beside_concurrent_saves_and_folds() {
    for warm in [false, true] {
        for call in 0.. {
            let site = Site::new(Kind::Staged).await;
            let store = site.store_with(site.builder().fold_after(1000)).await;
            for name in ["a", "b", "c"] {
                store.save(save(name, "1", Expect::Absent)).await.unwrap();
            }
            let reader = if warm {
                store.clone()
            } else {
                site.on(std::sync::Arc::new(site.probe.clone())).open().await.unwrap()
            };
            let other = site.other_store(2).await;
            site.probe.at_call(call, move || async move { save_and_fold(&other, 2).await });
            let seen = generations(&reader).await;
            let seen: Vec<_> = seen.iter().map(|entry| entry.split('@').next().unwrap()).collect();
            assert!(seen.starts_with(&["a", "b", "c"]), "at call {call}: {seen:?}");
            let over = !site.probe.hook_has_run();
            if !over {
                assert_eq!(generations(&reader).await, ["a@2", "b@1", "c@1", "new2@1"], "after call {call}");
            } else {
                assert!(call >= 2, "the listing made {call} calls");
                break;
            }
        }
    }
}
