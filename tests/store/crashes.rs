//! States that a crash leaves, created by hand: they are read correctly, reported correctly, and can be
//! continued from.

use std::time::Duration;

use futures::StreamExt;
use pflow_store::document::ContentHash;
use pflow_store::{ChangeRequest, Error, ErrorKind, Expect, LeaseRequest, Query, Store};
use pflow_testkit::{
    Kind, Site, VersionParts, damaged, every_backend, generations, history, id, listing, notices, plan, save,
    version_object, versions,
};

every_backend!(
    record_without_a_change_is_ignored,
    fold_that_died_before_its_swap_has_no_effect,
    fold_that_died_after_its_swap_is_complete,
    leftover_mirror_is_not_a_lock,
    store_works_without_an_index,
    lost_data_is_reported_and_never_invented,
    exchanged_version_is_detected,
);

/// On storage without atomic batches, a writer that stops between its version and its head leaves this state.
/// On other storage it means that the head was replaced by an older one, see `lost_heads.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leftovers_before_the_head_are_ignored() {
    for kind in [Kind::Staged, Kind::Bucket] {
        version_without_its_head_is_ignored(Site::new(kind).await).await;
        first_version_without_its_head_is_ignored(Site::new(kind).await).await;
    }
}

/// A copy can lag only without atomic batches, or on storage that people do not edit. Otherwise an older copy
/// is a person's edit, see `edits.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outdated_copies_after_the_head_are_repaired() {
    for kind in [Kind::Memory, Kind::Staged, Kind::PlainStaged, Kind::Bucket] {
        head_without_its_copy_is_a_complete_save(Site::new(kind).await).await;
        deletion_is_complete_without_removal_of_the_copy(Site::new(kind).await).await;
    }
}

/// Checks the listing of this process and of a new one.
async fn assert_listed(site: &Site, store: &Store, wanted: &[&str]) {
    assert_eq!(generations(store).await, wanted);
    assert_eq!(generations(&site.other_store(3).await).await, wanted);
}

async fn fold(store: &Store) {
    let results: Vec<_> = store.save_all([save("fold", "1", Expect::Any)]).collect().await;
    results[0].1.as_ref().unwrap();
}

/// Saves two workflows. Returns the store and a second process, for a crash that the first knows nothing
/// about.
async fn two(site: &Site) -> (Store, Store) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    store.save(save("b", "1", Expect::Absent)).await.unwrap();
    assert_listed(site, &store, &["a@1", "b@1"]).await;
    (store, site.other_store(2).await)
}

async fn version_without_its_head_is_ignored(site: Site) {
    let (store, crashing) = two(&site).await;
    let before = site.dump().await;
    crashing.save(save("a", "2", Expect::Generation(1))).await.unwrap();
    site.roll_back("workflows/", &before).await;

    assert_listed(&site, &store, &["a@1", "b@1"]).await;
    assert_eq!(store.load(&id("a")).await.unwrap().content, plan("1"));
    let found = notices(&store.verify().await.unwrap());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("ops/pending/a.000000000002.") && found[0].contains("did not happen"));
    assert!(found[1].starts_with("versions/a/000000000002-") && found[1].contains("unconfirmed"));

    assert_eq!(store.save(save("a", "3", Expect::Generation(1))).await.unwrap().generation, 2);
    assert_listed(&site, &store, &["a@2", "b@1"]).await;
    fold(&store).await;
    assert_listed(&site, &store, &["a@2", "b@1", "fold@1"]).await;
    assert_eq!(site.keys("ops/pending/").await, [""; 0]);
    // Its record was covered; the object stays until garbage collection.
    assert_eq!(notices(&store.verify().await.unwrap()).len(), 1);
    assert_eq!((history(&site).await.len(), versions(&site).await.len()), (4, 5));
}

async fn first_version_without_its_head_is_ignored(site: Site) {
    let (store, crashing) = two(&site).await;
    let before = site.dump().await;
    crashing.save(save("new", "1", Expect::Absent)).await.unwrap();
    site.roll_back("workflows/", &before).await;
    assert_listed(&site, &store, &["a@1", "b@1"]).await;
    assert!(matches!(store.load(&id("new")).await, Err(Error::WorkflowMissing { .. })));
    let found = notices(&store.verify().await.unwrap());
    assert!(found[0].starts_with("ops/pending/new.000000000001."), "{found:?}");
    assert_eq!(store.save(save("new", "2", Expect::Absent)).await.unwrap().generation, 1);
    assert_listed(&site, &store, &["a@1", "b@1", "new@1"]).await;
    fold(&store).await;
    assert_eq!(notices(&store.verify().await.unwrap()).len(), 1, "the version of the attempt that died");
}

