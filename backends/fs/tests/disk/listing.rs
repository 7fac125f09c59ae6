//! Listings: their order, their pages, and where they begin.

use crate::common::*;
use futures::{StreamExt, TryStreamExt};
use pflow_backend::{Batch, Operation, Prefix, StorageBackend};

#[tokio::test]
async fn keys_come_in_the_order_of_their_bytes_across_folders() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    let mut keys = vec!["a-b", "a.b", "a/x", "a/b-c/d", "a/b/c", "a0", "A", "ab/c", "_", "a/b.c", "z", "0"];
    let all = Batch::new().stage(keys.iter().map(|name| put(name, name)));
    committed(backend.commit(all).await.unwrap());
    keys.sort_unstable();
    assert_eq!(names(&backend, "", None).await, keys);

    // Behind every key, and behind names that are no objects, the rest follows.
    for after in keys
        .iter()
        .copied()
        .chain(["a", "a/b", "a/b/c/d", "a/", "zz", "-"].map(|it| it.trim_end_matches('/')))
    {
        let rest: Vec<_> = keys.iter().filter(|name| **name > after).copied().collect();
        assert_eq!(names(&backend, "", Some(after)).await, rest, "after {after}");
        let below: Vec<_> = rest.iter().filter(|name| name.starts_with("a/")).copied().collect();
        assert_eq!(names(&backend, "a", Some(after)).await, below, "below a, after {after}");
    }
    assert_eq!(names(&backend, "a/b", None).await, ["a/b/c"]);
    for nothing in ["z", "none", "none/at/all", "a/x"] {
        assert_eq!(names(&backend, nothing, None).await, Vec::<String>::new(), "{nothing}");
    }
}

#[tokio::test]
async fn a_listing_tells_size_and_time_of_each_object() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    write(&backend, put("a/b", "12345")).await;
    let listed: Vec<_> = backend.list(&Prefix::root(), None).try_collect().await.unwrap();
    let meta = backend.stat(&key("a/b")).await.unwrap().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].size, listed[0].modified), (5, meta.modified));
}

/// Written past the backend: it is about reading, and 2,500 syncs are slow.
fn fill(place: &std::path::Path) -> Vec<String> {
    let mut keys = Vec::new();
    for at in 0..2_500 {
        let name = match at % 3 {
            0 => format!("one/{at:05}"),
            1 => format!("two/{:02}/{at:05}", at % 40),
            _ => format!("{at:05}"),
        };
        let path = place.join(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
        keys.push(name);
    }
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn a_listing_of_many_pages_is_complete_and_goes_on_anywhere() {
    let place = tempfile::tempdir().unwrap();
    let keys = fill(place.path());
    let backend = manual(place.path()).await;
    assert_eq!(names(&backend, "", None).await, keys);
    for at in [0, 1, 833, 999, 1_000, 1_001, 2_000, 2_498, 2_499] {
        assert_eq!(names(&backend, "", Some(&keys[at])).await, keys[at + 1..], "after {at}");
    }
    let two: Vec<_> = keys.iter().filter(|name| name.starts_with("two/")).cloned().collect();
    assert_eq!(names(&backend, "two", None).await, two);
}

#[tokio::test]
async fn what_goes_during_a_listing_is_skipped_and_what_stays_is_listed_once() {
    let place = tempfile::tempdir().unwrap();
    let keys = fill(place.path());
    let backend = manual(place.path()).await;
    let mut listing = backend.list(&Prefix::root(), None);
    let mut seen = Vec::new();
    for _ in 0..10 {
        seen.push(listing.next().await.unwrap().unwrap().key.as_str().to_owned());
    }
    // A folder that the walk has not come to yet, one that it is in, and an object rewritten meanwhile.
    std::fs::remove_dir_all(place.path().join("two")).unwrap();
    let last = keys.iter().rfind(|name| name.starts_with("one/")).unwrap();
    write(&backend, Operation::delete(key(last))).await;
    write(&backend, put(&keys[1_200], "rewritten")).await;
    while let Some(listed) = listing.next().await {
        seen.push(listed.unwrap().key.as_str().to_owned());
    }
    let stays: Vec<_> =
        keys.iter().filter(|name| !name.starts_with("two/") && *name != last).cloned().collect();
    seen.retain(|name| name != last);
    assert_eq!(seen, stays);
}

#[tokio::test]
async fn an_object_that_is_rewritten_all_the_time_is_in_every_listing_once() {
    let place = tempfile::tempdir().unwrap();
    let keys = fill(place.path());
    let (reader, writer) = (manual(place.path()).await, manual(place.path()).await);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let rewriting = async {
        let mut count = 0;
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            write(&writer, put("one/00000", &count.to_string())).await;
            count += 1;
        }
        count
    };
    let reading = async {
        for _ in 0..10 {
            assert_eq!(names(&reader, "", None).await, keys);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (count, ()) = futures::join!(rewriting, reading);
    assert!(count > 0);
}

#[tokio::test]
async fn a_listing_of_a_folder_that_was_moved_away_says_so() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    std::fs::create_dir(&path).unwrap();
    let backend = manual(&path).await;
    write(&backend, put("a", "1")).await;
    std::fs::rename(&path, place.path().join("moved")).unwrap();
    let mut listing = backend.list(&Prefix::root(), None);
    assert_eq!(listing.next().await.unwrap().unwrap_err().kind(), pflow_backend::ErrorKind::Missing);
    assert!(listing.next().await.is_none());
}
