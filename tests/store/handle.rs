//! The handle of one workflow: its calls, and updates that lose no change of another client.

use std::time::Duration;

use futures::future::join_all;
use pflow_store::{Conflict, Error, ErrorKind, Expect, LeaseRequest, Loaded, Workflow};
use pflow_testkit::{Fault, Kind, Left, Site, chain, conflict, every_backend, id, notices, plan, save};
use serde_json::{Value, json};

every_backend!(
    handle_does_what_the_store_does,
    updates_of_many_tasks_lose_nothing,
    update_error_changes_nothing,
    update_runs_again_on_the_newer_version,
    update_sees_a_deletion_as_none,
    update_respects_a_lock,
);

fn runs(loaded: &Loaded) -> u64 {
    loaded.json::<Value>().unwrap()["runs"].as_u64().unwrap()
}

fn counted(runs: u64) -> String {
    json!({ "nodes": [], "runs": runs }).to_string()
}

async fn increment(workflow: &Workflow) -> pflow_store::Result<u64> {
    let saved = workflow.update(|current| Ok::<_, Error>(counted(current.map_or(0, runs) + 1))).await?;
    Ok(saved.generation)
}

async fn handle_does_what_the_store_does(site: Site) {
    let store = site.store().await;
    let workflow = store.workflow(&id("a"));
    assert_eq!(workflow.id(), &id("a"));
    assert_eq!(workflow.load().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(workflow.save(plan("1"), Expect::Absent).await.unwrap().generation, 1);
    let first = workflow.load().await.unwrap();
    assert_eq!((first.id.clone(), first.expect()), (id("a"), Expect::Version(first.record.version_id)));
    assert_eq!(first, store.load(&id("a")).await.unwrap());
    assert_eq!(workflow.save(plan("2"), first.expect()).await.unwrap().generation, 2);
    assert!(matches!(conflict(workflow.save(plan("3"), first.expect()).await), Conflict::Version { .. }));
    assert_eq!(workflow.load_generation(1).await.unwrap(), first);
    assert!(matches!(conflict(workflow.delete(first.expect()).await), Conflict::Version { .. }));
    assert_eq!(workflow.delete(Expect::Generation(2)).await.unwrap().generation, 3);
    assert_eq!(workflow.undelete(Expect::Generation(3)).await.unwrap().generation, 4);
    assert_eq!(workflow.load().await.unwrap().content, plan("2"));
    let guard = workflow.lock(LeaseRequest::new("edit", Duration::from_secs(60))).await.unwrap();
    assert!(workflow.lock_state().await.unwrap().live);
    guard.release().await.unwrap();
    assert_eq!(workflow.lock_state().await.unwrap().lease, None);
}

async fn updates_of_many_tasks_lose_nothing(site: Site) {
    const TASKS: u64 = 8;
    const EACH: u64 = 50;
    let stores = [site.store().await, site.other_store(2).await];
    let tasks = (0..TASKS).map(|nth| {
        let workflow = stores[nth as usize % 2].workflow(&id("a"));
        tokio::spawn(async move {
            let mut generations = Vec::new();
            for _ in 0..EACH {
                generations.push(increment(&workflow).await.unwrap());
            }
            generations
        })
    });
    let mut generations: Vec<u64> = join_all(tasks).await.into_iter().flat_map(Result::unwrap).collect();
    generations.sort_unstable();
    assert_eq!(generations, (1..=TASKS * EACH).collect::<Vec<_>>(), "each update made a version of its own");
    assert_eq!(runs(&stores[0].load(&id("a")).await.unwrap()), TASKS * EACH);
    assert_eq!(notices(&stores[0].verify().await.unwrap()), [""; 0]);
}

async fn update_error_changes_nothing(site: Site) {
    #[derive(Debug)]
    enum Mine {
        Enough,
        Store(Error),
    }
    impl From<Error> for Mine {
        fn from(error: Error) -> Self {
            Self::Store(error)
        }
    }
    let store = site.store().await;
    let workflow = store.workflow(&id("a"));
    let refused = workflow.update(|_| Err::<String, _>(Mine::Enough)).await;
    assert!(matches!(refused, Err(Mine::Enough)));
    assert_eq!(workflow.load().await.unwrap_err().kind(), ErrorKind::NotFound);
    increment(&workflow).await.unwrap();
    let before = site.dump().await;
    let refused = workflow.update(|_| Err::<String, _>(Mine::Enough)).await;
    assert!(matches!(refused, Err(Mine::Enough)));
    // The store's own errors come in the same type.
    let refused = workflow.update(|_| Ok::<_, Mine>("no workflow")).await;
    assert!(matches!(refused, Err(Mine::Store(Error::Document { .. }))));
    assert_eq!(site.dump().await, before);
}

/// Runs an update of `theirs`, in the middle of an update of another store, and returns what that one saw.
async fn meddled<F>(site: &Site, workflow: &Workflow, theirs: impl FnOnce() -> F) -> Vec<Option<u64>>
where
    F: Future<Output = ()> + Send + 'static,
{
    // The closure of an update cannot wait, so another thread of the runtime makes the change.
    let (mut theirs, mut seen) = (Some(theirs()), Vec::new());
    let saved = workflow
        .update(|current| {
            seen.push(current.map(runs));
            if let Some(theirs) = theirs.take() {
                let runtime = tokio::runtime::Handle::current();
                tokio::task::block_in_place(|| runtime.block_on(theirs));
            }
            Ok::<_, Error>(counted(current.map_or(0, runs) + 1))
        })
        .await
        .unwrap();
    assert!(!saved.unchanged);
    assert_eq!(site.keys("versions/").await.len() as u64, saved.generation);
    seen
}

async fn update_runs_again_on_the_newer_version(site: Site) {
    let workflow = site.store().await.workflow(&id("a"));
    let other = site.other_store(2).await.workflow(&id("a"));
    // From nothing, and from a version.
    for wanted in [vec![None, Some(1)], vec![Some(2), Some(3)]] {
        let other = other.clone();
        let seen =
            meddled(&site, &workflow, || async move { assert!(increment(&other).await.is_ok()) }).await;
        assert_eq!(seen, wanted);
    }
    assert_eq!(runs(&workflow.load().await.unwrap()), 4);
}

async fn update_sees_a_deletion_as_none(site: Site) {
    let store = site.store().await;
    let workflow = store.workflow(&id("a"));
    let other = site.other_store(2).await.workflow(&id("a"));
    assert_eq!(increment(&workflow).await.unwrap(), 1);
    // It is deleted between the load and the save.
    let theirs = other.clone();
    let deletes = || async move { drop(theirs.delete(Expect::Any).await.unwrap()) };
    assert_eq!(meddled(&site, &workflow, deletes).await, [Some(1), None]);
    // It was deleted before, and comes back between the load and the save.
    assert_eq!(workflow.delete(Expect::Generation(3)).await.unwrap().generation, 4);
    let restores = || async move { drop(other.undelete(Expect::Any).await.unwrap()) };
    assert_eq!(meddled(&site, &workflow, restores).await, [None, Some(1)]);
    assert_eq!(workflow.delete(Expect::Any).await.unwrap().generation, 7);
    assert_eq!(increment(&workflow).await.unwrap(), 8);
    assert_eq!(runs(&workflow.load().await.unwrap()), 1);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn update_respects_a_lock(site: Site) {
    let workflow = site.store().await.workflow(&id("a"));
    let other = site.other_store(2).await.workflow(&id("a"));
    increment(&workflow).await.unwrap();
    let guard = other.lock(LeaseRequest::new("edit", Duration::from_secs(60))).await.unwrap();
    let mut calls = 0;
    let locked = workflow
        .update(|_| {
            calls += 1;
            Ok::<_, Error>(counted(9))
        })
        .await;
    assert!(matches!(conflict(locked), Conflict::Locked { .. }));
    assert_eq!(calls, 1);
    guard.release().await.unwrap();
    assert_eq!(runs(&workflow.load().await.unwrap()), 1);
}

/// Another client that is faster every time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn update_ends_with_the_conflict_when_it_always_loses() {
    let site = Site::new(Kind::Memory).await;
    let (store, other) = (site.store().await, site.other_store(2).await);
    let mut calls = 0;
    let lost = store
        .workflow(&id("a"))
        .update(|_| {
            calls += 1;
            let faster = other.save(save("a", &calls.to_string(), Expect::Any));
            let runtime = tokio::runtime::Handle::current();
            tokio::task::block_in_place(|| runtime.block_on(faster)).unwrap();
            Ok::<_, Error>(plan("late"))
        })
        .await;
    assert!(matches!(conflict(lost), Conflict::Version { .. }));
    assert_eq!(calls, 101);
    assert!(!chain(&store, "a").await.contains(&plan("late")));
}

#[tokio::test]
async fn update_with_an_unknown_outcome_is_not_repeated() {
    let site = Site::new(Kind::Disk).await;
    let workflow = site.store().await.workflow(&id("a"));
    increment(&workflow).await.unwrap();
    site.probe.fail(Fault::unknown(Left::All));
    let mut calls = 0;
    let unknown = workflow
        .update(|current| {
            calls += 1;
            Ok::<_, Error>(counted(current.map_or(0, runs) + 1))
        })
        .await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(calls, 1);
    site.probe.heal();
    assert_eq!(runs(&workflow.load().await.unwrap()), 2);
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it is only read")]
struct Counted {
    nodes: Vec<Value>,
    runs: u64,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default, deserialize_with = "picky")]
    address: String,
}