async fn head_without_its_copy_is_a_complete_save(site: Site) {
    let (store, crashing) = two(&site).await;
    let before = site.dump().await;
    crashing.save(save("a", "2", Expect::Generation(1))).await.unwrap();
    crashing.save(save("c", "1", Expect::Absent)).await.unwrap();
    site.put("workflows/a/workflow.json", before["workflows/a/workflow.json"].clone()).await;
    site.remove("workflows/c/workflow.json").await;

    assert_listed(&site, &store, &["a@2", "b@1", "c@1"]).await;
    let found = notices(&store.verify().await.unwrap());
    assert_eq!(found.len(), 2);
    assert!(found[0].contains("behind its head") && found[1].contains("missing"), "{found:?}");
    assert_eq!(store.load(&id("a")).await.unwrap().content, plan("2"));
    assert_eq!(store.save(save("c", "2", Expect::Generation(1))).await.unwrap().generation, 2);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "the load and the save have mended them");
}

async fn record_without_a_change_is_ignored(site: Site) {
    let (store, _) = two(&site).await;
    const V: &str = "01hm6aqh20fqaswn6q70mqyxxe";
    let ours = [format!("a.000000000009.{V}.{V}.1"), format!("never.000000000001.{V}.{V}.1")];
    let foreign = ["no-record".to_owned(), format!("a.1.{V}.{V}.1"), format!("A.000000000001.{V}.{V}.1")];
    for record in ours.iter().chain(&foreign) {
        site.put(&format!("ops/pending/{record}"), "").await;
    }
    assert_listed(&site, &store, &["a@1", "b@1"]).await;
    let found = notices(&store.verify().await.unwrap());
    assert_eq!(found.iter().filter(|notice| notice.contains("did not happen")).count(), 2, "{found:?}");
    assert_eq!(
        found.iter().filter(|notice| notice.contains("not a file of this store")).count(),
        3,
        "{found:?}"
    );
    fold(&store).await;
    assert_listed(&site, &store, &["a@1", "b@1", "fold@1"]).await;
    assert_eq!(site.keys("ops/pending/").await.len(), 3, "what is not understood is left alone");
}

async fn fold_that_died_before_its_swap_has_no_effect(site: Site) {
    let (store, crashing) = two(&site).await;
    let before = site.dump().await;
    fold(&crashing).await;
    for prefix in ["ops/checkpoint", "ops/pending/", "index."] {
        site.roll_back(prefix, &before).await;
    }
    let pending = site.keys("ops/pending/").await.len();
    assert_eq!((site.keys("ops/segments/").await.len(), pending), (1, 2));
    // The record of the workflow that was saved along is restored by hand.
    site.put(&format!("ops/pending/{}", only_pending_of_fold(&site).await), "").await;
    assert_listed(&site, &store, &["a@1", "b@1", "fold@1"]).await;
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
    fold(&store).await;
    assert_listed(&site, &store, &["a@1", "b@1", "fold@1"]).await;
    let mut named = history(&site).await;
    named.sort();
    assert_eq!(named, versions(&site).await);
}

async fn only_pending_of_fold(site: &Site) -> String {
    let version = site.only_key("versions/fold/").await;
    let (generation, version_id) = version.strip_prefix("versions/fold/").unwrap().split_once('-').unwrap();
    format!("fold.{generation}.{version_id}.{version_id}.1")
}

async fn fold_that_died_after_its_swap_is_complete(site: Site) {
    let (store, crashing) = two(&site).await;
    let before = site.dump().await;
    fold(&crashing).await;
    site.roll_back("ops/pending/", &before).await;
    site.roll_back("index.", &before).await;
    assert_listed(&site, &store, &["a@1", "b@1", "fold@1"]).await;
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
    store.save(save("a", "2", Expect::Generation(1))).await.unwrap();
    assert_listed(&site, &store, &["a@2", "b@1", "fold@1"]).await;
    fold(&store).await;
    assert_eq!(site.keys("ops/pending/").await, [""; 0]);
    assert_eq!(site.json("index.json").await.as_object().unwrap().len(), 3);
    let mut named = history(&site).await;
    named.sort();
    assert_eq!(named, versions(&site).await);
}

