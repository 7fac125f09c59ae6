//! Heads that were removed, emptied, damaged or restored from a backup: nothing is saved over them,
//! maintenance keeps every version, and a repair restores the newest version.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use pflow_store::{
    ChangeRequest, Error, ErrorKind, Expect, LeaseRequest, Remedy, Store,
    backend::{Batch, Commit, Key, Operation},
    format::VersionId,
    health::RepairPlan,
};
use pflow_testkit::{
    Fault, Kind, Left, Site, damaged, every_backend, everything, generations, history, id, notices, plan,
    save, versions,
};

every_backend!(
    removed_head_is_hurt_and_repaired,
    emptied_or_damaged_head_is_repaired,
    restored_old_head_is_hurt_if_the_index_is_newer,
    restored_head_that_was_saved_over_is_not_refused,
    person_chooses_between_two_newest_versions,
    repair_takes_only_newest_versions,
    repair_does_not_skip_an_unreadable_version,
    missing_ancestor_is_reported_and_not_taken,
    repair_keeps_an_edit_of_the_copy,
    repair_ends_a_lease_and_raises_the_fence,
    repair_of_a_changed_head_does_nothing,
    failed_repair_reports_what_it_moved,
    head_reverted_to_its_lock_is_hurt_not_a_conflict,
    maximum_fence_in_a_lock_file_does_not_end_locking,
);

const HEAD: &str = "workflows/a/metadata.json";

fn lease() -> LeaseRequest {
    LeaseRequest::new("edit", Duration::from_secs(60))
}

async fn fold(store: &Store) {
    let results: Vec<_> = store.save_all([save("fold", "1", Expect::Any)]).collect().await;
    results[0].1.as_ref().unwrap();
}

/// Saves three versions of `a`. Returns the stored objects after each.
async fn three(site: &Site) -> (Store, Vec<BTreeMap<String, Bytes>>) {
    let store = site.store().await;
    let mut dumps = Vec::new();
    for text in ["1", "2", "3"] {
        store.save(save("a", text, Expect::Any)).await.unwrap();
        dumps.push(site.dump().await);
    }
    (store, dumps)
}

#[track_caller]
fn assert_hurt<T: std::fmt::Debug>(result: Result<T, Error>) {
    match result {
        Err(error @ Error::HeadHurt { .. }) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert_eq!(error.remedy(), Some(Remedy::RepairHeads));
        }
        other => panic!("not hurt: {other:?}"),
    }
}

/// Checks that every operation on top of the lost head is refused.
async fn assert_refused(store: &Store) {
    assert_hurt(store.save(save("a", "4", Expect::Any)).await);
    assert_hurt(store.save(save("a", "4", Expect::Absent)).await);
    assert_hurt(store.save(save("a", "4", Expect::Generation(3))).await);
    assert_hurt(store.load(&id("a")).await);
    assert_hurt(store.load_generation(&id("a"), 1).await);
    assert_hurt(store.show(&id("a")).await);
    assert_hurt(store.delete(ChangeRequest::new(id("a"), Expect::Any)).await);
    assert_hurt(store.undelete(ChangeRequest::new(id("a"), Expect::Any)).await);
    let status = store.status().await.unwrap();
    assert_eq!((status.edited, status.unreadable.len()), (vec![], 1), "{:?}", status.unreadable);
}

/// Checks that maintenance, at any clock time, changes no version and no head of `a`.
async fn assert_kept(site: &Site, store: &Store) {
    let of_a = |dump: BTreeMap<String, Bytes>| -> Vec<_> {
        let is_of_a = |key: &str| key.starts_with("versions/a/") || key.starts_with("workflows/a/");
        dump.into_iter().filter(|(key, _)| is_of_a(key)).collect()
    };
    let before = of_a(site.dump().await);
    site.environment.advance(Duration::from_secs(60 * 60 * 24 * 400));
    fold(store).await;
    store.reindex().await.unwrap();
    fold(&site.other_store(7).await).await;
    assert_eq!(of_a(site.dump().await), before);
}

async fn repair(store: &Store, take: &[VersionId]) -> pflow_store::health::RepairReport {
    let plan = store.plan_repair(take).await.unwrap();
    assert_eq!(plan.undecided, []);
    let report = store.repair(plan).await.unwrap();
    assert!(report.failed.is_none(), "{:?}", report.failed);
    report
}

