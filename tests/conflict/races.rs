//! Concurrent saves with a policy: every edit ends up in the document, and every version in the history.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::support::{Situation, doc, texts};
use futures::future::join_all;
use pflow_store::{
    ErrorKind, Expect, LeaseRequest, SaveRequest, Store,
    conflict::{How, Policy},
};
use pflow_testkit::{Fault, Hasty, Kind, Left, Site, chain, every_backend, history, id, notices, versions};
use proptest::prelude::*;

every_backend!(
    concurrent_edits_are_all_merged,
    concurrent_overrides_lose_no_version,
    all_waiters_get_the_lock,
);

/// Returns a workflow with one node per text.
fn plan(texts: &[u32]) -> String {
    let node = |(nth, text)| {
        format!(r#"    {{ "id": "n{nth}", "type": "echo", "params": {{ "text": "{text}" }} }}"#)
    };
    let nodes: Vec<String> = texts.iter().enumerate().map(node).collect();
    format!("{{\n  \"nodes\": [\n{}\n  ]\n}}\n", nodes.join(",\n"))
}

/// Returns the texts of a workflow.
fn read(content: &[u8]) -> Vec<u32> {
    let value: serde_json::Value = serde_json::from_slice(content).unwrap();
    let text = |node: &serde_json::Value| node["params"]["text"].as_str().unwrap().parse().unwrap();
    value["nodes"].as_array().unwrap().iter().map(text).collect()
}

/// Each task edits its own node, on top of the same version, from two handles.
async fn concurrent_edits_are_all_merged(site: Site) {
    const MANY: usize = 24;
    let stores = [site.store().await, site.other_store(2).await];
    stores[0].save(SaveRequest::new(id("a"), plan(&[0; MANY]), Expect::Absent)).await.unwrap();
    let saves = (0..MANY).map(|nth| {
        let store = stores[nth % 2].clone();
        tokio::spawn(async move {
            let mut ours = [0; MANY];
            ours[nth] = 1;
            let request = SaveRequest::new(id("a"), plan(&ours), Expect::Generation(1));
            store.save(request.resolver(Arc::new(Policy::Merge))).await.unwrap()
        })
    });
    let mut generations = BTreeSet::new();
    for saved in join_all(saves).await {
        let saved = saved.unwrap();
        assert!(!saved.unchanged);
        if saved.generation > 2 {
            assert_eq!(saved.resolved.unwrap().how, Some(How::Merged));
        }
        assert!(generations.insert(saved.generation), "two were told the same generation");
    }
    assert_eq!(generations, (2..=MANY as u64 + 1).collect());
    assert_eq!(read(&stores[0].load(&id("a")).await.unwrap().content), [1; MANY]);
    // No merge removes another task's edit.
    let sums: Vec<u32> =
        chain(&stores[0], "a").await.iter().map(|text| read(text.as_bytes()).iter().sum()).collect();
    assert_eq!(sums, (0..=MANY as u32).collect::<Vec<_>>());
    assert_eq!(notices(&stores[0].verify().await.unwrap()), [""; 0]);
}

async fn concurrent_overrides_lose_no_version(site: Site) {
    let stores = [site.store().await, site.other_store(2).await];
    stores[0].save(SaveRequest::new(id("a"), plan(&[0]), Expect::Absent)).await.unwrap();
    let saves = (1..=16).map(|nth| {
        let store = stores[nth % 2].clone();
        tokio::spawn(async move {
            let request = SaveRequest::new(id("a"), plan(&[nth as u32]), Expect::Generation(1));
            store.save(request.resolver(Arc::new(Policy::Override))).await.unwrap()
        })
    });
    let mut acknowledged = vec![(1, 0)];
    for (nth, saved) in join_all(saves).await.into_iter().enumerate() {
        acknowledged.push((saved.unwrap().generation, nth as u32 + 1));
    }
    acknowledged.sort_unstable();
    let history = chain(&stores[0], "a").await;
    let kept: Vec<_> =
        history.iter().enumerate().map(|(at, text)| (at as u64 + 1, read(text.as_bytes())[0])).collect();
    assert_eq!(kept, acknowledged);
    assert_eq!(notices(&stores[0].verify().await.unwrap()), [""; 0]);
}

async fn all_waiters_get_the_lock(site: Site) {
    site.store().await;
    let open = || async { site.other_store_of(Hasty::new(20)).await };
    let stores = [open().await, open().await];
    let saves = (0..8).map(|nth: u32| {
        let store = stores[nth as usize % 2].clone();
        tokio::spawn(async move {
            let request = SaveRequest::new(id("a"), plan(&[nth]), Expect::Any)
                .resolver(Arc::new(Policy::Wait))
                .lock_timeout(Duration::from_secs(3600))
                .hold(LeaseRequest::new("edit", Duration::from_secs(86_400)));
            let saved = store.save(request).await.unwrap();
            let lease = saved.lease.unwrap();
            store.release(&id("a"), lease.id).await.unwrap();
            lease.fence
        })
    });
    let mut fences: Vec<u64> = join_all(saves).await.into_iter().map(Result::unwrap).collect();
    fences.sort_unstable();
    assert_eq!(fences, (1..=8).collect::<Vec<u64>>(), "one after the other");
    assert_eq!(stores[0].show(&id("a")).await.unwrap().generation(), 8);
}

/// A merge whose reply was lost finds its own version, whatever part of it had landed and whether or not
/// others built on it since.
#[tokio::test]
async fn lost_reply_of_a_merge_is_settled() {
    for kind in [Kind::Memory, Kind::PlainMemory, Kind::Staged] {
        for left in [Left::Stages(0), Left::Stages(1), Left::Stages(2), Left::All] {
            for others in [false, true] {
                let site = Site::new(kind).await;
                let (store, other) = (site.store().await, site.other_store(2).await);
                for (a, b, expect) in [("1", "1", Expect::Absent), ("1", "2", Expect::Any)] {
                    other.save(SaveRequest::new(id("a"), doc(a, b), expect)).await.unwrap();
                }
                site.probe.fail(Fault::unknown(left));
                if others {
                    // After the commit whose reply is lost. The calls: head, versions of both sides, commit,
                    // and on plain files a read of the copy.
                    let calls = 4 + usize::from(kind == Kind::PlainMemory);
                    let meddler = other.clone();
                    site.probe.at_call(calls, move || async move {
                        let expect = meddler.show(&id("a")).await.unwrap().generation();
                        let current = meddler.load(&id("a")).await.unwrap().content;
                        let a = texts(&current).split_once(',').unwrap().0.to_owned();
                        let theirs = SaveRequest::new(id("a"), doc(&a, "3"), Expect::Generation(expect));
                        meddler.save(theirs).await.unwrap();
                    });
                }
                let request = SaveRequest::new(id("a"), doc("2", "1"), Expect::Generation(1));
                let saved = store.save(request.resolver(Arc::new(Policy::Merge))).await.unwrap();
                let name = format!("{kind:?} {left:?} {others}");
                assert_eq!(site.probe.heal(), 1, "{name}");
                assert!(!others || site.probe.hook_has_run(), "{name}");
                assert_eq!(saved.resolved.unwrap().how, Some(How::Merged), "{name}");
                let history: Vec<String> =
                    chain(&store, "a").await.iter().map(|text| texts(text.as_bytes())).collect();
                let b = if others { "3" } else { "2" };
                assert_eq!(history.last(), Some(&format!("2,{b}")), "{name}: {history:?}");
                assert_eq!(history.len(), 3 + usize::from(others), "ours is in it once: {name}: {history:?}");
                assert_eq!(site.keys("versions/").await.len(), history.len(), "{name}");
                assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "{name}");
            }
        }
    }
}

