//! Writing and reading objects, and what conditions decide.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use crate::common::*;
use pflow_backend::{
    Batch, Bytes, ErrorKind, ManualEnvironment, Operation, Outcome, Position, StorageBackend, Version,
};
use pflow_backend_fs::FsBackend;

#[tokio::test]
async fn what_was_committed_is_read_through_every_handle_and_as_a_plain_file() {
    let place = tempfile::tempdir().unwrap();
    let (writer, reader) = (manual(place.path()).await, manual(place.path()).await);
    let large = Bytes::from((0..300_000_u32).map(|at| at as u8).collect::<Vec<_>>());
    let batch = Batch::new()
        .stage([Operation::put(key("runs/a/1"), large.clone()).absent().fresh(), put("empty", "")])
        .stage([put("head", "1").copy()]);
    let versions = committed(writer.commit(batch).await.unwrap());
    let position = |stage, operation| Position { stage, operation };
    assert_eq!(versions.get(position(0, 0)), Some(&Version::of_content(&large)));
    assert_eq!(versions.get(position(1, 0)), Some(&Version::of_content(b"1")));

    let object = reader.get(&key("runs/a/1")).await.unwrap().unwrap();
    assert_eq!((object.bytes, object.meta.size), (large.clone(), large.len() as u64));
    let meta = reader.stat(&key("runs/a/1")).await.unwrap().unwrap();
    assert_eq!(meta, object.meta);
    assert_eq!(meta.version, Version::of_content(&large));
    assert_eq!(read(&reader, "empty").await.unwrap(), "");
    writer.close().await.unwrap();
    assert_eq!(std::fs::read(place.path().join("runs/a/1")).unwrap(), large);
    assert_eq!(reader.get(&key("runs/a/1")).await.unwrap().unwrap().bytes, large);

    for absent in ["runs", "runs/a", "runs/a/2", "runs/a/1/x", "other/x"] {
        assert_eq!(reader.get(&key(absent)).await.unwrap(), None, "{absent}");
        assert_eq!(reader.stat(&key(absent)).await.unwrap(), None, "{absent}");
    }
    assert_eq!(unfinished(place.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_persons_edit_is_the_object_and_its_version() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    write_through(&backend, put("a", "ours")).await;
    let file = place.path().join("a");
    std::fs::write(&file, "edit").unwrap();
    let lost = backend.commit(one(put("a", "next").is(Version::of_content(b"ours")))).await.unwrap();
    assert_eq!(conflict(lost).current, Some(Version::of_content(b"edit")));
    write_through(&backend, put("a", "next").is(Version::of_content(b"edit"))).await;
    assert_eq!(std::fs::read(&file).unwrap(), b"next");
}

#[tokio::test]
async fn an_edit_of_a_copy_counts_before_its_file_has_followed_and_after() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a");
    let backend = manual(place.path()).await;
    write_through(&backend, put("a", "first").copy()).await;
    write(&backend, put("a", "second").copy()).await;
    // What was there before is no edit.
    assert_eq!(read(&backend, "a").await.unwrap(), "second");
    std::fs::write(&file, "edit").unwrap();
    assert_eq!(read(&backend, "a").await.unwrap(), "edit");
    let second = Version::of_content(b"second");
    let lost = backend.commit(one(put("a", "third").copy().is(second.clone()))).await.unwrap();
    assert_eq!(conflict(lost).current, Some(Version::of_content(b"edit")));
    let lost = backend.commit(one(Operation::delete(key("a")).is(second))).await.unwrap();
    assert_eq!(conflict(lost).current, Some(Version::of_content(b"edit")));
    // The files follow, and the edit stays.
    backend.close().await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"edit");
    assert_eq!(read(&backend, "a").await.unwrap(), "edit");
    // Whoever has seen it may replace it, and delete it.
    write(&backend, put("a", "third").copy().is(Version::of_content(b"edit"))).await;
    assert_eq!(read(&backend, "a").await.unwrap(), "third");
    write(&backend, Operation::delete(key("a")).is(Version::of_content(b"third"))).await;
    assert_eq!(read(&backend, "a").await, None);
    std::fs::write(&file, "another edit").unwrap();
    assert_eq!(read(&backend, "a").await.unwrap(), "another edit");
    assert_eq!(names(&backend, "", None).await, ["a"]);
    backend.close().await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"another edit");
}

