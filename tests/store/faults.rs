//! Commits that fail: what is retried, what is cleaned up, and which error the caller gets.

use std::time::Duration;

use pflow_store::{
    ChangeRequest, Error, ErrorKind, Expect, LeaseRequest,
    backend::{Environment, ErrorKind as StorageErrorKind, Outcome},
};
use pflow_testkit::{Fault, Kind, Left, Site, every_backend, generations, id, listed, notices, plan, save};

every_backend!(
    transient_failures_are_retried_three_times,
    permanent_failures_are_not_retried,
    save_is_committed_even_if_the_fold_fails,
);

/// Without atomic batches, the stages before the one that failed remain: then the head is newer than its
/// copies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_committed_even_if_its_copies_fail() {
    for kind in [Kind::Staged, Kind::PlainStaged, Kind::Bucket] {
        change_is_committed_even_if_its_copies_fail(Site::new(kind).await).await;
        lock_is_committed_even_if_its_mirror_fails(Site::new(kind).await).await;
    }
}

/// With atomic batches, a copy that cannot be written fails the whole change. A new head with the old copy
/// would make the copy look like a person's edit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn atomic_batch_fails_as_a_whole_if_a_copy_fails() {
    for kind in [Kind::Memory, Kind::PlainMemory, Kind::Disk] {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        let before = site.dump().await;
        let denied =
            |touching| Fault { kind: StorageErrorKind::Denied, touching, ..Fault::refuse(usize::MAX) };
        site.probe.fail(denied("workflows/a/workflow.json"));
        for failed in [
            store.save(save("a", "2", Expect::Generation(1))).await,
            store.delete(ChangeRequest::new(id("a"), Expect::Generation(1))).await,
        ] {
            assert!(matches!(failed.unwrap_err(), Error::Storage(_)), "{kind:?}");
        }
        assert_eq!(site.probe.heal(), 2, "{kind:?}: both wrote the copy in the batch of the head");
        site.probe.fail(denied("workflows/a/workflow.lock"));
        let lease = LeaseRequest::new("t", Duration::from_secs(1));
        assert!(matches!(store.acquire(&id("a"), lease).await.unwrap_err(), Error::Storage(_)), "{kind:?}");
        assert_eq!(site.probe.heal(), 1, "{kind:?}: the mirror was written in the batch of the head");
        assert_eq!(site.dump().await, before, "{kind:?}");
        assert_eq!(store.load(&id("a")).await.unwrap().content, plan("1"));
        assert_eq!(store.lock_state(&id("a")).await.unwrap().lease, None);
        assert_eq!(store.save(save("a", "2", Expect::Generation(1))).await.unwrap().generation, 2);
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "{kind:?}");
    }
}