fn committed(commit: Commit) {
    assert!(matches!(commit, Commit::Committed(_)));
}

fn is_bucket(site: &Site) -> bool {
    matches!(site.kind, Kind::Staged | Kind::Bucket)
}

/// Returns the generations that a person can choose from, for the only workflow of the plan.
fn tip_generations(plan: &RepairPlan) -> Vec<u64> {
    assert_eq!(plan.undecided.len(), 1);
    plan.undecided[0].tips.iter().map(|tip| tip.generation).collect()
}

async fn removed_head_is_hurt_and_repaired(site: Site) {
    for folded in [false, true] {
        let site = Site::new(site.kind).await;
        let (store, _) = three(&site).await;
        if folded {
            fold(&store).await;
        }
        for key in site.keys("workflows/a/").await {
            site.remove(&key).await;
        }
        for store in [&site.other_store(2).await, &store] {
            assert_refused(store).await;
            assert_hurt(store.acquire(&id("a"), lease()).await);
        }
        assert_kept(&site, &store).await;
        assert_refused(&store).await;
        let report = store.verify().await.unwrap();
        assert_eq!((damaged(&report), &report.hurt), (vec![HEAD], &vec![id("a")]));

        let mut planned = store.plan_repair(&[]).await.unwrap();
        if is_bucket(&site) && !folded {
            // Neither the index nor a copy shows that the last version was acknowledged.
            assert_eq!((planned.moves.len(), tip_generations(&planned)), (0, vec![3, 2]));
            let newest = planned.undecided[0].tips[0].version_id;
            planned = store.plan_repair(&[newest]).await.unwrap();
        }
        assert_eq!((planned.moves.len(), site.get(HEAD).await), (1, None), "a plan changes nothing");
        let done = store.repair(planned).await.unwrap();
        let moved = &done.moved[0];
        assert_eq!((moved.from, moved.to.generation, moved.fence), (None, 3, 1_000_000));
        assert_eq!(store.load(&id("a")).await.unwrap().content, plan("3"));
        assert_eq!(store.load_generation(&id("a"), 1).await.unwrap().content, plan("1"));
        assert_eq!(site.get("workflows/a/workflow.json").await.unwrap(), plan("3"));
        assert!(generations(&site.other_store(3).await).await.contains(&"a@3".to_owned()));
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
        assert_eq!(store.acquire(&id("a"), lease()).await.unwrap().lease.fence, 1_000_001);
        assert_eq!(repair(&store, &[]).await.moved.len(), 0, "nothing is left to do");
        fold(&store).await;
        assert_eq!(notices(&store.verify().await.unwrap()).len(), 0);
    }
}