#[tokio::test]
async fn a_conflict_in_the_last_stage_leaves_every_byte_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    write(&backend, put("a/head", "1")).await;
    write_through(&backend, put("gone", "soon")).await;
    let before = dump(place.path());
    let one = Version::of_content(b"1");
    let other = Version::of_content(b"2");
    for (last, current) in [
        (put("a/head", "x").is(other.clone()), Some(one.clone())),
        (put("a/head", "x").absent(), Some(one.clone())),
        (put("a/new", "x").is(one.clone()), None),
        (put("nowhere/new", "x").is(one.clone()), None),
        (Operation::delete(key("a/head")).is(other.clone()), Some(one.clone())),
        (Operation::delete(key("a/head")).absent(), Some(one.clone())),
        (Operation::delete(key("a")).is(one.clone()), None),
    ] {
        let batch = Batch::new()
            .stage([put("new/folder/x", "x"), Operation::delete(key("gone"))])
            .stage([put("other", "y"), last]);
        let lost = conflict(backend.commit(batch).await.unwrap());
        assert_eq!(lost.at, Position { stage: 1, operation: 1 });
        assert_eq!((lost.current, lost.applied), (current, 0));
        backend.close().await.unwrap();
        assert_eq!(dump(place.path()), before);
    }
}

#[tokio::test]
async fn deletes_leave_empty_folders_that_are_no_objects_and_in_nobodys_way() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    write_through(&backend, put("a/b/c", "1")).await;
    write_through(&backend, Operation::delete(key("a/b/c")).is(Version::of_content(b"1"))).await;
    write(&backend, Operation::delete(key("a/b/c"))).await;
    write(&backend, Operation::delete(key("a/b"))).await;
    write(&backend, Operation::delete(key("never/was"))).await;
    assert!(place.path().join("a/b").is_dir());
    assert_eq!(names(&backend, "", None).await, Vec::<String>::new());
    std::fs::create_dir(place.path().join("a/second")).unwrap();
    write(&backend, put("a", "now an object").absent()).await;
    assert_eq!(read(&backend, "a").await.unwrap(), "now an object");
}

#[tokio::test]
async fn an_object_and_a_folder_of_objects_cannot_share_a_name() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    write(&backend, put("a/b/c", "1")).await;
    write_through(&backend, put("file", "1")).await;
    let before = dump(place.path());
    for (name, words) in
        [("a", "a cannot exist beside a/b/c"), ("file/x/y", "file/x/y cannot exist beside file")]
    {
        let batch = Batch::new().stage([put("first", "1")]).stage([put(name, "2")]);
        let error = backend.commit(batch).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.outcome()),
            (ErrorKind::InvalidInput, Outcome::NotApplied { applied: 0 })
        );
        assert!(error.to_string().contains(words), "{error}");
        backend.close().await.unwrap();
        assert_eq!(dump(place.path()), before);
    }
}

#[tokio::test]
async fn a_replaced_object_keeps_its_permissions() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    write_through(&backend, put("secret", "1")).await;
    let file = place.path().join("secret");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    write_through(&backend, put("secret", "2")).await;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn files_that_a_crash_left_staged_are_swept() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    std::fs::create_dir_all(place.path().join(".journal/staging/a-folder")).unwrap();
    std::fs::write(place.path().join(".journal/staging/01-0"), "half").unwrap();
    std::os::unix::fs::symlink("/", place.path().join(".journal/staging/01-1")).unwrap();
    write_through(&backend, put("a", "1")).await;
    let left: Vec<_> = std::fs::read_dir(place.path().join(".journal/staging"))
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert_eq!(left, ["a-folder"]);
}

