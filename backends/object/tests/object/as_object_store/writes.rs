//! Conditional writes.

use futures::future::try_join_all;
use object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, TagSet,
    UpdateVersion,
};

use super::{keys, listed, path, sites, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_increment_of_a_racing_counter_is_lost() {
    const TASKS: usize = 8;
    const INCREMENTS: usize = 20;
    for site in sites().await {
        let counter = path("Counters/one");
        site.store.put(&counter, "0".into()).await.unwrap();
        let mut tasks = Vec::new();
        for _ in 0..TASKS {
            let (store, counter) = (site.another().await, counter.clone());
            tasks.push(tokio::spawn(async move {
                for _ in 0..INCREMENTS {
                    loop {
                        let read = store.get(&counter).await.unwrap();
                        let seen = UpdateVersion { e_tag: read.meta.e_tag.clone(), version: None };
                        let bytes = read.bytes().await.unwrap();
                        let number: usize = std::str::from_utf8(&bytes).unwrap().parse().unwrap();
                        let next = (number + 1).to_string().into();
                        match store.put_opts(&counter, next, PutMode::Update(seen).into()).await {
                            Ok(_) => break,
                            Err(Error::Precondition { .. }) => {}
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                }
            }));
        }
        try_join_all(tasks).await.unwrap();
        assert_eq!(text(&site.store, &counter).await, (TASKS * INCREMENTS).to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_create_one_object_one_wins() {
    for site in sites().await {
        let place = path("one");
        let mut tasks = Vec::new();
        for number in 0..8 {
            let (store, place) = (site.another().await, place.clone());
            tasks.push(tokio::spawn(async move {
                store.put_opts(&place, number.to_string().into(), PutMode::Create.into()).await
            }));
        }
        let answers = try_join_all(tasks).await.unwrap();
        let won: Vec<usize> =
            answers.iter().enumerate().filter(|(_, it)| it.is_ok()).map(|(n, _)| n).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        assert_eq!(text(&site.store, &place).await, won[0].to_string());
        for lost in answers.into_iter().filter_map(Result::err) {
            assert!(matches!(lost, Error::AlreadyExists { .. }), "{lost:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_write_leaves_the_old_bytes_and_their_tag() {
    for site in sites().await {
        let (store, place) = (&site.store, path("a"));
        let old = store.put(&place, "old".into()).await.unwrap();
        let stale = UpdateVersion { e_tag: Some("stale".to_owned()), version: None };
        for mode in [PutMode::Create, PutMode::Update(stale)] {
            store.put_opts(&place, "new".into(), mode.into()).await.unwrap_err();
            assert_eq!(text(store, &place).await, "old");
            assert_eq!(store.head(&place).await.unwrap().e_tag, old.e_tag);
        }
    }
}

#[tokio::test]
async fn what_was_written_is_there_for_the_next_handle() {
    for site in sites().await {
        let (place, tag) = (path("a/b"), site.store.put(&path("a/b"), "1".into()).await.unwrap().e_tag);
        let next = site.another().await;
        assert_eq!(next.head(&place).await.unwrap().e_tag, tag);
        let swap = PutMode::Update(UpdateVersion { e_tag: tag, version: None });
        next.put_opts(&place, "2".into(), swap.into()).await.unwrap();
        assert_eq!(text(&site.store, &place).await, "2");
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_before_anything_is_written() {
    for site in sites().await {
        let (store, place) = (&site.store, path("a"));
        let mut tags = TagSet::default();
        tags.push("team", "blue");
        let attributes = Attributes::from_iter([(Attribute::ContentType, "text/plain")]);
        for options in [PutOptions::from(tags), PutOptions::from(attributes)] {
            let refused = store.put_opts(&place, "1".into(), options).await.unwrap_err();
            assert!(matches!(refused, Error::NotImplemented { .. }), "{refused:?}");
        }
        let version = UpdateVersion { e_tag: Some("1".to_owned()), version: Some("7".to_owned()) };
        let refused = store.put_opts(&place, "1".into(), PutMode::Update(version).into()).await.unwrap_err();
        assert!(matches!(refused, Error::NotSupported { .. }), "{refused:?}");
        let nothing = UpdateVersion { e_tag: None, version: None };
        let refused = store.put_opts(&place, "1".into(), PutMode::Update(nothing).into()).await.unwrap_err();
        assert!(refused.to_string().contains("needs the e_tag"), "{refused:?}");
        assert!(keys(store).await.is_empty());

        store.put(&place, "1".into()).await.unwrap();
        let old = GetOptions::new().with_version(Some("7"));
        let refused = store.get_opts(&place, old).await.unwrap_err();
        assert!(matches!(refused, Error::NotSupported { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn ranges_of_one_reading_are_cut_where_they_were_asked_for() {
    for site in sites().await {
        let (store, place) = (&site.store, path("a"));
        store.put(&place, "0123456789".into()).await.unwrap();
        assert_eq!(store.get_ranges(&place, &[8..20, 0..1, 3..5]).await.unwrap(), ["89", "0", "34"]);
        store.get_ranges(&place, &[0..1, 10..11]).await.unwrap_err();
        let head = store.get_opts(&place, GetOptions::new().with_head(true)).await.unwrap();
        assert_eq!((head.meta.size, head.range.clone()), (10, 0..0));
        assert!(head.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn deletes_answer_in_the_order_of_their_paths_and_hand_errors_on() {
    for site in sites().await {
        let store = &site.store;
        let paths: Vec<_> = (0..50).map(|number| path(&format!("a/{number}"))).collect();
        for it in &paths {
            store.put(it, "1".into()).await.unwrap();
        }
        let given = paths.iter().cloned().map(Ok).chain([Err(Error::NotSupported { source: "x".into() })]);
        let given = futures::stream::iter(given.collect::<Vec<_>>());
        let answers: Vec<_> =
            futures::StreamExt::collect(store.delete_stream(futures::StreamExt::boxed(given))).await;
        let deleted: Vec<_> = answers.iter().filter_map(|it| it.as_ref().ok()).cloned().collect();
        assert_eq!(deleted, paths);
        assert!(matches!(answers.last(), Some(Err(Error::NotSupported { .. }))));
        assert!(listed(store, None).await.unwrap().is_empty());
    }
}