#[derive(Debug, serde::Deserialize)]
#[allow(dead_code, reason = "it is only read")]
enum Mode {
    Fast,
    Slow,
}

fn picky<'de, D: serde::Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text: String = serde::Deserialize::deserialize(input)?;
    Err(serde::de::Error::custom(format!("{text} is not an address")))
}

#[tokio::test]
async fn content_of_another_type_names_the_place_and_no_value() {
    let store = Site::new(Kind::Memory).await.store().await;
    let workflow = store.workflow(&id("a"));
    workflow.save(counted(3), Expect::Absent).await.unwrap();
    assert_eq!(workflow.load().await.unwrap().json::<Counted>().unwrap().runs, 3);
    for (rest, reason) in [
        (r#""runs": "hunter2" }"#, "expected u64"),
        (r#""runs": "hunter2, expected hunter2" }"#, "expected u64"),
        (r#""runs": -12 }"#, "expected u64"),
        (r#""runs": 1, "mode": "hunter2" }"#, "expected `Fast` or `Slow`"),
        (r#""mode": "Fast" }"#, "missing field `runs`"),
        (r#""runs": 1, "ran": 2 }"#, "unknown field `ran`"),
        (r#""runs": 1, "address": "hunter2" }"#, "the value is not one that the type accepts"),
    ] {
        let text = format!("{{ \"nodes\": [],\n  {rest}");
        let generation = workflow.save(text, Expect::Any).await.unwrap().generation;
        let refused = workflow.load().await.unwrap().json::<Counted>().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        let told = refused.to_string();
        let start = format!("generation {generation} of a has another form at line 2, column ");
        assert!(told.starts_with(&start) && told.contains(reason) && !told.contains("hunter2"), "{told}");
    }
}