async fn transient_failures_are_retried_three_times(site: Site) {
    let store = site.store().await;
    let before = site.dump().await;
    let began = site.environment.monotonic();
    for kind in [StorageErrorKind::Exhausted, StorageErrorKind::Unavailable, StorageErrorKind::Io] {
        site.probe.take();
        site.probe.fail(Fault { kind, touching: "versions/", ..Fault::refuse(usize::MAX) });
        let failed = store.save(save("a", "1", Expect::Absent)).await.unwrap_err();
        let Error::Storage(source) = &failed else { panic!("{failed:?}") };
        assert_eq!(source.kind(), kind);
        let log = site.probe.take();
        let attempts: Vec<_> = log.writes().filter(|write| write.key.starts_with("versions/")).collect();
        let mut ids: Vec<_> =
            attempts.iter().filter(|write| write.bytes.is_some()).map(|write| &write.key).collect();
        assert_eq!(ids.len(), 3);
        ids.dedup();
        assert_eq!(ids.len(), 3, "each attempt has a version id of its own");
        site.probe.heal();
        assert_eq!(site.dump().await, before);
    }
    let waited = site.environment.monotonic() - began;
    assert!(
        (Duration::from_secs(3)..Duration::from_secs(6)).contains(&waited),
        "a second, less jitter: {waited:?}"
    );

    site.probe.fail(Fault::refuse(2));
    assert_eq!(store.save(save("a", "1", Expect::Absent)).await.unwrap().generation, 1);
    site.probe.fail(Fault::refuse(2));
    store.acquire(&id("a"), LeaseRequest::new("t", Duration::from_secs(1))).await.unwrap();
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn permanent_failures_are_not_retried(site: Site) {
    let store = site.store().await;
    for (kind, told) in [
        (StorageErrorKind::Denied, ErrorKind::Failed),
        (StorageErrorKind::Poisoned, ErrorKind::Failed),
        (StorageErrorKind::Corrupt, ErrorKind::Corrupt),
        (StorageErrorKind::Incompatible, ErrorKind::Incompatible),
        (StorageErrorKind::Unsafe, ErrorKind::Unsafe),
    ] {
        site.probe.take();
        site.probe.fail(Fault { kind, touching: "workflows/", ..Fault::refuse(usize::MAX) });
        let failed = store.save(save("a", "1", Expect::Absent)).await.unwrap_err();
        assert_eq!(failed.kind(), told, "{kind:?}");
        assert_eq!(site.probe.take().puts("workflows/a/metadata.json"), 1, "{kind:?}");
    }
    site.probe.heal();
    assert_eq!(listed(&store).await, [""; 0]);
}

/// What a disk shows after a failed sync may be gone after a crash, so no decision is based on it. Its
/// batches are atomic, so it shows the whole change or nothing.
#[tokio::test]
async fn unknown_outcome_on_a_disk_is_reported_and_not_retried() {
    let site = Site::new(Kind::Disk).await;
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let (nothing, mut content) = (Left::Stages(0), plan("1"));
    for (left, generation) in [(nothing, 1), (Left::All, 2), (nothing, 2), (Left::All, 3)] {
        site.probe.take();
        site.probe.fail(Fault::unknown(left));
        let text = format!("{left:?} {generation}");
        let failed = store.save(save("a", &text, Expect::Any)).await.unwrap_err();
        assert!(matches!(failed, Error::OutcomeUnknown { .. }));
        assert_eq!(failed.kind(), ErrorKind::OutcomeUnknown);
        assert_eq!(site.probe.take().commits.len(), 1, "neither repeated nor cleared away");
        assert_eq!(store.show(&id("a")).await.unwrap().generation(), generation);
        for reader in [&store, &site.other_store(2).await] {
            assert_eq!(generations(reader).await, [format!("a@{generation}")]);
        }
        if left == Left::All {
            content = plan(&text);
        }
        assert_eq!(store.load(&id("a")).await.unwrap().content, content);
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "{left:?}");
    }
    // A caller that repeats the save after reading is told that nothing changed. A caller that does not read
    // gets a conflict with a version built on generation 1.
    assert!(store.save(save("a", "All 3", Expect::Generation(3))).await.unwrap().unchanged);
    let blind = store.save(save("a", "All 3", Expect::Generation(1))).await.unwrap_err();
    assert_eq!(blind.kind(), ErrorKind::Conflict);
    site.probe.fail(Fault::unknown(Left::All));
    let failed = store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::OutcomeUnknown);
    assert!(store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap().unchanged);
    site.probe.fail(Fault::unknown(Left::All));
    let failed = store.acquire(&id("a"), LeaseRequest::new("t", Duration::from_secs(1))).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::OutcomeUnknown);
    assert!(store.lock_state(&id("a")).await.unwrap().lease.is_some());
    assert!(store.verify().await.unwrap().is_sound());
}

