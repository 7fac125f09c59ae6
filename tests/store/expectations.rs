//! Every expectation of a caller, against every state of a workflow.

use std::time::Duration;

use pflow_store::{ChangeRequest, Conflict, Expect, LeaseRequest, Store};
use pflow_testkit::{Site, conflict, every_backend, id, save};

every_backend!(expectations_of_saves, expectations_of_deletions);

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
