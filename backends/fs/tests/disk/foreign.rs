//! What other programs and people put into the folder: links, special files, odd names, a newer journal.

use std::{
    ffi::OsStr,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    sync::Arc,
};

use crate::common::*;
use pflow_backend::{Commit, ErrorKind, ManualEnvironment, Operation, Outcome, StorageBackend, Version};
use pflow_backend_fs::{FsBackend, FsOptions};

#[tokio::test]
async fn links_are_never_followed_and_their_targets_stay_as_they_are() {
    let place = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir(outside.path().join("folder")).unwrap();
    std::fs::write(outside.path().join("folder/file"), "theirs").unwrap();
    symlink(outside.path().join("folder/file"), place.path().join("file")).unwrap();
    symlink(outside.path().join("folder"), place.path().join("folder")).unwrap();
    symlink(outside.path().join("nothing"), place.path().join("dangling")).unwrap();
    let backend = manual(place.path()).await;
    let before = (dump(place.path()), dump(outside.path()));
    let theirs = Version::of_content(b"theirs");

    for name in ["file", "folder", "folder/file", "folder/new", "folder/x/y", "dangling", "dangling/x"] {
        let refused = |error: pflow_backend::Error| {
            assert_eq!(error.kind(), ErrorKind::Unsafe, "{name}: {error}");
            assert_eq!(error.outcome(), Outcome::NotApplied { applied: 0 });
            let link = place.path().join(name.split('/').next().unwrap());
            let words = format!(
                "{} is a symbolic link; links inside the store are never followed: put the file that it leads to in its place",
                link.display()
            );
            assert_eq!(error.to_string(), words);
        };
        refused(backend.get(&key(name)).await.unwrap_err());
        refused(backend.stat(&key(name)).await.unwrap_err());
        for operation in [
            put(name, "ours"),
            put(name, "ours").absent(),
            put(name, "ours").is(theirs.clone()),
            Operation::delete(key(name)),
            Operation::delete(key(name)).is(theirs.clone()),
        ] {
            refused(backend.commit(one(operation)).await.unwrap_err());
        }
    }
    assert_eq!(names(&backend, "", None).await, Vec::<String>::new());
    assert_eq!(names(&backend, "folder", None).await, Vec::<String>::new());
    assert_eq!((dump(place.path()), dump(outside.path())), before);
}

/// As `cp -al` makes it.
fn link_all(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { link_all(&from, &to) } else { std::fs::hard_link(from, to).unwrap() }
    }
}

#[tokio::test]
async fn a_snapshot_of_hard_links_and_its_folder_do_not_touch_each_other() {
    for at_rest in [true, false] {
        let place = tempfile::tempdir().unwrap();
        let (live, copy) = (place.path().join("live"), place.path().join("copy"));
        let open = async |path: &std::path::Path| {
            let options = FsOptions::new().follow(false);
            options.create(path, Arc::new(ManualEnvironment::new(1))).await.unwrap()
        };
        let backend = open(&live).await;
        write(&backend, put("a", "1")).await;
        if at_rest {
            backend.close().await.unwrap();
        }
        link_all(&live, &copy);
        // Both go on, and each overwrites what the other has.
        write(&backend, put("a", "live")).await;
        let snapshot = open(&copy).await;
        assert_eq!(read(&snapshot, "a").await.unwrap(), "1", "at rest: {at_rest}");
        write(&snapshot, put("a", "copy")).await;
        snapshot.close().await.unwrap();
        assert_eq!(read(&backend, "a").await.unwrap(), "live");
        let other = open(&live).await;
        assert_eq!(read(&other, "a").await.unwrap(), "live");
        backend.close().await.unwrap();
        assert_eq!(std::fs::read(live.join("a")).unwrap(), b"live");
        assert_eq!(std::fs::read(copy.join("a")).unwrap(), b"copy");
    }
}

#[tokio::test]
async fn a_file_that_may_not_be_written_to_is_replaced() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    write_through(&backend, put("a", "1")).await;
    std::fs::set_permissions(place.path().join("a"), std::fs::Permissions::from_mode(0o444)).unwrap();
    write_through(&backend, put("a", "2")).await;
    assert_eq!(std::fs::read(place.path().join("a")).unwrap(), b"2");
    let mode = std::fs::metadata(place.path().join("a")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
}

