//! A workflow that the index lists but that has no head is damage.

use pflow_store::{ChangeRequest, Error, ErrorKind, Expect};
use pflow_testkit::{Site, every_backend, id, listed, save};

every_backend!(listed_workflow_without_a_head_is_damaged);

async fn listed_workflow_without_a_head_is_damaged(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    store.reindex().await.unwrap();
    site.remove("workflows/a/metadata.json").await;
    // Without its head, and then also without its versions.
    for left in [1, 0] {
        for version in site.keys("versions/a/").await.iter().skip(left) {
            site.remove(version).await;
        }
        let store = site.other_store(2).await;
        assert_eq!(listed(&store).await, ["a"]);
        for damage in [
            store.load(&id("a")).await.map(drop),
            store.load_generation(&id("a"), 1).await.map(drop),
            store.show(&id("a")).await.map(drop),
            store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.map(drop),
            store.undelete(ChangeRequest::new(id("a"), Expect::Any)).await.map(drop),
        ] {
            let damage = damage.unwrap_err();
            assert!(matches!(damage, Error::HeadHurt { .. }), "{damage}");
            assert_eq!(damage.kind(), ErrorKind::Corrupt, "{damage}");
        }
    }
    let missing = site.other_store(2).await.load(&id("b")).await;
    assert!(matches!(missing, Err(Error::WorkflowMissing { deleted: false, .. })), "{missing:?}");
}
