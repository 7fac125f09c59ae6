//! One writer at a time: between handles, between processes, and when somebody meddles with the lock or the
//! folder.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use crate::common::*;
use futures::FutureExt;
use pflow_backend::{Commit, Environment, ErrorKind, ManualEnvironment, Outcome, StorageBackend, Version};
use pflow_backend_fs::{FsBackend, FsOptions};

fn hold(place: &Path, words: &str) -> File {
    std::fs::create_dir_all(place.join(".journal")).unwrap();
    let mut options = File::options();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(place.join(".journal/lock"))
        .unwrap();
    file.try_lock().unwrap();
    file.write_all(words.as_bytes()).unwrap();
    file
}

async fn with_wait(place: &Path, environment: Arc<ManualEnvironment>, seconds: u64) -> FsBackend {
    FsOptions::new()
        .lock_wait(Duration::from_secs(seconds))
        .follow(false)
        .open(place, environment)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_lock_held_by_another_is_waited_for_until_the_deadline_and_no_longer() {
    let place = tempfile::tempdir().unwrap();
    let held = hold(place.path(), "pid 123 on host elsewhere\n");
    for seconds in [0, 3] {
        let environment = Arc::new(ManualEnvironment::new(7));
        let backend = with_wait(place.path(), environment.clone(), seconds).await;
        let error = backend.commit(one(put("a", "1"))).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Busy, Outcome::NotApplied { applied: 0 }));
        let words = format!("Failed to lock {}: held by pid 123 on host elsewhere", place.path().display());
        assert_eq!(error.to_string(), words);
        assert_eq!(environment.monotonic(), Duration::from_secs(seconds));
        assert_eq!(backend.get(&key("a")).await.unwrap(), None);
    }
    let environment = Arc::new(ManualEnvironment::new(7));
    let backend = with_wait(place.path(), environment, 0).await;
    drop(held);
    write(&backend, put("a", "1")).await;
}

#[tokio::test]
async fn the_deadline_counts_from_the_call_and_one_attempt_is_always_made() {
    let place = tempfile::tempdir().unwrap();
    let environment = Arc::new(ManualEnvironment::new(7));
    let backend = with_wait(place.path(), environment.clone(), 3).await;
    let held = hold(place.path(), "");
    // Queued behind the first, so that all of its own time is over when its turn comes.
    let (first, second) =
        futures::join!(backend.commit(one(put("a", "1"))), backend.commit(one(put("b", "1"))));
    assert_eq!(first.unwrap_err().to_string().split(": ").last().unwrap(), "held by an unknown process");
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Busy);
    // The second may have begun a pause later.
    assert!((3000..3100).contains(&environment.monotonic().as_millis()), "{:?}", environment.monotonic());
    drop(held);
    write(&backend, put("a", "1")).await;
}

#[tokio::test]
async fn a_lock_file_that_was_deleted_protects_nobody_and_a_new_one_is_made() {
    let place = tempfile::tempdir().unwrap();
    let backend = with_wait(place.path(), Arc::new(ManualEnvironment::new(7)), 0).await;
    let _held = hold(place.path(), "");
    assert_eq!(backend.commit(one(put("a", "1"))).await.unwrap_err().kind(), ErrorKind::Busy);
    std::fs::remove_file(place.path().join(".journal/lock")).unwrap();
    write_through(&backend, put("a", "1")).await;
    // At rest: a handle that knows work in a journal that is gone goes on no more.
    std::fs::remove_dir_all(place.path().join(".journal")).unwrap();
    write(&backend, put("a", "2")).await;
    let again = hold(place.path(), "");
    assert_eq!(backend.commit(one(put("a", "3"))).await.unwrap_err().kind(), ErrorKind::Busy);
    drop(again);
}

