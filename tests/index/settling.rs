//! The next fold fences the attempts of stopped writers, and deletes nothing of them. A writer that was only
//! slow retries.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use pflow_store::{Expect, Store, backend::ManualEnvironment};
use pflow_testkit::{Kind, Site, damaged, generations, history, id, notices, plan, save, versions};

const MINUTE: Duration = Duration::from_secs(60);

async fn fold(store: &Store) {
    let results: Vec<_> = store.save_all([save("fold", "1", Expect::Any)]).collect().await;
    results[0].1.as_ref().unwrap();
}

/// Returns a store in which the heads of `a` and of `new` are reverted to their state before a last save of
/// each.
async fn taken_back(kind: Kind) -> (Site, Store) {
    let site = Site::new(kind).await;
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    fold(&store).await;
    let before = site.dump().await;
    let stopping = site.other_store(2).await;
    stopping.save(save("a", "2", Expect::Any)).await.unwrap();
    stopping.save(save("new", "1", Expect::Absent)).await.unwrap();
    site.roll_back("workflows/", &before).await;
    (site, store)
}

/// On a bucket, a writer that stops between its version and its head leaves this state.
#[tokio::test]
async fn fold_fences_and_keeps_unconfirmed_versions() {
    for kind in [Kind::Staged, Kind::Bucket] {
        let (site, store) = taken_back(kind).await;
        let head = site.json("workflows/a/metadata.json").await;

        fold(&store).await;
        assert_eq!(site.keys("ops/pending/").await, [""; 0]);
        assert_eq!((site.keys("versions/new/").await.len(), site.keys("versions/a/").await.len()), (1, 2));
        let fenced = site.json("workflows/a/metadata.json").await;
        assert_eq!(fenced["revision"].as_u64(), head["revision"].as_u64().map(|revision| revision + 1));
        assert_ne!(fenced["nonce"], head["nonce"]);
        assert_eq!(site.json("workflows/new/metadata.json").await["current"], serde_json::Value::Null);
        assert_eq!(generations(&store).await, ["a@1", "fold@1"]);
        let last = site.json("ops/checkpoint").await["last_segment"]["key"].as_str().unwrap().to_owned();
        let lines = String::from_utf8(site.get(&last).await.unwrap().to_vec()).unwrap();
        assert_eq!(
            lines.lines().filter(|line| line.starts_with(r#"{"unconfirmed":{"id":"#)).count(),
            2,
            "{lines}"
        );
        let found = notices(&store.verify().await.unwrap());
        assert_eq!(found.iter().filter(|notice| notice.contains("unconfirmed")).count(), 2, "{found:?}");

        assert_eq!(store.save(save("new", "2", Expect::Absent)).await.unwrap().generation, 1);
        assert_eq!(store.save(save("a", "3", Expect::Generation(1))).await.unwrap().generation, 2);
        fold(&store).await;
        assert_eq!(site.keys("versions/").await.len(), 6, "nothing was deleted");
        let found = notices(&store.verify().await.unwrap());
        assert_eq!(found.iter().filter(|notice| notice.contains("beside the chain")).count(), 2, "{found:?}");
    }
}

/// On a disk no version exists before its head, so the heads were replaced by older ones: nothing is settled,
/// however long ago that was.
#[tokio::test]
async fn fold_settles_nothing_if_the_head_is_hurt() {
    for kind in [Kind::Memory, Kind::PlainMemory, Kind::Disk] {
        let (site, store) = taken_back(kind).await;
        site.environment.advance(MINUTE * 60 * 24 * 365);
        let head = site.get("workflows/a/metadata.json").await;
        fold(&store).await;
        store.reindex().await.unwrap();
        assert_eq!(site.keys("ops/pending/").await.len(), 2, "{kind:?}");
        assert_eq!(site.keys("versions/").await.len(), 4, "{kind:?}");
        assert_eq!(site.get("workflows/a/metadata.json").await, head, "{kind:?}");
        let report = store.verify().await.unwrap();
        assert_eq!(
            damaged(&report),
            ["workflows/a/metadata.json", "workflows/new/metadata.json"],
            "{kind:?}"
        );
    }
}

/// A writer is suspended before one of its requests, at every request, while another process folds.
#[tokio::test]
async fn late_writer_loses_its_race_and_retries() {
    for (existing, last) in [(false, 5), (true, 3)] {
        for call in 0.. {
            let (site, staged) = Site::below_stages();
            let store = site.on(staged).init().await.unwrap();
            if existing {
                store.save(save("a", "1", Expect::Absent)).await.unwrap();
            }
            let environment = Arc::new(ManualEnvironment::new(2));
            let other = site.other_store_of(environment).await;
            site.probe.take();
            site.probe.at_call(call, move || async move { fold(&other).await });

            let saved = store.save(save("a", "late", Expect::Any)).await.unwrap();

            if !site.probe.hook_has_run() {
                assert!(call > last, "it made {call} calls");
                break;
            }
            let generation = if existing { 2 } else { 1 };
            assert_eq!(saved.generation, generation, "before call {call}");
            // The head is put a second time only if the writer was suspended between its record and its head.
            let swaps = site.probe.take().puts("workflows/a/metadata.json");
            // A first version is put while the workflow's versions are listed (call 3), so there the fold may
            // come before or after the record.
            let wanted = if call == last {
                2..=2
            } else if !existing && call == 3 {
                1..=2
            } else {
                1..=1
            };
            assert!(wanted.contains(&swaps), "{swaps} swaps before call {call}");
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
