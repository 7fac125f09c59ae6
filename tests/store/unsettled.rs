//! Lost replies: the writer settles its attempt, and never gets a conflict with itself.

use std::{sync::Arc, time::Duration};

use pflow_store::{
    ChangeRequest, ErrorKind, Expect, LeaseId, LeaseRequest,
    backend::{Batch, Commit, ErrorKind as StorageErrorKind, Key, Operation, Outcome, async_trait},
    conflict::{Case, ConflictResolver, Resolution},
};
use pflow_testkit::{Fault, Kind, Left, Site, generations, id, notices, plan, save};

/// Every kind on which a read settles a commit. On the others it does not tell whether the commit survives a
/// loss of power (`Kind::survives_power_loss`).
const KINDS: [Kind; 5] = [Kind::Memory, Kind::PlainMemory, Kind::Staged, Kind::PlainStaged, Kind::Bucket];

fn lease() -> LeaseRequest {
    LeaseRequest::new("t", Duration::from_secs(60))
}

#[tokio::test]
async fn lost_reply_is_settled_by_the_next_read() {
    for kind in KINDS {
        for left in [Left::Stages(0), Left::Stages(1), Left::Stages(2), Left::All] {
            let site = Site::new(kind).await;
            let store = site.store().await;
            for (generation, expect) in [(1, Expect::Absent), (2, Expect::Generation(1)), (3, Expect::Any)] {
                site.probe.fail(Fault::unknown(left));
                let text = generation.to_string();
                let saved = store.save(save("a", &text, expect)).await.unwrap();
                assert_eq!((saved.generation, saved.unchanged), (generation, false), "{kind:?} {left:?}");
                assert_eq!(site.probe.heal(), 1);
                assert_eq!(
                    site.get("workflows/a/workflow.json").await.unwrap(),
                    plan(&text),
                    "the copy as well"
                );
                assert_eq!(generations(&site.other_store(2).await).await, [format!("a@{generation}")]);
            }
            site.probe.fail(Fault::unknown(left));
            let deleted = store.delete(ChangeRequest::new(id("a"), Expect::Generation(3))).await.unwrap();
            assert_eq!((deleted.generation, deleted.unchanged), (4, false));
            assert_eq!(site.keys("versions/").await.len(), 4, "dead attempts are cleared away");
            assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "{kind:?} {left:?}");
        }
    }
}

/// Other writers build on an attempt before its writer reads: it finds itself in the chain, however deep.
#[tokio::test]
async fn attempt_that_others_built_on_is_found_in_the_chain() {
    for kind in [Kind::Memory, Kind::Staged] {
        for others in [1, 2, 40] {
            for landed in [true, false] {
                let site = Site::new(kind).await;
                let store = site.store().await;
                store.save(save("a", "before", Expect::Absent)).await.unwrap();
                let other = site.other_store(2).await;
                site.probe.fail(Fault::unknown(if landed { Left::All } else { Left::Stages(1) }));
                // The save has the head cached; its commit is the first call, and the read that settles it
                // the second.
                site.probe.at_call(1, move || async move {
                    for n in 0..others {
                        other.save(save("a", &format!("other {n}"), Expect::Any)).await.unwrap();
                    }
                });
                let text = if landed { "mine" } else { "other 0" };
                let saved = store.save(save("a", text, Expect::Generation(1))).await;
                assert!(site.probe.hook_has_run());
                if landed {
                    assert_eq!(saved.unwrap().generation, 2, "{kind:?} {others}");
                } else {
                    assert_eq!(
                        saved.unwrap_err().kind(),
                        ErrorKind::Conflict,
                        "{kind:?} {others}: it never landed"
                    );
                }
                let generation = others + 1 + u64::from(landed);
                assert_eq!(generations(&store).await, [format!("a@{generation}")]);
                assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
            }
        }
    }
}