/// A swap of two versions at once, an edit and the version saved over it: both land or neither, and a dead
/// attempt leaves nothing.
#[tokio::test]
async fn kept_edit_survives_a_lost_reply() {
    // Atomic batches leave everything or nothing.
    let (atomic, staged) = (Kind::PlainMemory, Kind::PlainStaged);
    let lefts = [Left::Stages(0), Left::All]
        .map(|left| (atomic, left))
        .into_iter()
        .chain([Left::Stages(0), Left::Stages(1), Left::Stages(2), Left::All].map(|left| (staged, left)));
    for (kind, left) in lefts {
        for policy in [Policy::Ours, Policy::Merge, Policy::Theirs] {
            let site = Site::new(kind).await;
            let store = site.store_with(site.builder().fold_after(1)).await;
            let other = site.other_store(2).await;
            let request = Situation::Edited.bring(&site, &store, &other, "a").await;
            site.probe.fail(Fault::unknown(left));
            let saved = store.save(request.resolver(Arc::new(policy))).await.unwrap();
            assert_eq!(site.probe.heal(), 1);
            let contents: Vec<String> =
                chain(&store, "a").await.iter().map(|text| texts(text.as_bytes())).collect();
            let (wanted, kept): (&[&str], _) = match policy {
                Policy::Ours => (&["1,1", "1,2", "2,1"], Some(2)),
                Policy::Merge => (&["1,1", "1,2", "2,2"], Some(2)),
                _ => (&["1,1", "1,2"], None),
            };
            assert_eq!(contents, wanted, "{policy} {left:?}");
            assert_eq!(saved.resolved.unwrap().kept_edit, kept, "{policy} {left:?}");
            assert_eq!(store.load(&id("a")).await.unwrap().content, chain(&store, "a").await.pop().unwrap());
            store.save(SaveRequest::new(id("b"), doc("1", "1"), Expect::Absent)).await.unwrap();
            let (mut told, there) = (history(&site).await, versions(&site).await);
            told.sort();
            assert_eq!(told, there, "the operation history has both, and nothing else is there");
            assert_eq!(site.keys("ops/pending/").await, [""; 0]);
            assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "{policy} {left:?}");
        }
    }
}