async fn emptied_or_damaged_head_is_repaired(site: Site) {
    for bytes in ["", "{", r#"{"format":"pflow-head/1"}"#] {
        let site = Site::new(site.kind).await;
        let (store, _) = three(&site).await;
        site.put(HEAD, bytes).await;
        assert_eq!(store.save(save("a", "4", Expect::Any)).await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_kept(&site, &store).await;
        let report = store.verify().await.unwrap();
        assert_eq!((damaged(&report), &report.hurt), (vec![HEAD], &vec![id("a")]));
        assert_eq!(repair(&store, &[]).await.moved[0].to.generation, 3);
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
        assert_eq!(store.save(save("a", "4", Expect::Generation(3))).await.unwrap().generation, 4);
    }
}

async fn restored_old_head_is_hurt_if_the_index_is_newer(site: Site) {
    let (store, dumps) = three(&site).await;
    fold(&store).await;
    site.roll_back("workflows/a/", &dumps[1]).await;
    assert_kept(&site, &store).await;
    let report = store.verify().await.unwrap();
    assert_eq!((damaged(&report), &report.hurt), (vec![HEAD], &vec![id("a")]));
    assert!(
        generations(&site.other_store(2).await).await.contains(&"a@3".to_owned()),
        "the entry is the witness"
    );
    let moved = repair(&store, &[]).await.moved;
    assert_eq!((moved[0].from, moved[0].to.generation), (Some(2), 3));
    assert_eq!(store.load(&id("a")).await.unwrap().content, plan("3"));
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn restored_head_that_was_saved_over_is_not_refused(site: Site) {
    let (store, dumps) = three(&site).await;
    fold(&store).await;
    site.roll_back("workflows/a/", &dumps[0]).await;
    let other = site.other_store(2).await;
    assert_eq!(other.save(save("a", "over", Expect::Generation(1))).await.unwrap().generation, 2);
    assert_eq!(other.save(save("a", "again", Expect::Generation(2))).await.unwrap().generation, 3);
    assert_kept(&site, &other).await;
    assert_eq!(other.load(&id("a")).await.unwrap().content, plan("again"));
    let report = other.verify().await.unwrap();
    assert_eq!((damaged(&report).len(), report.hurt.len()), (2, 0), "the index has seen both: {report:#?}");
    assert!(damaged(&report).iter().all(|key| key.starts_with("versions/a/")));
    assert_eq!(site.keys("versions/a/").await.len(), 5);
}

async fn person_chooses_between_two_newest_versions(site: Site) {
    let (store, dumps) = three(&site).await;
    fold(&store).await;
    site.roll_back("workflows/a/", &dumps[1]).await;
    let other = site.other_store(2).await;
    other.save(save("a", "other", Expect::Generation(2))).await.unwrap();
    fold(&other).await;
    site.remove(HEAD).await;
    let plan_of = store.plan_repair(&[]).await.unwrap();
    assert_eq!(plan_of.moves.len(), 0);
    let tips: Vec<_> = plan_of.undecided[0].tips.iter().filter(|tip| tip.generation == 3).collect();
    assert_eq!(tips.len(), 2);
    let unknown = VersionId::parse("0".repeat(26)).unwrap();
    assert_eq!(store.plan_repair(&[unknown]).await.unwrap_err().kind(), ErrorKind::Usage);
    for tip in tips {
        let moved = repair(&store, std::slice::from_ref(&tip.version_id)).await.moved;
        assert_eq!(moved[0].to, *tip);
        assert_eq!(store.show(&id("a")).await.unwrap().current.unwrap().record.version_id, tip.version_id);
        site.remove(HEAD).await;
    }
}

async fn repair_takes_only_newest_versions(site: Site) {
    let (store, _) = three(&site).await;
    fold(&store).await;
    site.remove(HEAD).await;
    for older in &site.keys("versions/a/").await[..2] {
        let (_, version_id) = older.rsplit_once('-').unwrap();
        let take = [VersionId::parse(version_id).unwrap()];
        assert_eq!(store.plan_repair(&take).await.unwrap_err().kind(), ErrorKind::Usage);
    }
}

async fn repair_does_not_skip_an_unreadable_version(site: Site) {
    let (store, _) = three(&site).await;
    let last = site.keys("versions/a/").await.remove(2);
    let mut bytes = site.get(&last).await.unwrap().to_vec();
    bytes[20] ^= 1;
    site.put_raw(&last, bytes).await;
    site.remove(HEAD).await;
    assert_eq!(damaged(&store.verify().await.unwrap()), [last.as_str(), HEAD]);
    let planned = store.plan_repair(&[]).await.unwrap();
    // On a bucket no readable object shows that the second version was acknowledged either.
    let tips = if is_bucket(&site) { vec![2, 1] } else { vec![2] };
    assert_eq!((planned.moves.len(), tip_generations(&planned)), (0, tips));
    assert!(planned.undecided[0].why.contains(&last), "{}", planned.undecided[0].why);
    let moved = repair(&store, &[planned.undecided[0].tips[0].version_id]).await.moved;
    assert_eq!(moved[0].to.generation, 2);
    assert_eq!(damaged(&store.verify().await.unwrap()), [last.as_str()], "it is not forgotten");
}

async fn missing_ancestor_is_reported_and_not_taken(site: Site) {
    let (store, _) = three(&site).await;
    let second = site.keys("versions/a/").await.remove(1);
    site.remove(&second).await;
    site.remove(HEAD).await;
    let moved = repair(&store, &[]).await.moved;
    assert_eq!((moved[0].to.generation, &moved[0].missing), (3, &vec![second.clone()]));
    assert_eq!(store.load(&id("a")).await.unwrap().content, plan("3"));
    assert_eq!(damaged(&store.verify().await.unwrap()), [second.as_str()]);
}

async fn repair_keeps_an_edit_of_the_copy(site: Site) {
    let (store, _) = three(&site).await;
    fold(&store).await;
    let copy = "workflows/a/workflow.json";
    site.put(copy, plan("by a person")).await;
    site.remove(HEAD).await;
    let moved = repair(&store, &[]).await.moved;
    assert!(moved[0].keeps_edit);
    assert_eq!(site.get(copy).await.unwrap(), plan("by a person"));
    if matches!(site.kind, Kind::PlainMemory | Kind::Disk) {
        assert_eq!(store.load(&id("a")).await.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(store.save(save("a", "4", Expect::Any)).await.unwrap_err().kind(), ErrorKind::Conflict);
    } else {
        assert_eq!(store.load(&id("a")).await.unwrap().content, plan("3"));
    }
}

async fn repair_ends_a_lease_and_raises_the_fence(site: Site) {
    let (store, _) = three(&site).await;
    let held = store.acquire(&id("a"), lease()).await.unwrap().lease;
    store.backend().close().await.unwrap();
    let with_lease = site.dump().await;
    store.save(save("a", "4", Expect::Any).lease(held.id.clone())).await.unwrap();
    fold(&store).await;
    site.roll_back("workflows/a/", &with_lease).await;
    let moved = repair(&store, &[]).await.moved;
    assert_eq!((moved[0].to.generation, moved[0].fence), (4, held.fence + 1_000_000));
    assert_eq!(site.get("workflows/a/workflow.lock").await, None);
    let head = store.show(&id("a")).await.unwrap();
    assert_eq!((head.lease, head.ended.map(|ended| ended.lease_id)), (None, Some(held.id.clone())));
    let late = store.save(save("a", "late", Expect::Any).lease(held.id)).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Locked);
}

async fn repair_of_a_changed_head_does_nothing(site: Site) {
    let (store, dumps) = three(&site).await;
    site.remove(HEAD).await;
    let planned = store.plan_repair(&[]).await.unwrap();
    site.put(HEAD, dumps[2][HEAD].clone()).await;
    let before = site.get(HEAD).await;
    let report = store.repair(planned).await.unwrap();
    assert_eq!((report.moved.len(), report.changed), (0, vec![id("a")]));
    assert_eq!(site.get(HEAD).await, before);
}

/// With plain files and atomic batches, the copy of a later version proves that the head is lost.
#[tokio::test]
async fn copy_of_a_later_version_is_no_edit() {
    for kind in [Kind::PlainMemory, Kind::Disk] {
        let site = Site::new(kind).await;
        let (store, dumps) = three(&site).await;
        site.put(HEAD, dumps[1][HEAD].clone()).await;
        for store in [&site.other_store(2).await, &store] {
            assert_hurt(store.save(save("a", "4", Expect::Any)).await);
            assert_hurt(store.load(&id("a")).await);
            let status = store.status().await.unwrap();
            assert_eq!((status.edited, status.unreadable.len()), (vec![], 1));
        }
        assert_kept(&site, &store).await;
        repair(&store, &[]).await;
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
    }
}

/// On a bucket too, a load does not overwrite the only witness.
#[tokio::test]
async fn load_keeps_the_copy_that_proves_a_lost_head() {
    for kind in [Kind::Staged, Kind::Bucket] {
        let site = Site::new(kind).await;
        let (store, dumps) = three(&site).await;
        store.close().await.unwrap();
        site.put(HEAD, dumps[1][HEAD].clone()).await;
        let other = site.other_store(2).await;
        assert_hurt(other.load(&id("a")).await);
        assert_eq!(site.get("workflows/a/workflow.json").await.unwrap(), plan("3"));
        assert_kept(&site, &other).await;
        assert_eq!(repair(&other, &[]).await.moved[0].to.generation, 3);
    }
}

/// The entry of a workflow with a lost head is kept, because it is a witness.
#[tokio::test]
async fn reindex_keeps_the_entry_of_a_lost_head() {
    for kind in [Kind::Memory, Kind::Staged, Kind::Disk] {
        let site = Site::new(kind).await;
        let (store, _) = three(&site).await;
        fold(&store).await;
        site.remove(HEAD).await;
        let before = generations(&site.other_store(2).await).await;
        store.reindex().await.unwrap();
        assert_eq!(generations(&site.other_store(3).await).await, before, "{kind:?}");
        assert_eq!(everything(&store).await.len(), 2);
    }
}

/// Saves five versions of `a`, and a sixth whose writer stopped before the head.
async fn leftover_on_top(kind: Kind) -> (Site, Store) {
    let site = Site::new(kind).await;
    let store = site.store().await;
    let mut back = BTreeMap::new();
    for text in ["1", "2", "3", "4", "5"] {
        store.save(save("a", text, Expect::Any)).await.unwrap();
        if text == "3" {
            back = site.dump().await;
        }
    }
    let before = site.dump().await;
    site.other_store(2).await.save(save("a", "leftover", Expect::Any)).await.unwrap();
    site.roll_back("workflows/", &before).await;
    site.put("back", back[HEAD].clone()).await;
    (site, store)
}

#[tokio::test]
async fn leftover_version_is_taken_only_by_a_person() {
    for kind in [Kind::Staged, Kind::Bucket] {
        for is_removed in [true, false] {
            let (site, store) = leftover_on_top(kind).await;
            match is_removed {
                true => site.remove(HEAD).await,
                false => site.put(HEAD, site.get("back").await.unwrap()).await,
            }
            site.remove("back").await;
            let planned = store.plan_repair(&[]).await.unwrap();
            assert_eq!((planned.moves.len(), tip_generations(&planned)), (0, vec![6, 5]));
            let choice = &planned.undecided[0];
            assert!(choice.why.contains("nothing shows that generation 6"), "{}", choice.why);
            let moved = repair(&store, &[choice.tips[1].version_id]).await.moved;
            assert_eq!(moved[0].to.generation, 5);
            assert_eq!(store.load(&id("a")).await.unwrap().content, plan("5"));
            notices(&store.verify().await.unwrap());
        }
    }
}

/// A writer is suspended between its version and its head while a person repairs.
#[tokio::test]
async fn writer_resumed_after_a_repair_leaves_a_sound_head() {
    let (site, staged) = Site::below_stages();
    let store = site.on(staged).init().await.unwrap();
    for text in ["1", "2", "3"] {
        store.save(save("a", text, Expect::Any)).await.unwrap();
    }
    let other = site.other_store(2).await;
    let raw = site.raw.clone();
    site.probe.take();
    site.probe.at_call(3, move || async move {
        let remove = Operation::delete(Key::parse(HEAD).unwrap());
        committed(raw.commit(Batch::new().stage([remove])).await.unwrap());
        let planned = other.plan_repair(&[]).await.unwrap();
        assert_eq!((planned.moves.len(), tip_generations(&planned)), (0, vec![4, 3]));
        repair(&other, &[planned.undecided[0].tips[1].version_id]).await;
    });
    assert_eq!(store.save(save("a", "late", Expect::Any)).await.unwrap().generation, 4);
    assert!(site.probe.hook_has_run());
    let fresh = site.other_store(3).await;
    assert_eq!(fresh.load(&id("a")).await.unwrap().content, plan("late"));
    assert_eq!(notices(&fresh.verify().await.unwrap()), [""; 0]);
}

/// A writer is suspended after it was told that its swap did not happen. Meanwhile a person's repair takes
/// its version.
#[tokio::test]
async fn writer_deletes_no_version_taken_by_a_repair() {
    let site = Site::new(Kind::Staged).await;
    let (store, _) = three(&site).await;
    let other = site.other_store(2).await;
    let raw = site.raw.clone();
    site.probe.take();
    site.probe.fail(Fault { touching: HEAD, ..Fault::stop_after(1) });
    site.probe.at_call(2, move || async move {
        let remove = Operation::delete(Key::parse(HEAD).unwrap());
        committed(raw.commit(Batch::new().stage([remove])).await.unwrap());
        let planned = other.plan_repair(&[]).await.unwrap();
        assert_eq!(tip_generations(&planned), [4, 3]);
        repair(&other, &[planned.undecided[0].tips[0].version_id]).await;
    });
    assert_eq!(store.save(save("a", "late", Expect::Any)).await.unwrap().generation, 4);
    assert!(site.probe.hook_has_run() && site.probe.heal() == 1);
    let fresh = site.other_store(3).await;
    assert_eq!(fresh.load_generation(&id("a"), 4).await.unwrap().content, plan("late"));
    assert_eq!(notices(&fresh.verify().await.unwrap()), [""; 0]);
}

/// Another client repairs the head while the repair is planned, at every call.
#[tokio::test]
async fn repaired_head_is_not_planned_again() {
    for kind in [Kind::Memory, Kind::Staged] {
        let mut skipped = 0;
        for call in 0.. {
            let site = Site::new(kind).await;
            let (store, dumps) = three(&site).await;
            fold(&store).await;
            site.roll_back("workflows/a/", &dumps[1]).await;
            let (raw, whole) = (site.raw.clone(), dumps[2][HEAD].clone());
            site.probe.take();
            site.probe.at_call(call, move || async move {
                let put = Operation::put(Key::parse(HEAD).unwrap(), whole);
                committed(raw.commit(Batch::new().stage([put])).await.unwrap());
            });
            let planned = store.plan_repair(&[]).await.unwrap();
            assert_eq!(planned.undecided, [], "{kind:?}, before call {call}");
            if !site.probe.hook_has_run() {
                break;
            }
            skipped += usize::from(planned.moves.is_empty());
        }
        assert!(skipped > 0);
    }
}

async fn failed_repair_reports_what_it_moved(site: Site) {
    let (store, _) = three(&site).await;
    store.save(save("b", "1", Expect::Any)).await.unwrap();
    fold(&store).await;
    site.remove(HEAD).await;
    site.remove("workflows/b/metadata.json").await;
    let planned = store.plan_repair(&[]).await.unwrap();
    assert_eq!(planned.moves.len(), 2);
    site.probe.fail(Fault { touching: "workflows/b/", ..Fault::refuse(1) });
    let report = store.repair(planned).await.unwrap();
    assert_eq!((report.moved.len(), report.moved[0].id.clone()), (1, id("a")));
    assert_eq!(
        report.failed.map(|(failed, error)| (failed, error.kind())),
        Some((id("b"), ErrorKind::Failed))
    );
}

async fn maximum_fence_in_a_lock_file_does_not_end_locking(site: Site) {
    let (store, _) = three(&site).await;
    store.acquire(&id("a"), lease()).await.unwrap();
    fold(&store).await;
    store.backend().close().await.unwrap();
    let lockfile = "workflows/a/workflow.lock";
    let mut told = site.json(lockfile).await;
    told["fence"] = u64::MAX.into();
    site.put(lockfile, told.to_string()).await;
    site.remove(HEAD).await;
    let fence = repair(&store, &[]).await.moved[0].fence;
    assert!(fence < u64::MAX);
    assert_eq!(store.acquire(&id("a"), lease()).await.unwrap().lease.fence, fence + 1);
}

/// On a bucket the swap of the head may have landed although it was refused, or although the writes after it
/// failed.
#[tokio::test]
async fn overtaken_move_is_settled_by_a_read() {
    for landed in [true, false] {
        let site = Site::new(Kind::Staged).await;
        let (store, dumps) = three(&site).await;
        site.remove(HEAD).await;
        let planned = store.plan_repair(&[]).await.unwrap();
        let (other, raw, whole) = (site.other_store(2).await, site.raw.clone(), dumps[2][HEAD].clone());
        site.probe.overtake(HEAD, landed, move || async move {
            if landed {
                other.save(save("a", "4", Expect::Generation(3))).await.unwrap();
            } else {
                let put = Operation::put(Key::parse(HEAD).unwrap(), whole);
                committed(raw.commit(Batch::new().stage([put])).await.unwrap());
            }
        });
        let report = store.repair(planned).await.unwrap();
        let expected = if landed { (1, vec![]) } else { (0, vec![id("a")]) };
        assert_eq!((report.moved.len(), report.changed), expected);
    }
    let site = Site::new(Kind::Staged).await;
    let (store, _) = three(&site).await;
    for fault in [Fault::stop_after(2), Fault::unknown(Left::All)] {
        site.remove(HEAD).await;
        let planned = store.plan_repair(&[]).await.unwrap();
        site.probe.fail(Fault { touching: HEAD, ..fault });
        let report = store.repair(planned).await.unwrap();
        assert_eq!((report.moved.len(), report.failed.is_some()), (1, false));
    }
}

/// A link or a pipe under the name of an object affects only that workflow.
#[cfg(unix)]
#[tokio::test]
async fn unreadable_lock_file_stops_nothing() {
    let site = Site::new(Kind::Disk).await;
    let (store, _) = three(&site).await;
    store.save(save("b", "1", Expect::Any)).await.unwrap();
    store.backend().close().await.unwrap();
    let lockfile = "workflows/a/workflow.lock";
    std::os::unix::fs::symlink("elsewhere", site.folder().unwrap().join(lockfile)).unwrap();
    let report = store.verify().await.unwrap();
    assert!(report.is_sound() && report.findings.iter().any(|it| it.key == lockfile), "{report:?}");
    site.remove(HEAD).await;
    site.remove("workflows/b/metadata.json").await;
    assert!(damaged(&store.verify().await.unwrap()).contains(&HEAD));
    let planned = store.plan_repair(&[]).await.unwrap();
    assert_eq!((planned.moves.len(), planned.undecided.len()), (1, 1));
    let left = &planned.undecided[0];
    assert!(left.id == id("a") && left.tips.is_empty() && left.why.contains(lockfile), "{left:?}");
    assert_eq!(store.repair(planned).await.unwrap().moved[0].id, id("b"));
}

/// The history names every version that was ever current, including those of a branch that replaced an
/// indexed one.
#[tokio::test]
async fn history_has_every_version_of_a_replacing_branch() {
    for kind in [Kind::Memory, Kind::Staged, Kind::Disk] {
        for over in ["1", "1 2", "1 2 3"] {
            let site = Site::new(kind).await;
            let store = site.store().await;
            store.save(save("a", "0", Expect::Any)).await.unwrap();
            let before = site.dump().await;
            store.save(save("a", "1", Expect::Any)).await.unwrap();
            store.save(save("a", "2", Expect::Any)).await.unwrap();
            fold(&store).await;
            site.roll_back("workflows/a/", &before).await;
            let other = site.other_store(2).await;
            for (text, generation) in over.split(' ').zip(1..) {
                other.save(save("a", &format!("over {text}"), Expect::Generation(generation))).await.unwrap();
            }
            fold(&other).await;
            let mut named = history(&site).await;
            named.sort();
            assert_eq!(named, versions(&site).await, "{kind:?}, {over}");
        }
    }
}

/// If the index is lost as well, the history still reveals that the head is an older one.
#[tokio::test]
async fn rebuilt_index_keeps_the_entry_of_a_restored_head() {
    for kind in [Kind::Memory, Kind::Staged, Kind::Bucket, Kind::Disk] {
        for (is_reindex, is_removed) in [(true, false), (false, false), (true, true), (false, true)] {
            let site = Site::new(kind).await;
            let (store, dumps) = three(&site).await;
            fold(&store).await;
            site.roll_back("workflows/a/", &dumps[1]).await;
            if is_removed {
                site.remove(HEAD).await;
            }
            site.remove("ops/checkpoint").await;
            let other = site.other_store(2).await;
            match is_reindex {
                true => drop(other.reindex().await.unwrap()),
                false => fold(&other).await,
            }
            assert!(generations(&site.other_store(3).await).await.contains(&"a@3".to_owned()), "{kind:?}");
            fold(&other).await;
            let report = other.verify().await.unwrap();
            assert_eq!((damaged(&report), &report.hurt), (vec![HEAD], &vec![id("a")]), "{kind:?}");
            assert_eq!(repair(&other, &[]).await.moved[0].to.generation, 3);
        }
    }
}

/// A rebuilt index has the branch that replaced another one.
#[tokio::test]
async fn rebuilt_index_has_the_replacing_branch() {
    let site = Site::new(Kind::Staged).await;
    let (store, dumps) = three(&site).await;
    fold(&store).await;
    site.roll_back("workflows/a/", &dumps[0]).await;
    let other = site.other_store(2).await;
    other.save(save("a", "over", Expect::Generation(1))).await.unwrap();
    site.remove("ops/checkpoint").await;
    other.reindex().await.unwrap();
    assert!(generations(&site.other_store(3).await).await.contains(&"a@2".to_owned()));
}

/// A lock alone makes a head of generation 0.
async fn head_reverted_to_its_lock_is_hurt_not_a_conflict(site: Site) {
    let store = site.store().await;
    let held = store.acquire(&id("a"), lease()).await.unwrap().lease;
    store.backend().close().await.unwrap();
    let before = site.dump().await;
    for (text, generation) in [("1", 0), ("2", 1)] {
        let request = save("a", text, Expect::Generation(generation)).lease(held.id.clone());
        store.save(request).await.unwrap();
    }
    fold(&store).await;
    site.roll_back("workflows/a/", &before).await;
    let other = site.other_store(2).await;
    let request = || save("a", "3", Expect::Generation(2)).lease(held.id.clone());
    assert_hurt(other.save(request()).await);
    assert_hurt(
        other.delete(ChangeRequest::new(id("a"), Expect::Generation(2)).lease(held.id.clone())).await,
    );
}

/// A head is damaged while a fold settles its records, at every call.
#[tokio::test]
async fn fold_does_not_overwrite_a_damaged_head() {
    for call in 0.. {
        let site = Site::new(Kind::Staged).await;
        let store = site.store().await;
        store.save(save("b", "1", Expect::Any)).await.unwrap();
        let record = format!("ops/pending/a.000000000001.{0}.{0}.1", "0".repeat(26));
        site.put(&record, "").await;
        let raw = site.raw.clone();
        site.probe.take();
        site.probe.at_call(call, move || async move {
            let put = Operation::put(Key::parse(HEAD).unwrap(), "{");
            committed(raw.commit(Batch::new().stage([put])).await.unwrap());
        });
        fold(&store).await;
        if !site.probe.hook_has_run() {
            break;
        }
        assert_eq!(site.get(HEAD).await.unwrap(), "{", "before call {call}");
    }
}

/// A load restores a copy that a person removed, while another client deletes the workflow.
#[tokio::test]
async fn load_restores_no_copy_beside_a_deletion() {
    for kind in [Kind::PlainMemory, Kind::Disk, Kind::PlainStaged] {
        for call in 0.. {
            let site = Site::new(kind).await;
            let (store, _) = three(&site).await;
            let copy = "workflows/a/workflow.json";
            site.remove(copy).await;
            let other = site.other_store(2).await;
            site.probe.take();
            site.probe.at_call(call, move || async move {
                other.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
            });
            let loaded = store.load(&id("a")).await;
            if !site.probe.hook_has_run() {
                assert_eq!(loaded.unwrap().content, plan("3"));
                assert_eq!(site.get(copy).await.unwrap(), plan("3"));
                assert_eq!(store.save(save("a", "4", Expect::Generation(3))).await.unwrap().generation, 4);
                break;
            }
            let found = notices(&store.verify().await.unwrap());
            assert!(!found.iter().any(|it| it.contains("modified outside")), "{kind:?}, {call}: {found:?}");
        }
    }
}

/// The reply to the move was lost, and the read after it finds no readable head.
#[tokio::test]
async fn move_that_cannot_be_settled_is_reported_as_unknown() {
    let site = Site::new(Kind::Memory).await;
    let (store, _) = three(&site).await;
    site.remove(HEAD).await;
    let planned = store.plan_repair(&[]).await.unwrap();
    assert_eq!(planned.moves.len(), 1);
    let raw = site.raw.clone();
    site.probe.fail(Fault::unknown(Left::All));
    site.probe.at_call(1, move || async move {
        let garbage = Operation::put(Key::parse(HEAD).unwrap(), "garbage");
        committed(raw.commit(Batch::new().stage([garbage])).await.unwrap());
    });
    let (_, error) = store.repair(planned).await.unwrap().failed.unwrap();
    assert!(site.probe.hook_has_run() && site.probe.heal() == 1);
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
}
