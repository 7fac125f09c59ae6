//! Copies and renames.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use object_store::{Error, ObjectStoreExt};

use super::{
    listed, memory, over, path,
    scripted::{Meddling, Plan},
    sites, text,
};

#[tokio::test]
async fn onto_itself_nothing_is_written_and_nothing_is_lost() {
    for site in sites().await {
        let (store, a) = (&site.store, path("a"));
        for answer in
            [store.copy(&a, &a).await, store.rename(&a, &a).await, store.rename_if_not_exists(&a, &a).await]
        {
            assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}");
        }
        let before = store.put(&a, "1".into()).await.unwrap().e_tag;
        store.copy(&a, &a).await.unwrap();
        store.rename(&a, &a).await.unwrap();
        for answer in [store.copy_if_not_exists(&a, &a).await, store.rename_if_not_exists(&a, &a).await] {
            assert!(matches!(answer, Err(Error::AlreadyExists { .. })), "{answer:?}");
        }
        assert_eq!(store.head(&a).await.unwrap().e_tag, before);
    }
}

#[tokio::test]
async fn a_rename_that_finds_its_target_taken_keeps_both() {
    for site in sites().await {
        let (store, a, b) = (&site.store, path("a"), path("a/b"));
        store.put(&a, "1".into()).await.unwrap();
        store.put(&b, "2".into()).await.unwrap();
        let refused = store.rename_if_not_exists(&a, &b).await;
        assert!(matches!(refused, Err(Error::AlreadyExists { .. })), "{refused:?}");
        assert_eq!((text(store, &a).await, text(store, &b).await), ("1".to_owned(), "2".to_owned()));
        store.delete(&b).await.unwrap();
        store.rename_if_not_exists(&a, &b).await.unwrap();
        assert_eq!(listed(store, None).await.unwrap(), ["a/b"]);
    }
}

#[tokio::test]
async fn a_write_to_the_source_of_a_rename_goes_with_it() {
    let objects = memory();
    let (a, b) = (path("a"), path("b"));
    objects.put(&a, "old".into()).await.unwrap();
    let meddled = AtomicBool::default();
    let writer = objects.clone();
    let store = over(Meddling::new(&objects, Plan::default(), move || {
        let (writer, first) = (writer.clone(), !meddled.swap(true, Ordering::SeqCst));
        Box::pin(async move {
            if first {
                writer.put(&path("a"), "new".into()).await.unwrap();
            }
        })
    }));
    store.rename(&a, &b).await.unwrap();
    assert_eq!(listed(&objects, None).await.unwrap(), ["b"]);
    assert_eq!(text(&objects, &b).await, "new");
}

#[tokio::test]
async fn a_rename_whose_source_never_rests_gives_up_and_touches_nothing() {
    let objects = memory();
    objects.put(&path("a"), "0".into()).await.unwrap();
    let count = std::sync::Arc::new(AtomicUsize::default());
    let (writer, counted) = (objects.clone(), count.clone());
    let store = over(Meddling::new(&objects, Plan::default(), move || {
        let (writer, number) = (writer.clone(), counted.fetch_add(1, Ordering::SeqCst));
        Box::pin(async move {
            writer.put(&path("a"), format!("{number} more").into()).await.unwrap();
        })
    }));
    let refused = store.rename(&path("a"), &path("b")).await.unwrap_err();
    assert!(refused.to_string().contains("was not renamed"), "{refused}");
    assert_eq!(count.load(Ordering::SeqCst), 16);
    assert_eq!(listed(&objects, None).await.unwrap(), ["a"]);
}

#[tokio::test]
async fn without_conditional_deletes_a_rename_still_moves() {
    let objects = memory();
    objects.put(&path("a"), "1".into()).await.unwrap();
    let plan = Plan {
        capabilities: Some(objects.backend().capabilities().conditional_delete(false)),
        ..Plan::default()
    };
    let store = over(Meddling::new(&objects, plan, || Box::pin(async {})));
    store.rename(&path("a"), &path("b")).await.unwrap();
    assert_eq!(listed(&objects, None).await.unwrap(), ["b"]);
}