#[tokio::test]
async fn a_folder_that_was_moved_or_replaced_is_not_written_to() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    std::fs::create_dir(&path).unwrap();
    let backend = manual(&path).await;
    write(&backend, put("a", "1")).await;
    std::fs::rename(&path, place.path().join("moved")).unwrap();
    let before = dump(place.path());
    let missing = backend.commit(one(put("a", "2"))).await.unwrap_err();
    assert_eq!((missing.kind(), missing.outcome()), (ErrorKind::Missing, Outcome::NotApplied { applied: 0 }));
    assert!(missing.to_string().contains(path.to_str().unwrap()), "{missing}");
    assert_eq!(backend.get(&key("a")).await.unwrap_err().kind(), ErrorKind::Missing);
    assert_eq!(dump(place.path()), before);

    std::fs::create_dir(&path).unwrap();
    let replaced = backend.commit(one(put("a", "2"))).await.unwrap_err();
    assert_eq!(replaced.kind(), ErrorKind::Unsafe);
    assert!(replaced.to_string().contains("replaced by another folder"), "{replaced}");
    assert_eq!(backend.stat(&key("a")).await.unwrap_err().kind(), ErrorKind::Unsafe);
    assert!(!path.join("a").exists());

    std::fs::remove_dir(&path).unwrap();
    let gone = backend.commit(one(put("a", "2"))).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Missing);
    std::fs::rename(place.path().join("moved"), &path).unwrap();
    write(&backend, put("a", "2")).await;
}

#[tokio::test]
async fn a_folder_that_was_deleted_is_missing_and_not_made_again() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    std::fs::create_dir(&path).unwrap();
    let backend = manual(&path).await;
    std::fs::remove_dir(&path).unwrap();
    assert_eq!(backend.commit(one(put("a", "1"))).await.unwrap_err().kind(), ErrorKind::Missing);
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn handles_that_race_lose_no_update_and_create_nothing_twice() {
    let place = tempfile::tempdir().unwrap();
    let mut handles = Vec::new();
    for _ in 0..2 {
        handles.push(Arc::new(FsBackend::open(place.path(), system()).await.unwrap()));
    }
    write(&handles[0], put("counter", "0")).await;
    let tasks = (0..6).map(|worker| {
        let backend = handles[worker % 2].clone();
        tokio::spawn(async move {
            let mut created = 0;
            for round in 0..15 {
                let create =
                    backend.commit(one(put(&format!("created/{round}"), &worker.to_string()).absent()));
                created += usize::from(matches!(create.await.unwrap(), Commit::Committed(_)));
                loop {
                    let count = read(&backend, "counter").await.unwrap();
                    let next: usize = count.parse::<usize>().unwrap() + 1;
                    let swap = put("counter", &next.to_string()).is(Version::of_content(count.as_bytes()));
                    if let Commit::Committed(_) = backend.commit(one(swap)).await.unwrap() {
                        break;
                    }
                }
            }
            created
        })
    });
    let created: Vec<usize> = futures::future::try_join_all(tasks).await.unwrap();
    assert_eq!(created.iter().sum::<usize>(), 15);
    assert_eq!(read(&handles[1], "counter").await.unwrap(), "90");
    handles[0].close().await.unwrap();
    assert_eq!(unfinished(place.path()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_future_is_dropped_happens_whole_or_not_and_the_handle_works_on() {
    let place = tempfile::tempdir().unwrap();
    let backend = FsBackend::open(place.path(), system()).await.unwrap();
    for round in 0..30 {
        let text = round.to_string();
        let batch = pflow_backend::Batch::new().stage([put("a/data", &text)]).stage([put("a/head", &text)]);
        // Polled once: it waits for its turn, for a thread, or for the disk.
        let mut dropped = backend.commit(batch);
        assert!((&mut dropped).now_or_never().is_none_or(|done| done.is_ok()));
        drop(dropped);
        write(&backend, put("after", &text)).await;
        let (data, head) = (read(&backend, "a/data").await, read(&backend, "a/head").await);
        assert_eq!(data, head);
        assert_eq!(read(&backend, "after").await.unwrap(), text);
    }
    backend.close().await.unwrap();
    assert_eq!(unfinished(place.path()), Vec::<String>::new());
}

/// Nothing of a handle happens after it is closed, not even a commit that was given up while it waited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_is_closed_after_the_commits_that_came_before() {
    for round in 0..20 {
        let place = tempfile::tempdir().unwrap();
        let backend = FsBackend::open(place.path(), system()).await.unwrap();
        let held = hold(place.path(), "pid 123 on host elsewhere\n");
        let mut dropped = backend.commit(one(put("a", "1")));
        assert!((&mut dropped).now_or_never().is_none(), "it waits for the lock");
        drop(dropped);
        let mut closing = backend.close();
        assert!((&mut closing).now_or_never().is_none(), "it waits for the commit");
        drop(held);
        closing.await.unwrap();
        let file = std::fs::read(place.path().join("a")).unwrap_or_default();
        assert_eq!(file, b"1", "round {round}");
    }
}

/// What this test binary does when it is started again by a test below.
const CHILD: &str = "PFLOW_FS_TEST_CHILD";
const PLACE: &str = "PFLOW_FS_TEST_PLACE";

fn start_child(what: &str, place: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "locking::the_child", "--nocapture", "--test-threads=1"])
        .env(CHILD, what)
        .env(PLACE, place)
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

fn wait_for(child: &mut Child, words: &str) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(words)), "the child ended early");
}

