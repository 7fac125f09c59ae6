//! A file that cannot be written costs its own key, and says so.

use std::{fs, os::unix::fs::symlink, path::Path, sync::Arc};

use crate::common::*;
use pflow_backend::{ErrorKind, ManualEnvironment, Operation, StorageBackend, Waiting};
use pflow_backend_fs::{FsBackend, FsOptions};

const LIMIT: u64 = 200_000;

async fn small(place: &Path) -> FsBackend {
    let options = FsOptions::new().follow(false).journal_limit(LIMIT);
    options.open(place, Arc::new(ManualEnvironment::new(1))).await.unwrap()
}

fn journal_bytes(place: &Path) -> u64 {
    fs::metadata(place.join(".journal/journal")).unwrap().len()
}

fn copy(name: &str, bytes: &str) -> Operation {
    put(name, bytes).copy()
}

/// The keys that wait.
fn keys(waiting: &[Waiting]) -> Vec<&str> {
    waiting.iter().map(|it| it.key.as_str()).collect()
}

/// What makes the file of `a/head` unwritable, and what its owner says about it.
type Obstacle = (&'static str, fn(&Path), fn(&Path), &'static str);

const OBSTACLES: [Obstacle; 5] = [
    (
        "a link",
        |file| symlink("/nowhere", file).unwrap(),
        |file| fs::remove_file(file).unwrap(),
        "symbolic link",
    ),
    ("a pipe", make_pipe, |file| fs::remove_file(file).unwrap(), "neither a regular file nor a folder"),
    (
        "a folder with something in it",
        |file| {
            fs::create_dir(file).unwrap();
            fs::write(file.join("theirs"), "x").unwrap();
        },
        |file| fs::remove_dir_all(file).unwrap(),
        "Directory not empty",
    ),
    (
        "a link in place of its folder",
        |file| {
            let folder = file.parent().unwrap();
            fs::remove_dir(folder).unwrap();
            symlink("/nowhere", folder).unwrap();
        },
        |file| fs::remove_file(file.parent().unwrap()).unwrap(),
        "symbolic link",
    ),
    (
        "a file in place of its folder",
        |file| {
            let folder = file.parent().unwrap();
            fs::remove_dir(folder).unwrap();
            fs::write(folder, "theirs").unwrap();
        },
        |file| fs::remove_file(file.parent().unwrap()).unwrap(),
        "neither a regular file nor a folder",
    ),
];

#[tokio::test]
async fn a_file_that_cannot_be_written_costs_its_key_alone() {
    for (what, block, unblock, reason) in OBSTACLES {
        for operation in [put("a/head", "2"), copy("a/head", "2")] {
            let place = tempfile::tempdir().unwrap();
            let file = place.path().join("a/head");
            let backend = small(place.path()).await;
            write_through(&backend, put("a/head", "1")).await;
            write(&backend, operation).await;
            fs::remove_file(&file).unwrap();
            block(&file);
            // Several times as much as the journal takes.
            for number in 0..200 {
                write(&backend, put(&format!("z/{}", number % 10), &"y".repeat(5_000))).await;
            }
            backend.close().await.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(place.path().join("z/9").is_file(), "{what}: the others are plain files");
            let waiting = backend.waiting().await.unwrap();
            assert_eq!(keys(&waiting), ["a/head"], "{what}");
            assert_eq!(waiting[0].path, file.display().to_string());
            assert!(waiting[0].reason.contains(reason), "{what}: {:?}", waiting[0]);
            assert!(waiting[0].remedy.is_some(), "{what}: {:?}", waiting[0]);
            let other = small(place.path()).await;
            assert_eq!(read(&other, "a/head").await.as_deref(), Some("2"), "{what}");
            assert_eq!(keys(&other.waiting().await.unwrap()), ["a/head"], "{what}");
            // Nothing is written for it over and over.
            let before = fs::metadata(place.path().join(".journal/journal")).unwrap().modified().unwrap();
            other.close().await.unwrap();
            let after = fs::metadata(place.path().join(".journal/journal")).unwrap().modified().unwrap();
            assert_eq!(before, after, "{what}");

            unblock(&file);
            write(&other, put("z/more", "x")).await;
            other.close().await.unwrap();
            assert_eq!(other.waiting().await.unwrap(), [], "{what}");
            assert_eq!(fs::read_to_string(&file).unwrap(), "2", "{what}");
            assert_eq!(journal_bytes(place.path()), 0, "{what}");
        }
    }
}

