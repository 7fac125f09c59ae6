//! Folds and reindexes with another process in between, at every single call.

use std::sync::Arc;

use futures::{StreamExt, future::join_all};
use pflow_store::{ChangeRequest, Expect, Store, backend::ManualEnvironment};
use pflow_testkit::{
    Kind, Site, every_backend, generations, history, id, notices, save, unnamed_parts, versions,
};

every_backend!(concurrent_savers_and_folds_lose_nothing);

/// Saves a new generation of `a` and a new workflow, deletes `b`, and folds.
async fn change_and_fold(store: &Store) {
    let requests = [save("a", "2", Expect::Any), save("new", "1", Expect::Absent)];
    store.delete(ChangeRequest::new(id("b"), Expect::Any)).await.unwrap();
    let results: Vec<_> = store.save_all(requests).collect().await;
    assert!(results.iter().all(|(_, result)| result.is_ok()));
}

/// Lets another process change and fold before each call of `work`, one at a time.
async fn at_every_call(work: impl AsyncFn(&Store)) {
    for staged in [false, true] {
        for call in 0.. {
            let site = Site::new(if staged { Kind::Staged } else { Kind::Memory }).await;
            let store = site.store_with(site.builder().fold_after(1000)).await;
            let _: Vec<_> =
                store.save_all(["a", "b"].map(|name| save(name, "1", Expect::Absent))).collect().await;
            store.save(save("c", "1", Expect::Absent)).await.unwrap();
            let other = site.other_store(2).await;
            site.probe.at_call(call, move || async move { change_and_fold(&other).await });

            work(&store).await;

            if !site.probe.hook_has_run() {
                assert!(call > 3, "it made {call} calls");
                break;
            }
            let wanted = ["a@2", "c@1", "new@1"];
            assert_eq!(generations(&store).await, wanted, "interrupted before call {call}");
            let fresh = site.other_store(3).await;
            assert_eq!(generations(&fresh).await, wanted, "interrupted before call {call}");
            assert_eq!(notices(&fresh.verify().await.unwrap()), [""; 0], "interrupted before call {call}");
            let _: Vec<_> = fresh.save_all([save("last", "1", Expect::Absent)]).collect().await;
            let mut named = history(&site).await;
            named.sort();
            assert_eq!(named, versions(&site).await, "interrupted before call {call}");
        }
    }
}

#[tokio::test]
async fn reindex_loses_no_concurrent_change() {
    at_every_call(async |store| {
        store.reindex().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn fold_loses_no_concurrent_change() {
    at_every_call(async |store| {
        let results: Vec<_> = store.save_all([save("c", "1", Expect::Any)]).collect().await;
        assert!(results[0].1.as_ref().unwrap().unchanged);
    })
    .await;
}

async fn concurrent_savers_and_folds_lose_nothing(site: Site) {
    let first = site.store_with(site.builder().fold_after(2)).await;
    let environment = Arc::new(ManualEnvironment::new(2));
    let second = site.other_store_with(environment, |store| store.fold_after(2)).await;
    let tasks = (0..8).map(|task| {
        let store = if task % 2 == 0 { first.clone() } else { second.clone() };
        tokio::spawn(async move {
            for n in 0..12 {
                // Some workflows of their own, and one that all tasks share.
                let name = if n % 3 == 0 { "shared".to_owned() } else { format!("t{task}.{}", n % 2) };
                let text = format!("{task} {n}");
                let saved = store.save(save(&name, &text, Expect::Any)).await.unwrap();
                assert!(saved.copy_error.is_none() && saved.index_error.is_none(), "{saved:?}");
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let mut heads = Vec::new();
    for key in site.keys("workflows/").await.iter().filter(|key| key.ends_with("metadata.json")) {
        let head = site.json(key).await;
        heads.push(format!("{}@{}", head["id"].as_str().unwrap(), head["current"]["record"]["generation"]));
    }
    assert_eq!(heads.len(), 17);
    assert!(heads.contains(&"shared@32".to_owned()), "{heads:?}");
    for store in [&first, &second, &site.other_store(3).await] {
        assert_eq!(generations(store).await, heads);
    }
    assert_eq!(notices(&first.verify().await.unwrap()), [""; 0]);
    let _: Vec<_> = first.save_all([save("last", "1", Expect::Absent)]).collect().await;
    let mut named = history(&site).await;
    named.sort();
    assert_eq!(named, versions(&site).await);
    assert_eq!(unnamed_parts(first.backend().as_ref()).await, [""; 0], "a fold that lost leaves nothing");
}

#[tokio::test]
async fn fold_claim_of_a_dead_process_is_taken_over() {
    let site = Site::new(Kind::Bucket).await;
    let store = site.store_with(site.builder().fold_after(2).fold_behind(false)).await;
    let claims = [r#"{"format":"pflow-fold/1","nonce":"n"}"#, "what another program put here"];
    for (round, claim) in claims.into_iter().enumerate() {
        site.put("ops/fold", claim).await;
        for n in 1..6 {
            store.save(save("a", &format!("{round} {n}"), Expect::Any)).await.unwrap();
            assert_eq!(site.keys("ops/pending/").await.len(), n, "another process folds");
        }
        store.save(save("a", &format!("{round} last"), Expect::Any)).await.unwrap();
        assert_eq!(site.keys("ops/pending/").await, [""; 0]);
        assert_eq!(unnamed_parts(store.backend().as_ref()).await, [""; 0]);
    }
}
