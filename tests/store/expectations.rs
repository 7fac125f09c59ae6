//! Every expectation of a caller, against every state of a workflow.

use std::{sync::Arc, time::Duration};

use pflow_store::{
    ChangeRequest, Conflict, Expect, LeaseRequest, Store,
    conflict::{How, Policy},
    format::VersionId,
};
use pflow_testkit::{Site, conflict, every_backend, id, plan, save};

every_backend!(
    expectations_of_saves,
    expectations_of_deletions,
    expectations_of_versions,
    version_of_another_branch_is_not_the_expected_one,
);

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Never,
    /// Only a lock was acquired.
    Locked,
    /// At generation 2.
    Live,
    /// At generation 3.
    Deleted,
}

const STATES: [State; 4] = [State::Never, State::Locked, State::Live, State::Deleted];

#[derive(Debug, PartialEq)]
enum Answer {
    Generation(u64),
    /// The stored generation, and whether it is deleted.
    Exists(u64, bool),
    Version(u64, bool),
}

use Answer::{Exists, Generation, Version};

async fn bring(store: &Store, name: &str, state: State) {
    match state {
        State::Never => {}
        State::Locked => {
            let grant =
                store.acquire(&id(name), LeaseRequest::new("t", Duration::from_secs(9))).await.unwrap();
            store.release(&id(name), grant.lease.id).await.unwrap();
        }
        State::Live | State::Deleted => {
            store.save(save(name, "1", Expect::Absent)).await.unwrap();
            store.save(save(name, "2", Expect::Generation(1))).await.unwrap();
            if state == State::Deleted {
                store.delete(ChangeRequest::new(id(name), Expect::Generation(2))).await.unwrap();
            }
        }
    }
}

fn answer(result: pflow_store::Result<pflow_store::Saved>) -> Answer {
    match result {
        Ok(saved) => {
            assert!(!saved.unchanged);
            Generation(saved.generation)
        }
        refused => match conflict(refused) {
            Conflict::Exists { found, .. } => Exists(found.generation, found.deleted),
            Conflict::Version { found, .. } => {
                assert!(!found.deleted);
                Version(found.generation, false)
            }
            Conflict::DeletedMeanwhile { found, .. } => {
                assert!(found.deleted);
                Version(found.generation, true)
            }
            other => panic!("{other:?}"),
        },
    }
}

async fn expectations_of_saves(site: Site) {
    let store = site.store().await;
    let absent = Expect::Absent;
    let table = [
        (absent, [Generation(1), Generation(1), Exists(2, false), Generation(4)]),
        (Expect::Generation(0), [Generation(1), Generation(1), Exists(2, false), Generation(4)]),
        (Expect::Generation(1), [Version(0, false), Version(0, false), Version(2, false), Version(3, true)]),
        (Expect::Generation(2), [Version(0, false), Version(0, false), Generation(3), Version(3, true)]),
        (Expect::Generation(3), [Version(0, false), Version(0, false), Version(2, false), Generation(4)]),
        (Expect::Any, [Generation(1), Generation(1), Generation(3), Generation(4)]),
    ];
    for (row, (expect, answers)) in table.into_iter().enumerate() {
        for (state, wanted) in STATES.into_iter().zip(answers) {
            let name = format!("w{row}.{state:?}").to_lowercase();
            bring(&store, &name, state).await;
            let before = site.dump().await;
            let got = answer(store.save(save(&name, "new", expect)).await);
            assert_eq!(got, wanted, "{expect} on {state:?}");
            assert_eq!(
                matches!(got, Generation(_)),
                site.dump().await != before,
                "a refusal changes nothing"
            );
        }
    }
    assert!(store.verify().await.unwrap().is_sound());
}