#[tokio::test]
async fn an_edit_that_a_killed_process_had_moved_out_is_kept() {
    let place = tempfile::tempdir().unwrap();
    let options = FsOptions::new().follow(false);
    let backend = options.create(place.path(), Arc::new(ManualEnvironment::new(1))).await.unwrap();
    for value in ["first value", "second value"] {
        assert!(matches!(backend.commit(one(put("a", value).copy())).await, Ok(Commit::Committed(_))));
    }
    // Killed between the exchange and the look at what came out: a value of ours, a part of one that was
    // being staged, and a person's words.
    let staging = place.path().join(".journal/staging");
    std::fs::create_dir_all(&staging).unwrap();
    for (name, bytes) in [("x-1", "first value"), ("x-2", "second"), ("x-3", "a person's words")] {
        std::fs::write(staging.join(name), bytes).unwrap();
    }
    backend.close().await.unwrap();
    let kept = dump(&place.path().join(".journal/quarantine"));
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(std::fs::read(place.path().join(".journal/quarantine/x-3")).unwrap(), b"a person's words");
    assert!(!staging.exists());
    assert_eq!(std::fs::read(place.path().join("a")).unwrap(), b"second value");
}

#[tokio::test]
async fn the_folder_itself_may_be_reached_through_a_link() {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("real")).unwrap();
    symlink("real", place.path().join("link")).unwrap();
    let backend = manual(&place.path().join("link")).await;
    write_through(&backend, put("a", "1")).await;
    assert_eq!(std::fs::read(place.path().join("real/a")).unwrap(), b"1");
}

#[tokio::test]
async fn links_in_place_of_our_own_folder_are_refused() {
    for link in [".journal", ".journal/staging", ".journal/values", ".journal/lock", ".journal/journal"] {
        let place = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("file"), "theirs").unwrap();
        let backend = manual(place.path()).await;
        write_through(&backend, put("a", "0")).await;
        let target = match link {
            ".journal/lock" | ".journal/journal" => outside.path().join("file"),
            _ => outside.path().to_owned(),
        };
        let path = place.path().join(link);
        if path.is_dir() {
            std::fs::rename(&path, place.path().join("aside")).unwrap();
        } else if path.exists() {
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        let before = dump(outside.path());
        // Large and a copy, so that it is kept and staged.
        let large = Operation::put(key("a"), vec![7; 300_000]).copy();
        let error = match backend.commit(one(large)).await {
            Err(error) => error,
            Ok(_) => backend.close().await.unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::Unsafe, "{link}: {error}");
        assert!(error.to_string().contains("symbolic link"), "{error}");
        assert_eq!(dump(outside.path()), before);
        assert_eq!(std::fs::read(place.path().join("a")).unwrap(), b"0");
    }
}

#[tokio::test]
async fn pipes_and_sockets_are_refused_without_waiting_for_them() {
    let place = tempfile::tempdir().unwrap();
    make_pipe(&place.path().join("pipe"));
    let _socket = UnixListener::bind(place.path().join("socket")).unwrap();
    let backend = manual(place.path()).await;
    let before = dump(place.path());
    for name in ["pipe", "socket"] {
        assert_eq!(backend.get(&key(name)).await.unwrap_err().kind(), ErrorKind::Unsafe);
        assert_eq!(backend.stat(&key(name)).await.unwrap_err().kind(), ErrorKind::Unsafe);
        for operation in [put(name, "x"), put(name, "x").absent(), Operation::delete(key(name))] {
            let error = backend.commit(one(operation)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsafe);
            assert!(error.to_string().contains(place.path().join(name).to_str().unwrap()), "{error}");
        }
        let below = format!("{name}/x");
        assert_eq!(backend.get(&key(&below)).await.unwrap(), None);
        assert_eq!(backend.commit(one(put(&below, "x"))).await.unwrap_err().kind(), ErrorKind::Unsafe);
        write(&backend, Operation::delete(key(&below))).await;
    }
    assert_eq!(names(&backend, "", None).await, Vec::<String>::new());
    assert_eq!(dump(place.path()), before);
}

#[tokio::test]
async fn names_that_are_no_keys_are_passed_over_and_stay() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    write_through(&backend, put("a/ok", "1")).await;
    std::fs::write(place.path().join("a/with space"), "x").unwrap();
    std::fs::write(place.path().join("a/é"), "x").unwrap();
    std::fs::write(place.path().join("top.txt~"), "x").unwrap();
    std::fs::create_dir(place.path().join("odd folder")).unwrap();
    std::fs::write(place.path().join("odd folder/fine"), "x").unwrap();
    if cfg!(target_os = "linux") {
        std::fs::write(place.path().join(OsStr::from_bytes(b"not\xfftext")), "x").unwrap();
    }
    let before = dump(place.path());
    assert_eq!(names(&backend, "", None).await, ["a/ok"]);
    assert_eq!(dump(place.path()), before);
    // They are somebody's all the same: their folder does not give way to an object.
    write(&backend, Operation::delete(key("a/ok"))).await;
    let error = backend.commit(one(put("a", "object"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

#[tokio::test]
async fn another_file_system_inside_the_folder_is_read_but_not_written_to() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    write(&backend, put("first", "1")).await;
    let mount = place.path().join("mount");
    std::fs::create_dir(&mount).unwrap();
    let test = "another_file_system_inside_the_folder_is_read_but_not_written_to";
    let Some(_disk) = SmallDisk::mount_at(test, "1m", &mount) else { return };
    std::fs::write(mount.join("a"), "theirs").unwrap();
    for name in ["mount/a", "mount/new", "mount/new/deeper"] {
        let batch = pflow_backend::Batch::new().stage([put("first", "2")]).stage([put(name, "ours")]);
        let error = backend.commit(batch).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unsafe, Outcome::NotApplied { applied: 0 }));
        assert!(error.to_string().contains("another file system"), "{error}");
    }
    assert_eq!(read(&backend, "first").await.unwrap(), "1");
    assert_eq!(read(&backend, "mount/a").await.unwrap(), "theirs");
    assert_eq!(names(&backend, "", None).await, ["first", "mount/a"]);
}

