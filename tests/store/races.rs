//! Concurrent operations on one workflow.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, future::join_all};
use pflow_store::{
    ChangeRequest, Conflict, Error, Expect, LeaseRequest, Saved, Store, backend::ManualEnvironment,
};
use pflow_testkit::{Kind, Site, conflict, every_backend, generations, id, notices, plan, save};

every_backend!(
    concurrent_saves_with_expect_any_all_succeed,
    one_creator_wins,
    one_of_several_saves_on_one_generation_wins,
    concurrent_counters_with_equal_documents_lose_nothing,
    one_creator_wins_even_with_equal_content,
    one_of_several_acquires_wins,
    batch_may_change_one_workflow_repeatedly,
);

const TASKS: u64 = 16;

/// Every task reads the number and saves the next one, built on what it read. The document contains only the
/// number, so two tasks that count at the same time produce identical bytes.
async fn concurrent_counters_with_equal_documents_lose_nothing(site: Site) {
    const TURNS: u64 = 8;
    let first = site.store().await;
    first.save(save("counter", "0", Expect::Absent)).await.unwrap();
    race(&site, |store, _| async move {
        for _ in 0..TURNS {
            loop {
                let loaded = store.load(&id("counter")).await.unwrap();
                let text = String::from_utf8(loaded.content.to_vec()).unwrap();
                let number: u64 =
                    text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap();
                let expect = Expect::Generation(loaded.record.generation);
                match store.save(save("counter", &(number + 1).to_string(), expect)).await {
                    Ok(saved) => break assert!(!saved.unchanged),
                    Err(Error::Conflict(_)) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    })
    .await;
    let last = first.load(&id("counter")).await.unwrap();
    assert_eq!(
        (last.content, last.record.generation),
        (plan(&(TASKS * TURNS).to_string()).into(), TASKS * TURNS + 1)
    );
}

async fn one_creator_wins_even_with_equal_content(site: Site) {
    let saved = race(&site, |store, _| async move { store.save(save("a", "1", Expect::Absent)).await }).await;
    assert_eq!(saved.iter().filter(|saved| saved.is_ok()).count(), 1);
}

/// Runs `work` in many tasks on two handles. Returns the results in any order.
async fn race<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    site: &Site,
    work: impl Fn(Store, u64) -> F,
) -> Vec<T> {
    let first = site.store().await;
    let environment = Arc::new(ManualEnvironment::new(2));
    let second = site.other_store_of(environment).await;
    let tasks = (0..TASKS).map(|n| {
        let store = if n % 2 == 0 { first.clone() } else { second.clone() };
        tokio::spawn(work(store, n))
    });
    join_all(tasks).await.into_iter().map(Result::unwrap).collect()
}

async fn concurrent_saves_with_expect_any_all_succeed(site: Site) {
    let saved =
        race(
            &site,
            |store, n| async move { store.save(save("a", &n.to_string(), Expect::Any)).await.unwrap() },
        )
        .await;
    let mut reached: Vec<u64> = saved.iter().map(|saved| saved.generation).collect();
    reached.sort_unstable();
    assert_eq!(reached, (1..=TASKS).collect::<Vec<_>>());
    let store = site.other_store(3).await;
    for Saved { generation, hash, .. } in saved {
        assert_eq!(store.load_generation(&id("a"), generation).await.unwrap().record.hash, hash);
    }
    let report = store.verify().await.unwrap();
    assert_eq!((report.versions as u64, notices(&report)), (TASKS, vec![]));
    assert_eq!(site.keys("versions/").await.len() as u64, TASKS, "lost attempts are cleared away");
    assert_eq!(generations(&store).await, [format!("a@{TASKS}")]);
}

async fn one_creator_wins(site: Site) {
    let saved =
        race(
            &site,
            |store, n| async move { (n, store.save(save("a", &n.to_string(), Expect::Absent)).await) },
        )
        .await;
    let (won, lost): (Vec<_>, Vec<_>) = saved.into_iter().partition(|(_, saved)| saved.is_ok());
    assert_eq!(won.len(), 1);
    for (_, refused) in lost {
        let Conflict::Exists { found, .. } = conflict(refused) else { panic!("another conflict") };
        assert_eq!(found.generation, 1);
    }
    let store = site.other_store(3).await;
    assert_eq!(store.load(&id("a")).await.unwrap().content, plan(&won[0].0.to_string()));
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn one_of_several_saves_on_one_generation_wins(site: Site) {
    site.store().await.save(save("a", "first", Expect::Absent)).await.unwrap();
    let changed = race(&site, |store, n| async move {
        match n {
            0 => store.delete(ChangeRequest::new(id("a"), Expect::Generation(1))).await,
            _ => store.save(save("a", &n.to_string(), Expect::Generation(1))).await,
        }
    })
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = changed.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for refused in lost {
        assert!(
            matches!(refused, Err(Error::Conflict(_)) | Ok(Saved { unchanged: true, .. })),
            "{refused:?}"
        );
    }
    let store = site.other_store(3).await;
    assert_eq!(store.show(&id("a")).await.unwrap().generation(), 2);
    assert!(store.verify().await.unwrap().is_sound());
}

async fn one_of_several_acquires_wins(site: Site) {
    let grants = race(&site, |store, n| async move {
        let operation = format!("task {n}");
        store.acquire(&id("a"), LeaseRequest::new(operation, Duration::from_secs(60))).await
    })
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = grants.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    let held = &won[0].as_ref().unwrap().lease;
    for refused in lost {
        let Conflict::Locked { lease, .. } = conflict(refused) else { panic!("another conflict") };
        assert_eq!(&*lease, held);
    }
    assert_eq!(site.store().await.lock_state(&id("a")).await.unwrap().fence, 1);
}

async fn batch_may_change_one_workflow_repeatedly(site: Site) {
    let store = site.store_with(site.builder().concurrency(5)).await;
    let requests: Vec<_> = (0..20)
        .map(|n| match n % 4 {
            0 => save("shared", &n.to_string(), Expect::Any),
            1 => save("once", &n.to_string(), Expect::Absent),
            _ => save(&format!("w{n:02}"), "x", Expect::Absent),
        })
        .collect();
    let results: Vec<_> = store.save_all(requests).collect().await;
    let count = |name: &str, good: bool| {
        results.iter().filter(|(of, result)| *of == id(name) && result.is_ok() == good).count()
    };
    assert_eq!((count("shared", true), count("once", true), count("once", false)), (5, 1, 4));
    assert_eq!(generations(&store).await.len(), 12);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

/// Another process changes the workflow before each call of a save, one at a time.
#[tokio::test]
async fn interrupted_save_loses_nothing_at_any_call() {
    for kind in [Kind::Memory, Kind::PlainMemory, Kind::Staged] {
        for call in 0.. {
            let site = Site::new(kind).await;
            let store = site.store_with(site.builder().fold_after(1)).await;
            store.save(save("a", "1", Expect::Absent)).await.unwrap();
            let other = site.other_store(2).await;
            site.probe.at_call(call, move || async move {
                other.save(save("a", "theirs", Expect::Any)).await.unwrap();
            });
            assert!(store.save(save("a", "ours", Expect::Any)).await.is_ok(), "{kind:?} at call {call}");
            if !site.probe.hook_has_run() {
                assert!(call > 3, "it made {call} calls");
                break;
            }
            assert_eq!(generations(&store).await, ["a@3"], "{kind:?} at call {call}");
            let report = store.verify().await.unwrap();
            assert_eq!((report.versions, notices(&report)), (3, vec![]), "{kind:?} at call {call}");
            let mut contents = Vec::new();
            for generation in 1..=3 {
                contents.push(store.load_generation(&id("a"), generation).await.unwrap().content);
            }
            contents.sort();
            assert_eq!(contents, [plan("1"), plan("ours"), plan("theirs")], "{kind:?} at call {call}");
            assert_eq!(store.load(&id("a")).await.unwrap().record.generation, 3);
        }
    }
}

/// A reader sees one complete version, at whatever call of its load another process saves.
#[tokio::test]
async fn load_beside_a_save_returns_one_complete_version() {
    for kind in [Kind::Memory, Kind::PlainMemory, Kind::Staged, Kind::PlainStaged, Kind::Disk] {
        // With atomic batches an older copy is a person's edit, but a copy may be missing.
        let goes = matches!(kind, Kind::PlainMemory | Kind::Disk);
        for (lagging, call) in (0..8).map(|n| (n % 2 == 0, n / 2)) {
            let site = Site::new(kind).await;
            let store = site.store().await;
            store.save(save("a", "0", Expect::Absent)).await.unwrap();
            store.save(save("a", "1", Expect::Any)).await.unwrap();
            match (lagging, goes) {
                (true, true) => site.remove("workflows/a/workflow.json").await,
                (true, false) => site.put("workflows/a/workflow.json", plan("0")).await,
                (false, _) => {}
            }
            let other = site.other_store(2).await;
            site.probe.at_call(call, move || async move {
                other.save(save("a", "2", Expect::Any)).await.unwrap();
            });
            let loaded = store.load(&id("a")).await.unwrap();
            let wanted = plan(if loaded.record.generation == 2 { "1" } else { "2" });
            assert_eq!(loaded.content, wanted, "{kind:?} at call {call}");
            let early = !site.probe.hook_has_run();
            assert_eq!(store.load(&id("a")).await.unwrap().content, plan(if early { "1" } else { "2" }));
            assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "{kind:?} at call {call}");
        }
    }
}