async fn expectations_of_deletions(site: Site) {
    let store = site.store().await;
    let cases = [
        (Expect::Generation(2), Generation(3)),
        (Expect::Any, Generation(3)),
        (Expect::Generation(1), Version(2, false)),
        (Expect::Absent, Exists(2, false)),
    ];
    for (row, (expect, wanted)) in cases.into_iter().enumerate() {
        let name = format!("d{row}");
        bring(&store, &name, State::Live).await;
        assert_eq!(answer(store.delete(ChangeRequest::new(id(&name), expect)).await), wanted, "{expect}");
    }
    let cases = [
        (Expect::Generation(3), Generation(4)),
        (Expect::Any, Generation(4)),
        (Expect::Absent, Generation(4)),
        (Expect::Generation(2), Version(3, true)),
    ];
    for (row, (expect, wanted)) in cases.into_iter().enumerate() {
        let name = format!("u{row}");
        bring(&store, &name, State::Deleted).await;
        assert_eq!(answer(store.undelete(ChangeRequest::new(id(&name), expect)).await), wanted, "{expect}");
    }
}

/// Returns the expectation that the current version stays.
async fn current(store: &Store, name: &str) -> Expect {
    let head = store.show(&id(name)).await.unwrap();
    Expect::Version(head.current.unwrap().record.version_id)
}

async fn expectations_of_versions(site: Site) {
    let store = site.store().await;
    let unknown = Expect::Version(VersionId::parse("0".repeat(26)).unwrap());
    let refusals = [Version(0, false), Version(0, false), Version(2, false), Version(3, true)];
    for (state, refused) in STATES.into_iter().zip(refusals) {
        let name = format!("{state:?}").to_lowercase();
        bring(&store, &name, state).await;
        assert_eq!(answer(store.save(save(&name, "new", unknown)).await), refused, "{state:?}");
        if matches!(state, State::Live | State::Deleted) {
            let expect = current(&store, &name).await;
            let next = if state == State::Live { 3 } else { 4 };
            assert_eq!(answer(store.save(save(&name, "new", expect)).await), Generation(next), "{state:?}");
            let again = conflict(store.save(save(&name, "newer", expect)).await).to_string();
            assert!(again.contains(&format!("expected {expect}")), "{again}");
        }
    }
    // The expected version is the base of a merge.
    store.save(save("m", "1", Expect::Absent)).await.unwrap();
    let loaded = store.load(&id("m")).await.unwrap();
    store.save(save("m", "2", Expect::Any)).await.unwrap();
    let unchanged = save("m", "1", loaded.expect()).resolver(Arc::new(Policy::Merge));
    let saved = store.save(unchanged).await.unwrap();
    assert_eq!((saved.resolved.unwrap().how, saved.generation), (Some(How::Merged), 2));
    assert_eq!(store.load(&id("m")).await.unwrap().content, plan("2"));
    assert!(store.verify().await.unwrap().is_sound());
}

/// A generation is a number in one chain. If the head was put back and saved over, another version has it.
async fn version_of_another_branch_is_not_the_expected_one(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    store.close().await.unwrap();
    let before = site.get("workflows/a/metadata.json").await.unwrap();
    let store = site.other_store(2).await;
    let lost = store.save(save("a", "lost", Expect::Any)).await.unwrap().record;
    store.close().await.unwrap();
    let versions = site.keys("versions/a/").await;
    for key in
        versions.iter().chain(&site.keys("ops/pending/").await).filter(|key| key.contains("000000000002"))
    {
        site.remove(key).await;
    }
    site.put_raw("workflows/a/metadata.json", before).await;
    site.put("workflows/a/workflow.json", plan("1")).await;
    let store = site.other_store(3).await;
    let other = store.save(save("a", "other", Expect::Any)).await.unwrap().record;
    assert_eq!((lost.generation, other.generation), (2, 2));
    let refused = store.save(save("a", "next", Expect::Version(lost.version_id))).await;
    assert!(matches!(conflict(refused), Conflict::Version { .. }));
    let deletion = store.delete(ChangeRequest::new(id("a"), Expect::Version(lost.version_id))).await;
    assert!(matches!(conflict(deletion), Conflict::Version { .. }));
    assert_eq!(store.save(save("a", "next", Expect::Version(other.version_id))).await.unwrap().generation, 3);
}