/// A folder or file that is mounted at another place too, until this is dropped.
struct Bound(std::path::PathBuf);

impl Bound {
    fn mount(what: &std::path::Path, at: &std::path::Path) -> Option<Self> {
        let mounted = std::process::Command::new("mount").arg("--bind").args([what, at]).output();
        mounted.is_ok_and(|it| it.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[tokio::test]
async fn a_bind_mount_inside_the_folder_is_not_written_to() {
    let (place, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let backend = manual(place.path()).await;
    write_through(&backend, put("first", "1")).await;
    write_through(&backend, put("file", "ours")).await;
    let mount = place.path().join("mount");
    std::fs::create_dir(&mount).unwrap();
    std::fs::write(outside.path().join("a"), "theirs").unwrap();
    let bound = Bound::mount(outside.path(), &mount);
    let file = Bound::mount(&outside.path().join("a"), &place.path().join("file"));
    let (Some(_bound), Some(_file)) = (bound, file) else {
        println!("skipped: this process may not mount anything");
        return;
    };
    for name in ["mount/a", "mount/new", "mount/new/deeper", "file"] {
        let batch = pflow_backend::Batch::new().stage([put("first", "2")]).stage([put(name, "ours")]);
        let error = backend.commit(batch).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unsafe, Outcome::NotApplied { applied: 0 }));
        assert!(error.to_string().contains("another file system or mount"), "{error}");
    }
    assert_eq!(read(&backend, "first").await.unwrap(), "1");
    assert_eq!(read(&backend, "mount/a").await.unwrap(), "theirs");
}

#[tokio::test]
async fn our_own_folder_is_listed_under_no_spelling() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    write(&backend, put("a/.journal/x", "an object like any other")).await;
    std::fs::create_dir(place.path().join(".JOURNAL")).unwrap();
    std::fs::write(place.path().join(".JOURNAL/lock"), "x").unwrap();
    assert_eq!(names(&backend, "", None).await, ["a/.journal/x"]);
}

#[tokio::test]
async fn a_newer_programs_journal_is_left_alone() {
    let environment = || Arc::new(ManualEnvironment::new(1));
    let place = tempfile::tempdir().unwrap();
    let early = manual(place.path()).await;
    write_through(&early, put("a", "1")).await;
    let path = place.path().join(".journal/journal");
    std::fs::write(&path, header(2)).unwrap();
    let before = dump(place.path());

    let opened = FsBackend::open(place.path(), environment()).await.unwrap_err();
    let created = FsBackend::create(place.path(), environment()).await.unwrap_err();
    let committed = early.commit(one(put("a", "2"))).await.unwrap_err();
    for error in [opened, created, committed] {
        assert_eq!(error.kind(), ErrorKind::Incompatible);
        assert_eq!(error.outcome(), Outcome::NotApplied { applied: 0 });
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(error.to_string().contains("open the store once with the newer program"), "{error}");
    }
    assert_eq!(dump(place.path()), before);
    assert_eq!(std::fs::read(&path).unwrap(), header(2));
}

/// The header of a journal of another format.
fn header(format: u32) -> Vec<u8> {
    let mut bytes = b"pflowlog".to_vec();
    bytes.extend(format.to_le_bytes());
    bytes.resize(56, 0);
    let check = Version::of_content(&bytes);
    let digits: Vec<u32> = check.as_str().chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    let byte = |pair: &[u32]| u8::try_from(pair.iter().fold(0, |sum, digit| sum * 16 + digit)).unwrap();
    bytes.extend(digits.chunks(2).map(byte));
    bytes
}

#[tokio::test]
async fn what_else_stands_in_our_folder_is_in_nobodys_way() {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join(".journal")).unwrap();
    std::fs::write(place.path().join(".journal/journal"), "").unwrap();
    std::fs::write(place.path().join(".journal/note"), "theirs").unwrap();
    let backend = manual(place.path()).await;
    write_through(&backend, put("a", "1")).await;
    assert_eq!(read(&backend, "a").await.unwrap(), "1");
    assert_eq!(std::fs::read(place.path().join(".journal/note")).unwrap(), b"theirs");
}
