//! What can only be seen from inside: which system calls a batch makes, and what it leaves when one of them fails.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use pflow_backend::{
    Batch, Commit, ErrorKind, Key, ManualEnvironment, Operation, Outcome, Result, StorageBackend,
};
use rustix::io::Errno;

use crate::{FsBackend, disk::Call};

async fn open(place: &Path) -> FsBackend {
    FsBackend::open(place, Arc::new(ManualEnvironment::new(7))).await.unwrap()
}

fn key(name: &str) -> Key {
    Key::parse(name).unwrap()
}

fn committed(result: Result<Commit>) {
    assert!(matches!(result.unwrap(), Commit::Committed(_)));
}

/// Three stages: two puts in a new folder, a put and a delete at the root, a put below a folder that is there.
fn batch() -> Batch {
    Batch::new()
        .stage([Operation::put(key("new/deep/a"), "a"), Operation::put(key("new/deep/b"), "b")])
        .stage([Operation::put(key("head"), "2"), Operation::delete(key("old"))])
        .stage([Operation::put(key("there/copy"), "copy")])
}

/// What [`batch`] meets.
fn prepare(place: &Path) {
    std::fs::create_dir(place.join("there")).unwrap();
    std::fs::write(place.join("head"), "1").unwrap();
    std::fs::write(place.join("old"), "old").unwrap();
}

/// How far each of the operations of a stage is: true where it is done.
fn done(place: &Path) -> [Vec<bool>; 3] {
    let is = |name: &str, bytes: &str| std::fs::read_to_string(place.join(name)).is_ok_and(|it| it == bytes);
    [
        vec![is("new/deep/a", "a"), is("new/deep/b", "b")],
        vec![is("head", "2"), !place.join("old").exists()],
        vec![is("there/copy", "copy")],
    ]
}