#[tokio::test]
async fn creating_makes_the_folders_above_and_opening_makes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("x/y/z");
    let environment = || Arc::new(ManualEnvironment::new(1));
    let error = FsBackend::open(&path, environment()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    let backend = FsBackend::create(&path, environment()).await.unwrap();
    assert_eq!(backend.root(), path);
    write(&backend, put("a", "1")).await;
    let again = FsBackend::create(&path, environment()).await.unwrap();
    assert_eq!(read(&again, "a").await.unwrap(), "1");
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(FsBackend::open(&file, environment()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(FsBackend::open(Path::new(""), environment()).await.is_err());
}

#[tokio::test]
async fn an_empty_batch_touches_nothing_and_a_handle_closes_twice() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    committed(backend.commit(Batch::new()).await.unwrap());
    committed(backend.commit(Batch::new().stage([])).await.unwrap());
    assert!(!place.path().join(".journal").exists());
    write(&backend, put("a", "1")).await;
    backend.close().await.unwrap();
    backend.close().await.unwrap();
    assert_eq!(read(&backend, "a").await.unwrap(), "1");
}

#[tokio::test]
async fn a_folder_that_nobody_may_write_to_is_read() {
    read_only("a_folder_that_nobody_may_write_to_is_read", true).await;
}

#[tokio::test]
async fn what_a_process_left_in_the_journal_is_read_on_a_read_only_medium_too() {
    read_only("what_a_process_left_in_the_journal_is_read_on_a_read_only_medium_too", false).await;
}

async fn read_only(test: &str, at_rest: bool) {
    let Some(disk) = SmallDisk::mount(test, "1m") else { return };
    let early = manual(disk.path()).await;
    write(&early, put("a/b", "0")).await;
    if at_rest {
        early.close().await.unwrap();
    }
    write(&early, put("a/b", "1")).await;
    if at_rest {
        early.close().await.unwrap();
    }
    drop(early);
    disk.make_read_only();
    let backend = manual(disk.path()).await;
    assert_eq!(read(&backend, "a/b").await.unwrap(), "1");
    assert_eq!(names(&backend, "", None).await, ["a/b"]);
    let error = backend.commit(one(put("a/b", "2"))).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Denied, Outcome::NotApplied { applied: 0 }));
}

#[tokio::test]
async fn permissions_that_forbid_writing_allow_reading() {
    if rustix::process::geteuid().is_root() {
        eprintln!("permissions_that_forbid_writing_allow_reading: skipped, permissions do not bind root");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("a"), "1").unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let backend = manual(place.path()).await;
    assert_eq!(read(&backend, "a").await.unwrap(), "1");
    assert_eq!(backend.commit(one(put("a", "2"))).await.unwrap_err().kind(), ErrorKind::Denied);
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_full_disk_fails_the_batch_before_anything_changes() {
    let Some(disk) = SmallDisk::mount("a_full_disk_fails_the_batch_before_anything_changes", "256k") else {
        return;
    };
    let backend = manual(disk.path()).await;
    write_through(&backend, put("a", "1")).await;
    let before = dump(disk.path());
    let large = Operation::put(key("b/large"), vec![7; 400_000]);
    let batch = Batch::new().stage([put("a", "2"), put("b/small", "1")]).stage([large]);
    let error = backend.commit(batch).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Exhausted, Outcome::NotApplied { applied: 0 }));
    backend.close().await.unwrap();
    assert_eq!(dump(disk.path()), before);
    assert_eq!(unfinished(disk.path()), Vec::<String>::new());
    write(&backend, put("a", "2")).await;
}