/// A refusal that may be a conflict with oneself: the storage replies "overtaken" although the swap landed.
#[tokio::test]
async fn overtaken_writer_looks_for_its_own_version_first() {
    for (landed, others) in [(true, 1), (true, 3), (false, 1)] {
        let (site, staged) = Site::below_stages();
        let store = site.on(staged).init().await.unwrap();
        store.save(save("a", "before", Expect::Absent)).await.unwrap();
        let other = site.other_store(2).await;
        // The writer's own requests: the version, its record, the head. The others get in before the head or
        // after it.
        site.probe.overtake("workflows/a/metadata.json", landed, move || async move {
            for n in 0..others {
                other.save(save("a", &format!("other {n}"), Expect::Any)).await.unwrap();
            }
        });
        let saved = store.save(save("a", "mine", Expect::Generation(1))).await;
        if landed {
            assert_eq!(saved.unwrap().generation, 2);
        } else {
            assert_eq!(saved.unwrap_err().kind(), ErrorKind::Conflict);
        }
        let versions = 1 + others + usize::from(landed);
        assert_eq!(
            site.keys("versions/").await.len(),
            versions,
            "what landed stays, what did not is cleared away"
        );
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
    }
}

#[derive(Debug)]
struct KeepBoth;

#[async_trait]
impl ConflictResolver for KeepBoth {
    async fn resolve(&self, _: &Case) -> pflow_store::Result<Resolution> {
        Ok(Resolution::KeepBoth { id: None })
    }
}

/// A person puts an older head back over an attempt that landed. What became of the attempt is then unknown,
/// and the save under another id tells nothing about it.
#[tokio::test]
async fn save_under_another_id_keeps_what_was_written_under_the_first() {
    let (site, staged) = Site::below_stages();
    let store = site.on(staged).init().await.unwrap();
    let other = site.other_store(2).await;
    let held = other.acquire(&id("a"), lease()).await.unwrap().lease;
    let head = Key::parse("workflows/a/metadata.json").unwrap();
    let locked = site.get(head.as_str()).await.unwrap();
    other.release(&id("a"), held.id).await.unwrap();
    let raw = site.other_handle().await;
    site.probe.overtake("workflows/a/metadata.json", true, move || async move {
        let put = Batch::new().stage([Operation::put(head, locked)]);
        assert!(matches!(raw.commit(put).await.unwrap(), Commit::Committed(_)));
    });
    let saved = store.save(save("a", "mine", Expect::Any).resolver(Arc::new(KeepBoth))).await.unwrap();
    assert_eq!((saved.id, saved.generation), (id("a-conflict-1"), 1));
    assert_eq!(site.keys("versions/a/").await.len(), 1, "the head of a may yet be moved to it");
}

#[tokio::test]
async fn unsettled_outcome_is_reported() {
    for kind in KINDS {
        for left in [Left::Stages(0), Left::Stages(1)] {
            let site = Site::new(kind).await;
            let store = site.store().await;
            store.save(save("a", "1", Expect::Absent)).await.unwrap();
            site.probe.take();
            site.probe.fail(Fault { times: usize::MAX, ..Fault::unknown(left) });
            let failed = store.save(save("a", "2", Expect::Generation(1))).await.unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::OutcomeUnknown, "{kind:?}");
            assert_eq!(site.probe.take().puts("workflows/a/metadata.json"), 3, "after three attempts");
            if left == Left::Stages(0) {
                let failed = store.acquire(&id("a"), lease()).await.unwrap_err();
                assert_eq!(failed.kind(), ErrorKind::OutcomeUnknown);
            }
            site.probe.heal();
            assert_eq!(store.save(save("a", "3", Expect::Generation(1))).await.unwrap().generation, 2);
        }
        // A later failure of another kind must not hide that an attempt may have landed.
        let site = Site::new(kind).await;
        let store = site.store().await;
        let nothing = Outcome::NotApplied { applied: 0 };
        let denied = Fault { kind: StorageErrorKind::Denied, outcome: nothing, ..Fault::refuse(usize::MAX) };
        let probe = site.probe.clone();
        site.probe.fail(Fault { touching: "workflows/", ..Fault::unknown(Left::Stages(0)) });
        // After the reads (of the copy too, on plain files), the listing of versions, and the commit, which
        // is two without atomic batches.
        let storage = site.raw.capabilities();
        let calls = 4 + usize::from(storage.plain_files) + usize::from(!storage.atomic_batch);
        site.probe.at_call(calls, move || async move { probe.fail(denied) });
        let failed = store.save(save("a", "1", Expect::Absent)).await.unwrap_err();
        assert!(site.probe.hook_has_run());
        assert_eq!(failed.kind(), ErrorKind::OutcomeUnknown, "{kind:?}: {failed}");
    }
}