fn staged(place: &Path) -> usize {
    std::fs::read_dir(place.join(".journal/staging")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_batch_costs_a_sync_for_each_put_and_each_folder_that_a_stage_touches() {
    let place = tempfile::tempdir().unwrap();
    prepare(place.path());
    let backend = open(place.path()).await;
    committed(backend.commit(batch()).await);
    let calls = backend.disk().take_calls();
    let short: Vec<String> = calls
        .iter()
        .filter(|(_, path)| !path.ends_with(".journal") && !path.ends_with(".journal/staging"))
        .map(|(call, path)| {
            let path = path.strip_prefix(place.path()).unwrap().to_string_lossy().into_owned();
            let path = if path.starts_with(".journal/staging/") { "*".to_owned() } else { path };
            format!("{call:?} {path}")
        })
        .collect();
    let stage_one = ["CreateFile *", "Write *", "SyncFile *"];
    let mut expected: Vec<&str> = stage_one.into_iter().cycle().take(12).collect();
    expected.extend([
        "CreateFolder new",
        "CreateFolder new/deep",
        "Rename new/deep/a",
        "Rename new/deep/b",
        "SyncFolder ",
        "SyncFolder new",
        "SyncFolder new/deep",
        "Rename head",
        "RemoveFile old",
        "SyncFolder ",
        "Rename there/copy",
        "SyncFolder there",
    ]);
    assert_eq!(short, expected);
}

#[tokio::test]
async fn wherever_a_call_fails_the_outcome_tells_the_truth() {
    let whole = tempfile::tempdir().unwrap();
    prepare(whole.path());
    let backend = open(whole.path()).await;
    committed(backend.commit(batch()).await);
    let calls = backend.disk().take_calls();

    for errno in [Errno::NOSPC, Errno::IO] {
        for (at, (call, path)) in calls.iter().enumerate() {
            let spared = calls.iter().take(at).filter(|(other, _)| other == call).count();
            let what = format!("{errno:?} at call {at}, {call:?} {path:?}");
            let place = tempfile::tempdir().unwrap();
            prepare(place.path());
            let backend = open(place.path()).await;
            backend.disk().fail(*call, spared, errno);

            let error = backend.commit(batch()).await.unwrap_err();
            let done = done(place.path());
            assert_eq!(staged(place.path()), 0, "{what}: a staged file stays");
            assert!(error.to_string().contains("Failed to "), "{what}: {error}");
            let poisoned = backend.commit(Batch::new().stage([Operation::put(key("x"), "x")])).await;
            match error.outcome() {
                Outcome::NotApplied { applied } => {
                    assert!(done.iter().take(applied).flatten().all(|it| *it), "{what}: {done:?} {error:?}");
                    assert!(!done.iter().skip(applied + 1).flatten().any(|it| *it), "{what}: {done:?}");
                    assert_ne!(*call, Call::SyncFolder, "{what}");
                    committed(poisoned);
                }
                Outcome::Unknown => {
                    assert!(errno == Errno::IO || *call == Call::SyncFolder, "{what}: {error:?}");
                    assert_eq!(poisoned.unwrap_err().kind(), ErrorKind::Poisoned, "{what}");
                }
            }
            // Nothing is in the way of whoever comes next.
            let again = open(place.path()).await;
            committed(again.commit(batch()).await);
            assert!(self::done(place.path()).iter().flatten().all(|it| *it), "{what}");
        }
    }
}

#[tokio::test]
async fn nothing_is_promised_while_files_are_staged() {
    for call in [Call::CreateFile, Call::Write, Call::SyncFile] {
        for spared in 0..4 {
            let place = tempfile::tempdir().unwrap();
            prepare(place.path());
            let backend = open(place.path()).await;
            backend.disk().fail(call, spared, Errno::NOSPC);
            let error = backend.commit(batch()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
            assert_eq!(error.outcome(), Outcome::NotApplied { applied: 0 });
            assert!(!done(place.path()).iter().flatten().any(|it| *it), "{call:?} {spared}");
            assert!(!place.path().join("new").exists());
        }
    }
}

#[tokio::test]
async fn what_a_failed_stage_has_done_is_synced_before_the_answer() {
    let place = tempfile::tempdir().unwrap();
    prepare(place.path());
    let backend = open(place.path()).await;
    backend.disk().fail(Call::Rename, 1, Errno::NOSPC);
    let error = backend.commit(batch()).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied { applied: 0 });
    assert_eq!(done(place.path())[0], [true, false]);
    let calls = backend.disk().take_calls();
    let synced: Vec<_> = calls.iter().filter(|(call, _)| *call == Call::SyncFolder).map(|it| &it.1).collect();
    assert_eq!(synced, [place.path(), &place.path().join("new"), &place.path().join("new/deep")]);
}

#[tokio::test]
async fn folders_that_a_killed_process_left_unsynced_are_synced_before_anything_else() {
    let place = tempfile::tempdir().unwrap();
    prepare(place.path());
    std::fs::create_dir_all(place.path().join("x/y")).unwrap();
    std::fs::create_dir(place.path().join(".journal")).unwrap();
    std::os::unix::fs::symlink("/", place.path().join("link")).unwrap();
    std::fs::write(
        place.path().join(".journal/lock"),
        "pid 1 on host dead\nsync x/y\nsync gone/z\nsync link/tmp\n",
    )
    .unwrap();
    let backend = open(place.path()).await;
    let put = || Batch::new().stage([Operation::put(key("there/a"), "a")]);

    backend.disk().fail(Call::SyncFolder, 0, Errno::IO);
    let error = backend.commit(put()).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied { applied: 0 });
    assert_eq!(backend.commit(put()).await.unwrap_err().kind(), ErrorKind::Poisoned);

    let backend = open(place.path()).await;
    committed(backend.commit(put()).await);
    let calls = backend.disk().take_calls();
    let first: BTreeSet<_> =
        calls.iter().take(3).map(|(call, path)| (format!("{call:?}"), path.clone())).collect();
    let sync = |name: &str| ("SyncFolder".to_owned(), place.path().join(name));
    let root = ("SyncFolder".to_owned(), place.path().to_owned());
    assert_eq!(first, BTreeSet::from([root, sync("x"), sync("x/y")]), "{calls:?}");

    // The note is settled: the next commit has nothing to finish.
    committed(backend.commit(put()).await);
    let calls = backend.disk().take_calls();
    assert_eq!(calls.iter().filter(|(call, _)| *call == Call::SyncFolder).count(), 1);
    let note = std::fs::read_to_string(place.path().join(".journal/lock")).unwrap();
    assert_eq!(note, "pid 4242 on host host-7\n");
}

#[tokio::test]
async fn an_unknown_outcome_leaves_the_note_for_the_next_handle() {
    let place = tempfile::tempdir().unwrap();
    prepare(place.path());
    let backend = open(place.path()).await;
    backend.disk().fail(Call::SyncFolder, 3, Errno::IO);
    let error = backend.commit(batch()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Io, Outcome::Unknown));
    assert!(error.to_string().contains(&format!("Failed to sync {}", place.path().display())), "{error}");
    let note = std::fs::read_to_string(place.path().join(".journal/lock")).unwrap();
    assert_eq!(note, "pid 4242 on host host-7\nsync /\nsync new/deep\nsync there\n");
}

#[tokio::test]
async fn more_folders_than_stay_open_are_all_synced() {
    let place = tempfile::tempdir().unwrap();
    let backend = open(place.path()).await;
    let puts = (0..150).map(|at| Operation::put(key(&format!("f{at:03}/x")), "x"));
    committed(backend.commit(Batch::new().stage(puts)).await);
    let calls = backend.disk().take_calls();
    let synced: BTreeSet<_> = calls
        .iter()
        .filter(|(call, _)| *call == Call::SyncFolder)
        .collect::<Vec<_>>()
        .into_iter()
        .map(|it| &it.1)
        .collect();
    assert_eq!(synced.len(), 151);
    assert_eq!(calls.iter().filter(|(call, _)| *call == Call::SyncFolder).count(), 151);
}