#[tokio::test]
async fn on_a_disk_that_fills_up_everything_acknowledged_stays_and_work_goes_on_when_there_is_room() {
    let name = "on_a_disk_that_fills_up_everything_acknowledged_stays_and_work_goes_on_when_there_is_room";
    let Some(disk) = SmallDisk::mount(name, "1m") else { return };
    let backend = manual(disk.path()).await;
    let body = |number: usize| format!("{number}{}", "x".repeat(10_000));
    let mut saved = 0;
    let error = loop {
        match backend.commit(one(put(&format!("objects/{saved}"), &body(saved)))).await {
            Ok(commit) => drop(committed(commit)),
            Err(error) => break error,
        }
        saved += 1;
    };
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Exhausted, Outcome::NotApplied { applied: 0 }));
    assert!(error.to_string().contains(disk.path().to_str().unwrap()), "{error}");
    assert!(saved > 20, "{saved}");
    // The files cannot follow, and say so; nothing is lost.
    let error = backend.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    drop(backend);
    let again = manual(disk.path()).await;
    for number in 0..saved {
        assert_eq!(read(&again, &format!("objects/{number}")).await.unwrap(), body(number), "{number}");
    }
    assert_eq!(names(&again, "", None).await.len(), saved);

    disk.resize("8m");
    write_through(&again, put("more", "1")).await;
    assert_eq!(unfinished(disk.path()), Vec::<String>::new());
    for number in 0..saved {
        assert_eq!(
            std::fs::read_to_string(disk.path().join(format!("objects/{number}"))).unwrap(),
            body(number)
        );
    }
}

async fn range(backend: &FsBackend, range: std::ops::Range<u64>) -> (String, u64, Option<Version>) {
    let found = backend.get_range(&key("a"), range).await.unwrap().unwrap();
    (String::from_utf8(found.bytes.to_vec()).unwrap(), found.size, found.version)
}

#[tokio::test]
async fn a_range_is_of_what_counts_as_the_object() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a");
    let backend = manual(place.path()).await;
    write(&backend, put("a", "the first").copy()).await;
    let version = |bytes: &str| Some(Version::of_content(bytes.as_bytes()));
    assert_eq!(range(&backend, 4..99).await, ("first".to_owned(), 9, version("the first")));
    backend.close().await.unwrap();
    // A file would have to be hashed for its version.
    assert_eq!(range(&backend, 4..6).await, ("fi".to_owned(), 9, None));
    write(&backend, put("a", "the second").copy()).await;
    assert_eq!(range(&backend, 4..99).await, ("second".to_owned(), 10, version("the second")));
    std::fs::write(&file, "an edit").unwrap();
    assert_eq!(range(&backend, 3..99).await, ("edit".to_owned(), 7, version("an edit")));
    write(&backend, Operation::delete(key("a"))).await;
    assert_eq!(backend.get_range(&key("a"), 0..1).await.unwrap(), None);
}

#[tokio::test]
async fn a_range_of_a_file_too_large_for_an_object_is_refused_as_the_whole_is() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    let file = std::fs::File::create(place.path().join("a")).unwrap();
    if file.set_len((1 << 30) + 1).is_err() {
        println!("skipped: this file system has no sparse files");
        return;
    }
    let whole = backend.get(&key("a")).await.unwrap_err();
    let part = backend.get_range(&key("a"), 0..1).await.unwrap_err();
    assert_eq!((part.kind(), part.to_string()), (ErrorKind::InvalidInput, whole.to_string()));
}

#[tokio::test]
async fn an_immutable_object_is_compared_with_the_file() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a");
    let backend = manual(place.path()).await;
    let chunk = || put("a", "the chunk").immutable();
    write_through(&backend, chunk()).await;
    std::fs::write(&file, "damaged").unwrap();
    let other = conflict(backend.commit(one(chunk())).await.unwrap());
    assert_eq!(other.current, Some(Version::of_content(b"damaged")));
    assert_eq!(std::fs::read(&file).unwrap(), b"damaged", "the caller decides");
    // A file of another program counts, and stays the file that it is.
    std::fs::write(&file, "the chunk").unwrap();
    let before = std::fs::metadata(&file).unwrap();
    let versions = committed(backend.commit(one(chunk())).await.unwrap());
    backend.close().await.unwrap();
    let position = Position { stage: 0, operation: 0 };
    assert_eq!(versions.get(position), Some(&Version::of_content(b"the chunk")));
    let after = std::fs::metadata(&file).unwrap();
    assert_eq!((after.ino(), after.modified().unwrap()), (before.ino(), before.modified().unwrap()));
}
