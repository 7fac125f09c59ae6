//! Uploads in parts.

use std::sync::Arc;

use object_store::{Error, ObjectStoreExt, multipart::MultipartStore};
use pflow_backend_memory::MemoryBackend;
use pflow_backend_object::AsObjectStore;

use super::{environment, keys, path, sites, text};

fn with_at_most(bytes: u64) -> AsObjectStore {
    AsObjectStore::new(Arc::new(MemoryBackend::new(environment()).with_max_object_size(bytes)))
}

#[tokio::test]
async fn nothing_is_kept_before_an_upload_is_complete_or_after_it_is_dropped() {
    for site in sites().await {
        let (store, place) = (&site.store, path("a"));
        for end in ["abort", "drop"] {
            let mut upload = store.put_multipart(&place).await.unwrap();
            upload.put_part("1".into()).await.unwrap();
            assert!(keys(store).await.is_empty());
            if end == "abort" {
                upload.abort().await.unwrap();
                upload.complete().await.unwrap_err();
            }
            drop(upload);
            assert!(keys(store).await.is_empty());
        }
        let mut upload = store.put_multipart(&place).await.unwrap();
        // The parts are in the order of the calls, no matter which future is polled first or at all.
        let (one, two) = (upload.put_part("1".into()), upload.put_part("2".into()));
        two.await.unwrap();
        drop(one);
        let tag = upload.complete().await.unwrap().e_tag;
        assert_eq!(
            (text(store, &place).await, store.head(&place).await.unwrap().e_tag),
            ("12".to_owned(), tag)
        );
        upload.complete().await.unwrap_err();
        upload.put_part("3".into()).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_part_over_the_limit_is_refused_at_once_and_no_object_with_a_gap_is_stored() {
    let (store, place) = (with_at_most(4), path("a"));
    let mut upload = store.put_multipart(&place).await.unwrap();
    upload.put_part("123".into()).await.unwrap();
    let refused = upload.put_part("45".into()).await.unwrap_err();
    assert!(refused.to_string().contains("at most 4"), "{refused}");
    upload.put_part("6".into()).await.unwrap();
    let refused = upload.complete().await.unwrap_err();
    assert!(refused.to_string().contains("2 of its 3 parts"), "{refused}");
    upload.abort().await.unwrap();
    assert!(keys(&store).await.is_empty());
}

#[tokio::test]
async fn an_upload_by_number_takes_its_parts_in_any_order_and_only_the_ones_it_named() {
    let (store, place) = (with_at_most(4), path("a"));
    let id = store.create_multipart(&place).await.unwrap();
    let two = store.put_part(&place, &id, 1, "34".into()).await.unwrap();
    let old = store.put_part(&place, &id, 0, "xx".into()).await.unwrap();
    // This part replaces the old one, whose bytes do not count any more.
    let one = store.put_part(&place, &id, 0, "12".into()).await.unwrap();
    store.put_part(&place, &id, 2, "5".into()).await.unwrap_err();

    for wrong in [vec![], vec![one.clone()], vec![two.clone(), one.clone()], vec![old, two.clone()]] {
        store.complete_multipart(&place, &id, wrong).await.unwrap_err();
    }
    store.put_part(&path("b"), &id, 0, "12".into()).await.unwrap_err();
    assert!(keys(&store).await.is_empty());

    store.clone().complete_multipart(&place, &id, vec![one, two]).await.unwrap();
    assert_eq!(text(&store, &place).await, "1234");
    store.abort_multipart(&place, &id).await.unwrap_err();
}

#[tokio::test]
async fn an_aborted_upload_is_known_no_more() {
    let (store, place) = (with_at_most(4), path("a"));
    let id = store.create_multipart(&place).await.unwrap();
    store.put_part(&place, &id, 0, "1".into()).await.unwrap();
    store.abort_multipart(&path("b"), &id).await.unwrap_err();
    store.abort_multipart(&place, &id).await.unwrap();
    let gone = store.put_part(&place, &id, 1, "1".into()).await.map(drop).unwrap_err();
    assert!(matches!(gone, Error::Generic { .. }) && gone.to_string().contains("under way"), "{gone}");
}
