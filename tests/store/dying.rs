//! A process dies at any request of any operation. The next process finds the old state or the new one, and
//! continues.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt;
use pflow_store::{
    ChangeRequest, Expect, LeaseId, LeaseRequest, Store,
    backend::{ManualEnvironment, Outcome},
};
use pflow_testkit::{Fault, Kind, Left, Site, damaged, generations, history, id, notices, plan, save};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operation {
    Create,
    Save,
    SaveAndHold,
    SaveOverAnExpiredLease,
    Delete,
    Undelete,
    Acquire,
    Release,
    Fold,
    Reindex,
}

use Operation::{
    Acquire, Create, Delete, Fold, Reindex, Release, Save, SaveAndHold, SaveOverAnExpiredLease, Undelete,
};

const ALL: [Operation; 10] =
    [Create, Save, SaveAndHold, SaveOverAnExpiredLease, Delete, Undelete, Acquire, Release, Fold, Reindex];

fn held() -> LeaseId {
    LeaseId::parse("held").unwrap()
}

fn lease() -> LeaseRequest {
    LeaseRequest::new("edit", Duration::from_secs(60)).id(held())
}

/// Prepares an index with a base, a segment and records.
async fn prepare(site: &Site, store: &Store, operation: Operation) {
    for name in ["a", "b", "c"] {
        store.save(save(name, "1", Expect::Absent)).await.unwrap();
    }
    store.reindex().await.unwrap();
    store.save(save("b", "2", Expect::Any)).await.unwrap();
    match operation {
        Undelete => drop(store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap()),
        Release => drop(store.acquire(&id("a"), lease()).await.unwrap()),
        SaveOverAnExpiredLease => {
            store.acquire(&id("a"), lease()).await.unwrap();
            site.environment.advance(Duration::from_secs(600));
        }
        _ => {}
    }
}

async fn perform(store: &Store, operation: Operation) -> bool {
    let done = match operation {
        Create => store.save(save("new", "1", Expect::Absent)).await.map(drop),
        Save | SaveOverAnExpiredLease => store.save(save("a", "2", Expect::Any)).await.map(drop),
        SaveAndHold => store.save(save("a", "2", Expect::Any).hold(lease())).await.map(drop),
        Delete => store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.map(drop),
        Undelete => store.undelete(ChangeRequest::new(id("a"), Expect::Any)).await.map(drop),
        Acquire => store.acquire(&id("a"), lease()).await.map(drop),
        Release => store.release(&id("a"), held()).await.map(drop),
        Fold => {
            let results: Vec<_> = store.save_all([save("c", "2", Expect::Any)]).collect().await;
            results.into_iter().next().unwrap().1.map(drop)
        }
        Reindex => store.reindex().await.map(drop),
    };
    done.is_ok()
}

/// Returns `id@generation` of every live workflow, from its head alone.
async fn heads(site: &Site) -> Vec<String> {
    let mut heads = Vec::new();
    for key in site.keys("workflows/").await.iter().filter(|key| key.ends_with("metadata.json")) {
        let head = site.json(key).await;
        if head["current"]["record"]["deleted"] == false {
            heads.push(format!(
                "{}@{}",
                head["id"].as_str().unwrap(),
                head["current"]["record"]["generation"]
            ));
        }
    }
    heads
}

async fn go_on(site: &Site, died: &str) {
    let environment = Arc::new(ManualEnvironment::new(2));
    // Later than the end of every lease and every attempt.
    environment.advance(Duration::from_secs(3600));
    let store = site.other_store_of(environment).await;
    let wanted = heads(site).await;
    assert_eq!(generations(&store).await, wanted, "{died}");
    let report = store.verify().await.unwrap();
    assert_eq!(damaged(&report), [""; 0], "{died}: {report:#?}");
    for entry in &wanted {
        let name = id(entry.split('@').next().unwrap());
        let loaded = store.load(&name).await.unwrap_or_else(|error| panic!("{died}: {name}: {error}"));
        let version = store.load_generation(&name, loaded.record.generation).await.unwrap();
        assert_eq!(loaded, version, "{died}");
    }
    for name in ["a", "b", "c", "new"] {
        let saved = store.save(save(name, "after", Expect::Any)).await;
        let saved = saved.unwrap_or_else(|error| panic!("{died}: {name}: {error}"));
        assert!(saved.copy_error.is_none() && saved.index_error.is_none(), "{died}: {saved:?}");
        assert_eq!(store.load(&id(name)).await.unwrap().content, plan("after"), "{died}");
    }
    let results: Vec<_> = store.save_all([save("last", "1", Expect::Absent)]).collect().await;
    assert!(results[0].1.is_ok());
    assert_eq!(site.keys("ops/pending/").await, [""; 0], "{died}");
    assert_eq!(generations(&store).await, heads(site).await, "{died}");
    let report = store.verify().await.unwrap();
    // The versions of dead attempts stay until garbage collection, and the mirror of a lease until the next
    // lease.
    let harmless = ["beside the chain", "unconfirmed", "workflow.lock: left over"];
    let leftover = |notice: &String| harmless.iter().any(|words| notice.contains(words));
    assert!(notices(&report).iter().all(leftover), "{died}: {:#?}", report.findings);
    let mut named = history(site).await;
    assert_eq!(named.len(), report.versions, "{died}");
    named.sort();
    named.dedup();
    assert_eq!(named.len(), report.versions, "{died}: a version is named twice");
}