async fn change_is_committed_even_if_its_copies_fail(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    site.probe.take();
    site.probe.fail(Fault::stop_after(2));
    let saved = store.save(save("a", "2", Expect::Generation(1))).await.unwrap();
    assert_eq!(saved.generation, 2);
    assert!(matches!(saved.copy_error, Some(Error::Storage(_))));
    assert_eq!(site.probe.take().commits.len(), 1);
    assert_eq!(site.get("workflows/a/workflow.json").await.unwrap(), plan("1"));
    assert_eq!(notices(&store.verify().await.unwrap()).len(), 1);
    assert_eq!(store.load(&id("a")).await.unwrap().content, plan("2"));
    assert_eq!(site.get("workflows/a/workflow.json").await.unwrap(), plan("2"), "the load has mended it");

    site.probe.fail(Fault::stop_after(2));
    let deleted = store.delete(ChangeRequest::new(id("a"), Expect::Generation(2))).await.unwrap();
    assert!(deleted.copy_error.is_some());
    assert!(matches!(store.load(&id("a")).await, Err(Error::WorkflowMissing { deleted: true, .. })));
    assert_eq!(store.save(save("a", "3", Expect::Absent)).await.unwrap().generation, 4);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn lock_is_committed_even_if_its_mirror_fails(site: Site) {
    let store = site.store().await;
    site.probe.fail(Fault::stop_after(1));
    let grant = store.acquire(&id("a"), LeaseRequest::new("t", Duration::from_secs(1))).await.unwrap();
    assert_eq!(site.get("workflows/a/workflow.lock").await, None);
    assert_eq!(store.lock_state(&id("a")).await.unwrap().lease, Some(grant.lease.clone()));
    let notice = notices(&store.verify().await.unwrap());
    assert_eq!(notice, ["workflows/a/workflow.lock: missing; the head has the lease"]);
    store.release(&id("a"), grant.lease.id).await.unwrap();
}

async fn save_is_committed_even_if_the_fold_fails(site: Site) {
    let store = site.store_with(site.builder().fold_after(1)).await;
    let outcome = Outcome::NotApplied { applied: 0 };
    for (kind, outcome, tries) in [
        (StorageErrorKind::Unavailable, outcome, 3),
        (StorageErrorKind::Denied, outcome, 1),
        (StorageErrorKind::Io, Outcome::Unknown, 1),
    ] {
        site.probe.take();
        let every = Fault::refuse(usize::MAX);
        site.probe.fail(Fault { touching: "ops/checkpoint", kind, outcome, ..every });
        let name = format!("{kind:?}").to_lowercase();
        let saved = store.save(save(&name, "1", Expect::Absent)).await.unwrap();
        assert!(saved.index_error.is_some());
        assert_eq!(site.probe.take().puts("ops/checkpoint"), tries, "{kind:?}");
        site.probe.heal();
        assert!(listed(&store).await.contains(&name));
        assert!(listed(&site.other_store(2).await).await.contains(&name));
    }
    let saved = store.save(save("next", "1", Expect::Absent)).await.unwrap();
    assert!(saved.index_error.is_none());
    assert_eq!(site.keys("ops/pending/").await, [""; 0], "a later save makes up for it");
    assert_eq!(listed(&store).await.len(), 4);
}

/// On a bucket a failed attempt leaves its first stage, which the writer deletes.
#[tokio::test]
async fn garbage_of_failed_attempts_is_deleted() {
    for (spared, what) in [(0, "the version"), (1, "its record"), (2, "the head")] {
        let (site, staged) = Site::below_stages();
        let store = site.on(staged).init().await.unwrap();
        let before = site.dump().await;
        site.probe.fail(Fault { spared, ..Fault::refuse(1) });
        assert_eq!(store.save(save("a", "1", Expect::Absent)).await.unwrap().generation, 1, "without {what}");
        assert_eq!(site.keys("versions/").await.len(), 1, "without {what}");
        assert_eq!(site.keys("ops/pending/").await.len(), 1, "without {what}");
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "without {what}");

        let denied = StorageErrorKind::Denied;
        site.probe.fail(Fault { spared, kind: denied, ..Fault::refuse(1) });
        store.save(save("b", "1", Expect::Absent)).await.unwrap_err();
        let left: Vec<_> = site.dump().await.into_keys().filter(|key| !before.contains_key(key)).collect();
        assert!(left.iter().all(|key| key.contains("/a")), "without {what}: {left:?}");
    }
}

/// A lost race leaves no garbage either.
#[tokio::test]
async fn garbage_of_a_lost_race_is_deleted() {
    for kind in [Kind::Memory, Kind::Staged, Kind::Disk] {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        let other = site.other_store(2).await;
        site.probe.take();
        let reads = if kind == Kind::Disk { 2 } else { 1 };
        site.probe.at_call(reads, move || async move {
            other.save(save("a", "2", Expect::Any)).await.unwrap();
        });
        assert_eq!(store.save(save("a", "3", Expect::Any)).await.unwrap().generation, 3);
        assert!(site.probe.hook_has_run());
        assert_eq!(site.probe.take().puts("workflows/a/metadata.json"), 2, "{kind:?}");
        assert_eq!(site.keys("versions/").await.len(), 3, "{kind:?}");
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "{kind:?}");
    }
}