async fn deletion_is_complete_without_removal_of_the_copy(site: Site) {
    let (store, crashing) = two(&site).await;
    crashing.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
    site.put("workflows/a/workflow.json", plan("1")).await;
    assert_listed(&site, &store, &["b@1"]).await;
    let found = notices(&store.verify().await.unwrap());
    assert_eq!(found, ["workflows/a/workflow.json: left over; the workflow is deleted"]);
    assert!(matches!(store.load(&id("a")).await, Err(Error::WorkflowMissing { deleted: true, .. })));
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "the load has removed it");
    assert_eq!(store.status().await.unwrap().edited, []);
    assert_eq!(store.save(save("a", "2", Expect::Absent)).await.unwrap().generation, 3);
    assert_eq!(store.load(&id("a")).await.unwrap().content, plan("2"));
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn leftover_mirror_is_not_a_lock(site: Site) {
    let (store, crashing) = two(&site).await;
    let lease = || LeaseRequest::new("edit", Duration::from_secs(60));
    let held = crashing.acquire(&id("a"), lease()).await.unwrap().lease;
    let mirror = site.get("workflows/a/workflow.lock").await.unwrap();
    crashing.release(&id("a"), held.id).await.unwrap();
    site.put("workflows/a/workflow.lock", mirror.clone()).await;

    assert_eq!(store.status().await.unwrap().locked, []);
    assert_eq!(store.lock_state(&id("a")).await.unwrap().lease, None);
    let found = notices(&store.verify().await.unwrap());
    assert_eq!(found, ["workflows/a/workflow.lock: left over; the workflow is not locked"]);
    store.save(save("a", "2", Expect::Any)).await.unwrap();
    let held = store.acquire(&id("a"), lease()).await.unwrap().lease;
    site.put("workflows/a/workflow.lock", mirror).await;
    let found = notices(&store.verify().await.unwrap());
    assert_eq!(found, ["workflows/a/workflow.lock: not what the head says; the head decides"]);
    store.release(&id("a"), held.id).await.unwrap();
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn store_works_without_an_index(site: Site) {
    drop(site.store().await);
    site.remove("ops/checkpoint").await;
    site.remove(".gitignore").await;
    site.remove(".gitattributes").await;
    let store = site.store().await;
    assert_eq!(site.keys("").await, ["config.json"], "opening again writes nothing");
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    assert_listed(&site, &store, &["a@1"]).await;
    assert!(store.status().await.unwrap().index.lost);
    assert!(notices(&store.verify().await.unwrap())[0].contains("the index is lost"));
    fold(&store).await;
    assert_listed(&site, &store, &["a@1", "fold@1"]).await;
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn lost_data_is_reported_and_never_invented(site: Site) {
    let (store, _) = two(&site).await;
    store.save(save("a", "2", Expect::Any)).await.unwrap();
    let version = site.keys("versions/a/").await.remove(1);
    site.remove(&version).await;
    assert_eq!(damaged(&store.verify().await.unwrap()), [version.as_str()]);
    assert_eq!(store.load(&id("a")).await.unwrap().content, plan("2"), "the copy has the right hash");
    site.remove("workflows/a/workflow.json").await;
    assert_eq!(store.load(&id("a")).await.unwrap_err().kind(), ErrorKind::Corrupt);
    site.put("workflows/b/metadata.json", "{").await;
    assert_eq!(store.load(&id("b")).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let before = site.dump().await;
    assert_eq!(store.save(save("b", "2", Expect::Any)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(site.dump().await, before, "what cannot be read is not overwritten");
    assert_eq!(damaged(&store.verify().await.unwrap()), [version.as_str(), "workflows/b/metadata.json"]);
    // One unreadable head does not hide the others.
    let found = listing(&site.other_store(2).await, Query::new()).await.unwrap();
    assert!(found.workflows.iter().any(|it| it.id == id("a")));
    assert_eq!(site.other_store(2).await.status().await.unwrap().unreadable[0].id, id("b"));
    store.save(save("c", "1", Expect::Absent)).await.unwrap();
}

/// The replaced version is valid in itself, so only the objects that refer to it reveal the exchange.
async fn exchanged_version_is_detected(site: Site) {
    let store = site.store().await;
    for n in 0..36 {
        store.save(save("a", &n.to_string(), Expect::Any)).await.unwrap();
    }
    // The current version, one that the head remembers, and one that only its successor names.
    for (generation, key) in [36, 20, 1].map(|n: usize| (n as u64, format!("versions/a/{n:012}-"))) {
        let key = site.only_key(&key).await;
        let whole = site.get(&key).await.unwrap();
        let mut record = VersionParts::of(&whole).unwrap().fields();
        let other = plan("another");
        record["hash"] = ContentHash::of(other.as_bytes()).to_string().into();
        record["size"] = other.len().into();
        site.put_raw(&key, version_object(&record, Some(&other)).object()).await;
        let read = store.load_generation(&id("a"), generation).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt, "generation {generation}");
        assert_eq!(damaged(&store.verify().await.unwrap())[..], [key.as_str()][..]);
        site.put_raw(&key, whole).await;
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "generation {generation} is back");
    }
}
