//! The operation history has what people filter it by, and a fold reads each version at most once for it.

use std::sync::Arc;

use pflow_store::{ChangeRequest, Expect};
use pflow_testkit::{Kind, Probe, Site, every_backend, history_lines, id, save, versions};
use serde_json::json;

every_backend!(history_says_who_did_what_and_why);

async fn history_says_who_did_what_and_why(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent).message("first")).await.unwrap();
    store.save(save("a", "2", Expect::Any)).await.unwrap();
    store.delete(ChangeRequest::new(id("a"), Expect::Any).message("no longer used")).await.unwrap();
    store.undelete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
    store.reindex().await.unwrap();
    let lines = history_lines(&site).await;
    let told: Vec<_> =
        lines.iter().map(|it| json!([it["generation"], it["operation"], it["message"]])).collect();
    let expected = [
        json!([1, "save", "first"]),
        json!([2, "save", null]),
        json!([3, "delete", "no longer used"]),
        json!([4, "undelete", null]),
    ];
    assert_eq!(told, expected);
    let newest = store.show(&id("a")).await.unwrap().current.unwrap().record;
    let last = lines.last().unwrap();
    assert_eq!(last["author"], newest.author);
    assert_eq!(last["modified"], serde_json::to_value(newest.modified).unwrap());
}

/// Another process folds what it has not written.
#[tokio::test]
async fn fold_reads_each_version_once_and_those_of_the_head_never() {
    for kind in [Kind::Memory, Kind::Disk, Kind::Bucket] {
        let site = Site::new(kind).await;
        let store = site.store().await;
        for n in 0..20 {
            store.save(save("a", &n.to_string(), Expect::Any)).await.unwrap();
            store.save(save("b", &n.to_string(), Expect::Any)).await.unwrap();
        }
        let folded = history_lines(&site).await.len();
        let probe = Probe::new(site.raw.clone());
        let other = site.on(Arc::new(probe.clone())).open().await.unwrap();
        probe.take();
        other.reindex().await.unwrap();
        let reads = probe.take().gets.into_iter().filter(|key| key.starts_with("versions/")).count();
        assert_eq!(history_lines(&site).await.len(), versions(&site).await.len(), "{kind:?}");
        // The two current versions are in their heads.
        assert_eq!((folded, reads), (0, 38), "{kind:?}");
    }
}

/// A record is read without its content, however long that is, if the storage can.
#[tokio::test]
async fn records_are_read_without_their_contents() {
    for kind in [Kind::Memory, Kind::Disk, Kind::Bucket] {
        let site = Site::new(kind).await;
        let store = site.store().await;
        let long = "x".repeat(100_000);
        for n in 0..20 {
            store.save(save("a", &format!("{n}{long}"), Expect::Any)).await.unwrap();
        }
        store.close().await.unwrap();
        let probe = Probe::new(site.raw.clone());
        let other = site.on(Arc::new(probe.clone())).open().await.unwrap();
        probe.take();
        other.reindex().await.unwrap();
        let log = probe.take();
        assert_eq!(log.ranges.len(), 19, "{kind:?}: the records below the head");
        assert!(log.range_bytes <= 19 * 4096, "{kind:?}: {}", log.range_bytes);
        assert_eq!(log.gets.iter().filter(|key| key.starts_with("versions/")).count(), 19, "{kind:?}");
    }
}