/// Returns the result of the operation, as far as the heads show it.
async fn outcome(site: &Site) -> BTreeMap<String, u64> {
    let mut outcome = BTreeMap::new();
    for key in site.keys("workflows/").await.iter().filter(|key| key.ends_with("metadata.json")) {
        outcome.insert(key.clone(), site.json(key).await["revision"].as_u64().unwrap());
    }
    outcome
}

#[tokio::test]
async fn death_at_any_bucket_request_leaves_old_or_new_state() {
    for operation in ALL {
        for spared in 0.. {
            let (site, staged) = Site::below_stages();
            let store = site.on(staged).init().await.unwrap();
            prepare(&site, &store, operation).await;
            let before = outcome(&site).await;
            site.probe.fail(Fault { spared, times: usize::MAX, ..Fault::unknown(Left::Stages(0)) });
            let done = perform(&store, operation).await;
            let struck = site.probe.heal();
            let died = format!("{operation:?} died at write {spared}");
            let after = outcome(&site).await;
            let risen: u64 = after.values().sum::<u64>() - before.values().sum::<u64>();
            assert!(risen <= 1, "{died}: one swap at most");
            assert!(!done || risen == 1 || operation == Reindex, "{died}: success means that it happened");
            go_on(&site, &died).await;
            if struck == 0 {
                assert!(spared > 1, "{operation:?} made {spared} writes");
                break;
            }
        }
    }
}

#[tokio::test]
async fn death_between_commit_stages_leaves_old_or_new_state() {
    for kind in [Kind::Disk, Kind::PlainMemory, Kind::Staged] {
        // A disk syncs each of its thousands of files. These operations cover what it adds to memory.
        let few = [Save, SaveOverAnExpiredLease, Delete, Fold];
        for &operation in if kind == Kind::Disk { &few[..] } else { &ALL[..] } {
            // With atomic batches a commit happens or not. A partial commit is damage there, and `verify`
            // reports it.
            let most = if kind == Kind::Staged { 6 } else { 1 };
            for stages in (0..most).map(Left::Stages).chain([Left::All]) {
                let site = Site::new(kind).await;
                let store = site.store().await;
                prepare(&site, &store, operation).await;
                // A fold comes after the commit of the save that triggers it.
                let spared = usize::from(operation == Fold);
                site.probe.fail(Fault { spared, times: usize::MAX, ..Fault::unknown(stages) });
                perform(&store, operation).await;
                assert!(site.probe.heal() > 0);
                go_on(&site, &format!("{operation:?} on {kind:?} died behind {stages:?}")).await;
            }
        }
    }
}

#[tokio::test]
async fn death_during_init_leaves_no_store_or_a_complete_one() {
    for spared in 0..4 {
        let (site, staged) = Site::below_stages();
        site.probe.fail(Fault { spared, times: usize::MAX, outcome: Outcome::Unknown, ..Fault::refuse(0) });
        let created = site.on(staged.clone()).init().await.is_ok();
        site.probe.heal();
        assert_eq!(created, spared > 0, "after a lost reply `init` checks whether the store exists");
        let opened = site.on(staged.clone()).open().await;
        assert_eq!(opened.is_ok(), spared > 0, "config.json makes a store");
        let store = site.on(staged).init().await.unwrap();
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        assert_eq!(generations(&site.other_store(2).await).await, ["a@1"]);
        let results: Vec<_> = store.save_all([save("b", "1", Expect::Absent)]).collect().await;
        assert!(results[0].1.is_ok());
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "died at write {spared}");
    }
}
