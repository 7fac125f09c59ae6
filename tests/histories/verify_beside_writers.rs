//! `verify` while other clients write: nothing sound is called wrong, and damage is found all the same.

use std::time::Duration;

use futures::future::BoxFuture;
use pflow_store::{
    ChangeRequest, Expect, LeaseRequest, Store,
    health::{Finding, Report, Severity},
};
use pflow_testkit::{Kind, Probe, Site, damaged, id, save};

/// What people edit in place, and what works like a bucket.
const KINDS: [Kind; 2] = [Kind::PlainMemory, Kind::Staged];
const MINUTE: Duration = Duration::from_secs(60);

/// A store with versions, a deleted workflow, a lock, and an index of several parts.
async fn populate(site: &Site) -> Store {
    let store = site.store_with(site.builder().fold_after(3)).await;
    for (name, text) in [("a", "1"), ("a", "2"), ("gone", "1"), ("held", "1"), ("late", "1")] {
        store.save(save(name, text, Expect::Any)).await.unwrap();
    }
    store.delete(ChangeRequest::new(id("gone"), Expect::Any)).await.unwrap();
    store.acquire(&id("held"), LeaseRequest::new("edit", MINUTE)).await.unwrap();
    store.save(save("a", "3", Expect::Any)).await.unwrap();
    store
}

/// All findings but the notice of a change that is under way: where batches are not atomic, one may stay
/// between two stages for as long as a verification takes.
fn wrong(report: &Report) -> Vec<&Finding> {
    let under_way =
        |finding: &&Finding| finding.severity == Severity::Notice && finding.reason.ends_with("under way");
    report.findings.iter().filter(|finding| !under_way(finding)).collect()
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Save,
    Create,
    CreateTwice,
    Delete,
    Undelete,
    Acquire,
    Break,
    Fold,
    Reindex,
}

impl Change {
    const ALL: [Self; 9] = [
        Self::Save,
        Self::Create,
        Self::CreateTwice,
        Self::Delete,
        Self::Undelete,
        Self::Acquire,
        Self::Break,
        Self::Fold,
        Self::Reindex,
    ];

    async fn make(self, store: &Store) {
        let saving = |name, text| store.save(save(name, text, Expect::Any));
        match self {
            Self::Save => drop(saving("a", "4").await.unwrap()),
            Self::Create => drop(saving("new", "1").await.unwrap()),
            Self::CreateTwice => {
                saving("new", "1").await.unwrap();
                saving("new", "2").await.unwrap();
            }
            Self::Delete => drop(store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap()),
            Self::Undelete => {
                store.undelete(ChangeRequest::new(id("gone"), Expect::Any)).await.unwrap();
            }
            Self::Acquire => drop(store.acquire(&id("a"), LeaseRequest::new("e", MINUTE)).await.unwrap()),
            Self::Break => {
                let lease = store.lock_state(&id("held")).await.unwrap().lease.unwrap();
                store.break_lock(&id("held"), lease.id).await.unwrap();
            }
            Self::Fold => {
                for n in 0..4 {
                    store.save(save("late", &format!("fold {n}"), Expect::Any)).await.unwrap();
                }
            }
            Self::Reindex => drop(store.reindex().await.unwrap()),
        }
    }
}

#[tokio::test]
async fn a_change_at_any_moment_is_no_finding() {
    let mut moments = 0;
    for kind in KINDS {
        for change in Change::ALL {
            for calls in 0.. {
                let site = Site::new(kind).await;
                let store = populate(&site).await;
                let other = site.other_store(2).await;
                site.probe.at_call(calls, move || async move { change.make(&other).await });
                let report = store.verify().await.unwrap();
                if !site.probe.hook_has_run() {
                    break;
                }
                moments += 1;
                let wrong = wrong(&report);
                assert!(wrong.is_empty(), "{kind:?}: {change:?} before call {calls}: {wrong:#?}");
            }
        }
    }
    println!("{moments} moments");
    assert!(moments > 300);
}

/// Makes a change before every one of the next calls.
fn at_every_call(
    probe: Probe,
    left: u32,
    change: impl Fn(u32) -> BoxFuture<'static, ()> + Send + Sync + 'static,
) {
    if left == 0 {
        return;
    }
    probe.clone().at_call(0, move || async move {
        change(left).await;
        at_every_call(probe, left - 1, change);
    });
}

async fn verified_beside_a_busy_writer(site: &Site, store: &Store) -> Report {
    let other = site.other_store(2).await;
    at_every_call(site.probe.clone(), 250, move |n| {
        let other = other.clone();
        Box::pin(async move {
            other.save(save("a", &format!("busy {n}"), Expect::Any)).await.unwrap();
            match n % 4 {
                0 => drop(other.save(save(&format!("new{n}"), "1", Expect::Any)).await.unwrap()),
                1 => drop(other.acquire(&id("late"), LeaseRequest::new("e", MINUTE)).await.unwrap()),
                2 => {
                    if let Some(lease) = other.lock_state(&id("late")).await.unwrap().lease {
                        other.release(&id("late"), lease.id).await.unwrap();
                    }
                }
                _ => {}
            }
        })
    });
    store.verify().await.unwrap()
}

#[tokio::test]
async fn a_busy_writer_is_no_finding() {
    for kind in KINDS {
        let site = Site::new(kind).await;
        let store = populate(&site).await;
        let report = verified_beside_a_busy_writer(&site, &store).await;
        let wrong = wrong(&report);
        assert!(wrong.is_empty(), "{kind:?}: {wrong:#?}");
    }
}

#[tokio::test]
async fn damage_is_found_beside_a_busy_writer() {
    for kind in KINDS {
        let site = Site::new(kind).await;
        let store = populate(&site).await;
        let version = site.only_key("versions/late/").await;
        site.remove(&version).await;
        let head = site.get("workflows/held/metadata.json").await.unwrap();
        site.put("workflows/held/metadata.json", head.slice(..head.len() / 2)).await;
        site.remove("workflows/gone/metadata.json").await;
        site.put("ops/pending/odd", "").await;
        let report = verified_beside_a_busy_writer(&site, &store).await;
        let found = damaged(&report);
        for key in [version.as_str(), "workflows/held/metadata.json", "workflows/gone/metadata.json"] {
            assert!(found.contains(&key), "{kind:?}: {key} is not in {report:#?}");
        }
        assert_eq!(found.len(), 3, "{kind:?}: {report:#?}");
        let odd = |finding: &&Finding| finding.key == "ops/pending/odd";
        assert_eq!(report.findings.iter().find(odd).unwrap().severity, Severity::Notice);
    }
}
