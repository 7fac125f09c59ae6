//! Attempts whose writers died are ended after a while; a writer that was only slow tries again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use pflow_store::{Expect, Store, StoreOptions, pflow_backend::ManualEnvironment};
use support::{Site, every_backend, generations, history, id, notices, plan, save, versions};

every_backend!(attempts_of_the_dead_are_ended_after_fifteen_minutes);

const MINUTE: Duration = Duration::from_secs(60);

async fn fold(store: &Store) {
    let results: Vec<_> = store.save_all([save("fold", "1", Expect::Any)]).collect().await;
    results[0].1.as_ref().unwrap();
}

async fn attempts_of_the_dead_are_ended_after_fifteen_minutes(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    fold(&store).await;
    let before = site.dump().await;
    let dying = site.other_store(2).await;
    dying.save(save("a", "2", Expect::Any)).await.unwrap();
    dying.save(save("new", "1", Expect::Absent)).await.unwrap();
    site.roll_back("workflows/", &before).await;
    let head = site.json("workflows/a/metadata.json").await;

    site.environment.advance(MINUTE * 15);
    fold(&store).await;
    assert_eq!(site.keys("ops/pending/").await.len(), 2, "whoever is slow is not disturbed");
    assert_eq!(site.json("workflows/a/metadata.json").await, head);

    site.environment.advance(Duration::from_millis(1));
    fold(&store).await;
    assert_eq!(site.keys("ops/pending/").await, [""; 0]);
    assert_eq!(site.keys("versions/new/").await, [""; 0]);
    assert_eq!(site.keys("versions/a/").await.len(), 1);
    let settled = site.json("workflows/a/metadata.json").await;
    assert_eq!(settled["revision"].as_u64(), head["revision"].as_u64().map(|revision| revision + 1));
    assert_ne!(settled["nonce"], head["nonce"]);
    assert_eq!(site.json("workflows/new/metadata.json").await["current"], serde_json::Value::Null);
    assert_eq!(generations(&store).await, ["a@1", "fold@1"]);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
    assert_eq!(store.save(save("new", "2", Expect::Absent)).await.unwrap().generation, 1);
    assert_eq!(store.save(save("a", "3", Expect::Generation(1))).await.unwrap().generation, 2);
}

/// A writer that sleeps for sixteen minutes before one of its requests, whichever it is.
#[tokio::test]
async fn a_late_writer_loses_its_race_and_tries_again() {
    for (existing, last) in [(false, 4), (true, 3)] {
        for call in 0.. {
            let (site, staged) = Site::below_stages();
            let store = Store::init(staged, site.options()).await.unwrap();
            if existing {
                store.save(save("a", "1", Expect::Absent)).await.unwrap();
            }
            let environment = Arc::new(ManualEnvironment::new(2));
            environment.advance(MINUTE * 16);
            let other = site.other_store_with(StoreOptions::new(environment)).await;
            site.probe.take();
            site.probe.at_call(call, move || async move { fold(&other).await });

            let saved = store.save(save("a", "late", Expect::Any)).await.unwrap();

            if !site.probe.hook_has_run() {
                assert!(call > last, "it made {call} calls");
                break;
            }
            let generation = if existing { 2 } else { 1 };
            assert_eq!(saved.generation, generation, "before call {call}");
            // The head is put once more only if the writer slept between its record and its head.
            let swaps = site.probe.take().puts("workflows/a/metadata.json");
            assert_eq!(swaps, if call == last { 2 } else { 1 }, "before call {call}");
            assert_eq!(store.load(&id("a")).await.unwrap().content, plan("late"));
            let fresh = site.other_store(3).await;
            assert_eq!(generations(&fresh).await, [format!("a@{generation}"), "fold@1".to_owned()]);
            assert_eq!(notices(&fresh.verify().await.unwrap()), [""; 0], "before call {call}");
            fold(&fresh).await;
            let mut named = history(&site).await;
            named.sort();
            assert_eq!(named, versions(&site).await, "before call {call}");
        }
    }
}