#[tokio::test]
async fn lost_reply_of_a_lock_is_settled_by_the_lease() {
    for kind in KINDS {
        for left in [Left::Stages(0), Left::Stages(1), Left::All] {
            let site = Site::new(kind).await;
            let store = site.store().await;
            site.probe.fail(Fault::unknown(left));
            let grant = store.acquire(&id("a"), lease()).await.unwrap();
            assert_eq!((grant.already_held, grant.lease.fence), (false, 1), "{kind:?} {left:?}");
            assert_eq!(store.lock_state(&id("a")).await.unwrap().lease, Some(grant.lease.clone()));
            assert_eq!(site.json("workflows/a/workflow.lock").await["fence"], 1, "the mirror as well");
            site.probe.fail(Fault::unknown(left));
            let lease_id: LeaseId = grant.lease.id.clone();
            assert_eq!(store.release(&id("a"), lease_id).await.unwrap().id, grant.lease.id);
            assert_eq!(store.lock_state(&id("a")).await.unwrap().lease, None);
            // A save that acquires the lock, and one that acquires only the lock.
            for (text, expect) in [("1", Expect::Absent), ("1", Expect::Generation(1))] {
                site.probe.fail(Fault::unknown(left));
                let held = store.save(save("a", text, expect).hold(lease())).await.unwrap().lease.unwrap();
                assert_eq!(store.lock_state(&id("a")).await.unwrap().lease, Some(held.clone()));
                store.release(&id("a"), held.id).await.unwrap();
            }
            assert_eq!(site.keys("versions/").await.len(), 1);
        }
    }
}

/// The cached head may be outdated. The swap detects it.
#[tokio::test]
async fn outdated_cached_head_is_harmless() {
    for kind in [Kind::Memory, Kind::Staged] {
        let site = Site::new(kind).await;
        let (store, other) = (site.store().await, site.other_store(2).await);
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        // A lock alone keeps the generation, but the cached head is outdated all the same.
        let grant = other.acquire(&id("a"), lease()).await.unwrap();
        let locked = store.save(save("a", "2", Expect::Generation(1))).await.unwrap_err();
        assert_eq!(locked.kind(), ErrorKind::Locked, "{kind:?}");
        other.release(&id("a"), grant.lease.id).await.unwrap();
        assert_eq!(store.save(save("a", "2", Expect::Generation(1))).await.unwrap().generation, 2);
        other.save(save("a", "3", Expect::Generation(2))).await.unwrap();
        let conflict = store.save(save("a", "4", Expect::Generation(2))).await.unwrap_err();
        assert_eq!(conflict.kind(), ErrorKind::Conflict);
        // "Unchanged" is never decided from the cached head alone.
        store.show(&id("a")).await.unwrap();
        other.save(save("a", "5", Expect::Generation(3))).await.unwrap();
        let stale = store.save(save("a", "3", Expect::Generation(3))).await.unwrap_err();
        assert_eq!(stale.kind(), ErrorKind::Conflict, "the known head says unchanged, the real one does not");
        // A refusal that may be a conflict with itself leaves the attempt unsettled, so its version stays if
        // the head had not reached its generation.
        let found = notices(&store.verify().await.unwrap());
        assert!(found.iter().all(|notice| notice.contains("beside the chain")), "{found:?}");
        assert_eq!(found.len(), usize::from(kind == Kind::Staged));
    }
}

#[tokio::test]
async fn save_on_the_cached_head_makes_no_reads() {
    let site = Site::new(Kind::Staged).await;
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    site.probe.take();
    store.save(save("a", "2", Expect::Generation(1))).await.unwrap();
    assert_eq!(site.probe.take().calls(), (0, 0, 1));
    let reader = site.on(Arc::new(site.probe.clone())).open().await.unwrap();
    reader.load(&id("a")).await.unwrap();
    site.probe.take();
    reader.save(save("a", "3", Expect::Generation(2)).message("after a load")).await.unwrap();
    assert_eq!(site.probe.take().gets, [""; 0]);
}