#[tokio::test]
async fn the_child() {
    let (Ok(what), Ok(place)) = (std::env::var(CHILD), std::env::var(PLACE)) else { return };
    let place = Path::new(&place);
    if what == "hold" {
        let _held = hold(place, "pid 77 on host child\n");
        println!("it is locked");
        // Until the parent is gone or kills it.
        std::io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    let backend = FsBackend::open(place, system()).await.unwrap();
    println!("it is open");
    loop {
        let Some(count) = read(&backend, "head").await else { return };
        let next = (count.parse::<u64>().unwrap() + 1).to_string();
        let batch = pflow_backend::Batch::new()
            .stage([put(&format!("versions/{next}/content"), &next).fresh()])
            .stage([put("head", &next).is(Version::of_content(count.as_bytes()))])
            .stage([put("copy", &next).copy()]);
        committed(backend.commit(batch).await.unwrap());
    }
}

#[tokio::test]
async fn a_process_that_is_killed_gives_the_lock_back() {
    let place = tempfile::tempdir().unwrap();
    let backend = with_wait(place.path(), Arc::new(ManualEnvironment::new(7)), 0).await;
    let mut child = start_child("hold", place.path());
    wait_for(&mut child, "it is locked");
    let error = backend.commit(one(put("a", "1"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().ends_with("held by pid 77 on host child"), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    write(&backend, put("a", "1")).await;
}

#[tokio::test]
async fn a_process_that_is_killed_while_it_commits_leaves_whole_batches() {
    let place = tempfile::tempdir().unwrap();
    let backend = FsBackend::open(place.path(), system()).await.unwrap();
    write(&backend, put("head", "0")).await;
    write(&backend, put("copy", "0")).await;
    for round in 1..=8_u64 {
        let mut child = start_child("commit", place.path());
        wait_for(&mut child, "it is open");
        let start: u64 = read(&backend, "head").await.unwrap().parse().unwrap();
        // The child is somewhere in the middle of a commit.
        while read(&backend, "head").await.unwrap().parse::<u64>().unwrap() < start + round {}
        child.kill().unwrap();
        child.wait().unwrap();

        // Whoever comes next finishes what is left and works on. Until then the last batch of the child may
        // be seen or not.
        write(&backend, put("after", "1")).await;
        let head: u64 = read(&backend, "head").await.unwrap().parse().unwrap();
        for version in 1..=head {
            let content = read(&backend, &format!("versions/{version}/content")).await;
            assert_eq!(content.unwrap(), version.to_string(), "a head without its version");
        }
        let copy: u64 = read(&backend, "copy").await.unwrap().parse().unwrap();
        assert_eq!(copy, head, "a part of a batch");
        backend.close().await.unwrap();
        assert_eq!(unfinished(place.path()), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_that_is_never_idle_gives_way_to_others() {
    let place = tempfile::tempdir().unwrap();
    let open = || FsOptions::new().follow(false).open(place.path(), system());
    let (busy, other) = (Arc::new(open().await.unwrap()), open().await.unwrap());
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (busy, stop) = (busy.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    write(&busy, put(&format!("busy/{writer}"), "x")).await;
                }
            })
        })
        .collect();
    for round in 0..20 {
        write(&other, put("other", &round.to_string())).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    futures::future::try_join_all(writers).await.unwrap();
    assert_eq!(read(&busy, "other").await.unwrap(), "19");
}
