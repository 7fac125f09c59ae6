//! Names, and the order of listings.

use std::sync::atomic::Ordering;

use futures::TryStreamExt;
use object_store::{Error, ObjectStore, ObjectStoreExt, path::Path};
use pflow_backend::{Batch, Commit, Key, Operation};

use super::{
    keys, listed, memory, over, path,
    scripted::{Meddling, Plan},
    sites, text,
};

const ODD: [&str; 22] = [
    ".journal",
    ".journal/lock",
    "A",
    "CON",
    "Year=2024/part-0.gz",
    "a",
    "a b",
    "a%2Fb",
    "a,b",
    "a-",
    "a-b",
    "a.",
    "a.b",
    "a/b",
    "a/b/c",
    "a0",
    "a_",
    "objects",
    "z",
    "zz/é",
    "{}~`\\^",
    "日本/🙀 [1].txt",
];

#[tokio::test]
async fn odd_names_keep_their_bytes_and_are_listed_as_they_were_written() {
    for site in sites().await {
        let store = &site.store;
        for name in ODD {
            store.put(&path(name), name.into()).await.unwrap();
        }
        for name in ODD {
            assert_eq!(text(store, &path(name)).await, name);
        }
        let mut expected = ODD.map(str::to_owned);
        expected.sort_unstable();
        assert_eq!(listed(store, None).await.unwrap(), expected);
        for name in ODD {
            store.delete(&path(name)).await.unwrap();
        }
        assert!(keys(store).await.is_empty());
    }
}

#[tokio::test]
async fn an_object_and_a_folder_may_have_one_name() {
    for site in sites().await {
        let store = &site.store;
        for name in ["a/b", "a", "a/b/c"] {
            store.put(&path(name), name.into()).await.unwrap();
        }
        assert_eq!(listed(store, None).await.unwrap(), ["a", "a/b", "a/b/c"]);
        assert_eq!(listed(store, Some(&path("a"))).await.unwrap(), ["a/b", "a/b/c"]);
        let level = store.list_with_delimiter(None).await.unwrap();
        assert_eq!(level.common_prefixes, [path("a")]);
        assert_eq!(level.objects.iter().map(|it| it.location.as_ref()).collect::<Vec<_>>(), ["a"]);
        store.delete(&path("a")).await.unwrap();
        assert_eq!(listed(store, None).await.unwrap(), ["a/b", "a/b/c"]);
        assert_eq!(text(store, &path("a/b/c")).await, "a/b/c");
    }
}

#[tokio::test]
async fn a_listing_starts_behind_any_path_whether_it_is_there_or_not() {
    for site in sites().await {
        let store = &site.store;
        for name in ODD {
            store.put(&path(name), name.into()).await.unwrap();
        }
        let long = "m".repeat(600);
        let offsets = ODD.into_iter().chain(["", "a/", "a!", "B", "a/b/d", "zzz", long.as_str()]);
        for offset in offsets.map(path) {
            for prefix in [None, Some(path("a")), Some(path(".journal"))] {
                let found = store.list_with_offset(prefix.as_ref(), &offset);
                let found: Vec<Path> = found.map_ok(|it| it.location).try_collect().await.unwrap();
                let mut expected: Vec<Path> = ODD.into_iter().map(path).filter(|it| *it > offset).collect();
                expected.retain(|it| {
                    prefix.as_ref().is_none_or(|prefix| it.as_ref().starts_with(&format!("{prefix}/")))
                });
                expected.sort_unstable();
                assert_eq!(found, expected, "{prefix:?} {offset:?}");
            }
        }
    }
}

#[tokio::test]
async fn one_level_of_a_large_tree_leaps_over_its_folders() {
    let objects = memory();
    for number in 0..3_000 {
        objects.put(&path(&format!("top/big/{number}/x")), "1".into()).await.unwrap();
    }
    for name in ["top/a", "top/big", "top/big!", "top/big0", "top/c/1", "top/c/2", "top/big/zz", "other"] {
        objects.put(&path(name), "1".into()).await.unwrap();
    }
    let plan = Plan::default();
    let asked = plan.asked.clone();
    let store = over(Meddling::new(&objects, plan, || Box::pin(async {})));
    let level = store.list_with_delimiter(Some(&path("top"))).await.unwrap();
    assert_eq!(level.common_prefixes, [path("top/big"), path("top/c")]);
    let found: Vec<_> = level.objects.iter().map(|it| it.location.as_ref()).collect();
    assert_eq!(found, ["top/a", "top/big", "top/big!", "top/big0"]);
    // 1,001 of `top/big`, and the other six.
    assert_eq!(asked.load(Ordering::SeqCst), 1_007);
}

#[tokio::test]
async fn an_offset_is_where_a_listing_starts() {
    let objects = memory();
    for number in 100..400 {
        objects.put(&path(&format!("log/{number}")), "1".into()).await.unwrap();
    }
    let plan = Plan::default();
    let asked = plan.asked.clone();
    let store = over(Meddling::new(&objects, plan, || Box::pin(async {})));
    let behind: Vec<_> =
        store.list_with_offset(Some(&path("log")), &path("log/396")).try_collect().await.unwrap();
    assert_eq!((behind.len(), asked.load(Ordering::SeqCst)), (3, 3));
}

#[tokio::test]
async fn too_long_a_name_is_refused_with_the_reason_and_holds_nothing() {
    for site in sites().await {
        let (store, here) = (&site.store, path("here"));
        store.put(&here, "1".into()).await.unwrap();
        for (long, reason) in [("x".repeat(255), "255 bytes"), (["É"; 90].join("/"), "512 bytes")] {
            let long = path(&long);
            let refused = [
                store.put(&long, "1".into()).await.map(drop).unwrap_err(),
                store.put_multipart(&long).await.map(drop).unwrap_err(),
                store.copy(&here, &long).await.unwrap_err(),
                store.rename(&here, &long).await.unwrap_err(),
            ];
            for refused in refused {
                assert!(matches!(refused, Error::Generic { .. }), "{refused:?}");
                assert!(refused.to_string().contains(reason), "{refused}");
            }
            let missing = store.get(&long).await.unwrap_err();
            assert!(matches!(missing, Error::NotFound { .. }), "{missing:?}");
            assert!(matches!(store.head(&long).await, Err(Error::NotFound { .. })));
            store.delete(&long).await.unwrap();
            assert!(listed(store, Some(&long)).await.unwrap().is_empty());
            assert_eq!(listed(store, None).await.unwrap(), ["here"]);
        }
        let refused = store.put(&Path::ROOT, "1".into()).await.unwrap_err();
        assert!(refused.to_string().contains("empty"), "{refused}");
    }
}

#[tokio::test]
async fn names_of_others_are_passed_over() {
    for site in sites().await {
        let store = &site.store;
        store.put(&path("a/b"), "1".into()).await.unwrap();
        let foreign = ["objects/a/README", "objects/.DS_Store", "objects/zz-", "elsewhere/a-", "a-"];
        let puts = foreign.map(|name| Operation::put(Key::parse(name).unwrap(), "?"));
        let commit = store.backend().commit(Batch::new().stage(puts)).await.unwrap();
        assert!(matches!(commit, Commit::Committed(_)));
        assert_eq!(listed(store, None).await.unwrap(), ["a/b"]);
        let level = store.list_with_delimiter(Some(&path("a"))).await.unwrap();
        assert_eq!((level.objects.len(), level.common_prefixes.len()), (1, 0));
    }
}