/// The lease is removed by the swap or remains: a client whose swap landed has broken it, and no other has.
#[tokio::test]
async fn lost_reply_of_an_override_is_settled() {
    for kind in [Kind::Memory, Kind::PlainMemory, Kind::Staged] {
        for left in [Left::Stages(0), Left::Stages(1), Left::Stages(2), Left::All] {
            let site = Site::new(kind).await;
            let (store, other) = (site.store().await, site.other_store(2).await);
            let request = Situation::Locked.bring(&site, &store, &other, "a").await;
            let held = store.lock_state(&id("a")).await.unwrap().lease.unwrap();
            site.probe.fail(Fault::unknown(left));
            let saved = store.save(request.resolver(Arc::new(Policy::Override))).await.unwrap();
            assert_eq!(site.probe.heal(), 1);
            assert_eq!(saved.generation, 2, "{kind:?} {left:?}");
            assert_eq!(saved.resolved.unwrap().broken.map(|lease| lease.id), Some(held.id.clone()));
            let state = store.lock_state(&id("a")).await.unwrap();
            assert_eq!((state.lease, state.fence), (None, 2), "{kind:?} {left:?}");
            assert_eq!(site.get("workflows/a/workflow.lock").await, None, "{kind:?} {left:?}");
            let late = SaveRequest::new(id("a"), doc("9", "9"), Expect::Any).lease(held.id);
            assert_eq!(other.save(late).await.unwrap_err().kind(), ErrorKind::Locked);
            let records = site.keys("ops/pending/a.").await;
            assert_eq!(records.iter().filter(|key| key.ends_with(".op")).count(), 1, "{kind:?} {left:?}");
            assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "{kind:?} {left:?}");
        }
    }
}

/// While a swap may still land, it would be wrong to answer "unchanged", or to save under another id.
#[tokio::test]
async fn resolver_is_not_called_while_an_attempt_is_unsettled() {
    for policy in Policy::ALL {
        let site = Site::new(Kind::PlainMemory).await;
        let (store, other) = (site.store().await, site.other_store(2).await);
        let request = Situation::Free.bring(&site, &store, &other, "a").await;
        site.probe.fail(Fault::unknown(Left::Stages(0)));
        let raw = site.raw.clone();
        // After the reads of the head and the copy, and the commit with the unknown outcome.
        site.probe.at_call(3, move || async move {
            use pflow_store::backend::{Batch, Key, Operation};
            let put = Operation::put(Key::parse("workflows/a/workflow.json").unwrap(), doc("1", "2"));
            let _committed = raw.commit(Batch::new().stage([put])).await.unwrap();
        });
        let unknown = store.save(request.resolver(Arc::new(policy))).await.unwrap_err();
        assert!(site.probe.hook_has_run());
        assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown, "{policy}: {unknown}");
    }
}

/// An edit: how many generations ago its base was current, which node it changes, and to what.
type Edit = (u64, usize, u32);

const NODES: usize = 3;

/// Merges two sides node by node; none if they conflict.
fn merged(base: &[u32], ours: &[u32], theirs: &[u32]) -> Option<Vec<u32>> {
    (0..NODES)
        .map(|at| match (base[at], ours[at], theirs[at]) {
            (base, ours, theirs) if ours == base || ours == theirs => Some(theirs),
            (base, ours, theirs) if theirs == base => Some(ours),
            _ => None,
        })
        .collect()
}

async fn merges_as_the_model(store: &Store, edits: Vec<Edit>) {
    let mut history = vec![vec![0; NODES]];
    store.save(SaveRequest::new(id("a"), plan(&history[0]), Expect::Absent)).await.unwrap();
    for (back, node, text) in edits {
        let newest = history.len() as u64;
        let base = newest.saturating_sub(back).max(1);
        let mut ours = history[base as usize - 1].clone();
        ours[node] = text;
        let request = SaveRequest::new(id("a"), plan(&ours), Expect::Generation(base));
        let saved = store.save(request.resolver(Arc::new(Policy::Merge))).await;
        let theirs = history.last().unwrap().clone();
        match merged(&history[base as usize - 1], &ours, &theirs) {
            Some(wanted) if wanted == theirs => {
                let saved = saved.unwrap();
                assert_eq!((saved.generation, saved.unchanged), (newest, true));
            }
            Some(wanted) => {
                assert_eq!(saved.unwrap().generation, newest + 1);
                assert_eq!(read(&store.load(&id("a")).await.unwrap().content), wanted);
                history.push(wanted);
            }
            None => assert_eq!(saved.unwrap_err().kind(), ErrorKind::Conflict),
        }
    }
    let kept: Vec<_> = chain(store, "a").await.iter().map(|text| read(text.as_bytes())).collect();
    assert_eq!(kept, history);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merges_of_stale_edits_match_a_simple_model(
        edits in prop::collection::vec((0..4_u64, 0..NODES, 0..3_u32), 1..16),
        bucket in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let site = Site::new(if bucket { Kind::Staged } else { Kind::PlainMemory }).await;
            merges_as_the_model(&site.store().await, edits).await;
        });
    }
}