#[tokio::test]
async fn a_deletion_and_a_large_value_are_carried_like_any_other() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    let large = "x".repeat(300_000);
    write_through(&backend, put("a/gone", "1")).await;
    write(&backend, Operation::delete(key("a/gone"))).await;
    write(&backend, put("a/large", &large)).await;
    write(&backend, put("b/large", &large)).await;
    fs::rename(place.path().join("a"), place.path().join("aside")).unwrap();
    symlink("/nowhere", place.path().join("a")).unwrap();
    backend.close().await.unwrap();
    // A deletion whose file is gone is done; one behind a link cannot be.
    assert_eq!(keys(&backend.waiting().await.unwrap()), ["a/gone", "a/large"]);
    let other = manual(place.path()).await;
    assert_eq!(read(&other, "a/gone").await, None);
    assert_eq!(read(&other, "a/large").await.unwrap(), large);
    assert_eq!(
        unfinished(place.path()).len(),
        2,
        "the journal and one value: {:?}",
        unfinished(place.path())
    );

    fs::remove_file(place.path().join("a")).unwrap();
    fs::rename(place.path().join("aside"), place.path().join("a")).unwrap();
    write(&other, put("c", "x")).await;
    other.close().await.unwrap();
    assert_eq!(fs::read_to_string(place.path().join("a/large")).unwrap(), large);
    assert!(!place.path().join("a/gone").exists());
    assert_eq!(unfinished(place.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_key_that_waits_takes_the_room_of_one_value() {
    let place = tempfile::tempdir().unwrap();
    let backend = small(place.path()).await;
    write_through(&backend, copy("a", "the first")).await;
    fs::remove_file(place.path().join("a")).unwrap();
    symlink("/nowhere", place.path().join("a")).unwrap();
    fs::remove_file(place.path().join("a")).unwrap();
    write(&backend, copy("a", "the second")).await;
    symlink("/nowhere", place.path().join("a")).unwrap();
    for number in 0..100 {
        write(&backend, copy("a", &format!("{number} {}", "y".repeat(10_000)))).await;
        backend.close().await.unwrap();
        assert!(journal_bytes(place.path()) < LIMIT, "{number}: {}", journal_bytes(place.path()));
    }
    assert!(read(&backend, "a").await.unwrap().starts_with("99 "));
}

#[tokio::test]
async fn what_would_wait_is_refused_before_it_fills_the_journal() {
    let place = tempfile::tempdir().unwrap();
    let backend = small(place.path()).await;
    write_through(&backend, put("b/first", "1")).await;
    let large = "y".repeat(10_000);
    for number in 0..15 {
        write(&backend, put(&format!("a/{number}"), &large)).await;
    }
    symlink("/nowhere", place.path().join("a")).unwrap();
    backend.close().await.unwrap();
    assert_eq!(backend.waiting().await.unwrap().len(), 15);

    for handle in [&backend, &small(place.path()).await] {
        let error = handle.commit(one(put("a/0", "more"))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
        let way_out = format!("`rm {}`", place.path().join("a").display());
        assert!(error.to_string().contains("a/0 ("), "{error}");
        assert!(error.hint().unwrap().contains(&way_out), "{error:?}");
        // Another folder is not concerned.
        for number in 0..100 {
            write(handle, put("b/first", &format!("{number} {}", "z".repeat(5_000)))).await;
        }
        assert_eq!(read(handle, "a/0").await.unwrap(), large);
    }
    backend.close().await.unwrap();

    fs::remove_file(place.path().join("a")).unwrap();
    write(&backend, put("a/0", "at last")).await;
    backend.close().await.unwrap();
    assert_eq!(fs::read_to_string(place.path().join("a/0")).unwrap(), "at last");
    assert_eq!(fs::read_to_string(place.path().join("a/14")).unwrap(), large);
    assert_eq!(journal_bytes(place.path()), 0);
}

/// A link where a folder must be, so that nothing below it can be written.
fn block(place: &Path, folder: &str) {
    drop(fs::rename(place.join(folder), place.join(format!("{folder}.away"))));
    symlink("/nowhere", place.join(folder)).unwrap();
}

#[tokio::test]
async fn one_folder_after_the_other_that_waits_stops_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let backend = small(place.path()).await;
    for folder in ["a", "b", "c", "d", "e"] {
        for number in 0..15 {
            write(&backend, put(&format!("{folder}/{number}"), &"y".repeat(10_000))).await;
        }
        block(place.path(), folder);
        write(&backend, put("z/other", &format!("{folder} {}", "z".repeat(100_000)))).await;
        backend.close().await.unwrap();
        assert!(journal_bytes(place.path()) < 3 * LIMIT, "{}", journal_bytes(place.path()));
    }
    assert!(fs::read_to_string(place.path().join("z/other")).unwrap().starts_with("e "));
}

#[tokio::test]
async fn large_values_that_wait_are_refused_too() {
    let place = tempfile::tempdir().unwrap();
    let backend = small(place.path()).await;
    let large = "x".repeat(300_000);
    write(&backend, put("a/0", &large)).await;
    block(place.path(), "a");
    backend.close().await.unwrap();
    let error = backend.commit(one(put("a/1", &large))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
    write(&backend, put("b/large", &large)).await;
    backend.close().await.unwrap();
    assert_eq!(keys(&backend.waiting().await.unwrap()), ["a/0"]);
    assert_eq!(fs::read_to_string(place.path().join("b/large")).unwrap(), large);
}
