//! A process is stopped (SIGSTOP) for three times as long as its lease lasts, and continues. Its guard reports
//! that the lease is uncertain, and its save succeeds only if no other writer changed the workflow meanwhile.
#![cfg(target_os = "linux")]

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use pflow_store::{Error, ErrorKind, Expect, LeaseRequest, Store, backend::SystemEnvironment};
use pflow_testkit::child::{Process, files, place_of_a_child, say};
use pflow_testkit::{id, save};

/// How long the lease lasts.
const LEASE: Duration = Duration::from_secs(1);

async fn open(place: &Path) -> Store {
    let environment = Arc::new(SystemEnvironment::new().unwrap());
    Store::builder(place).environment(environment).clock_skew(Duration::ZERO).init().await.unwrap()
}

/// Holds a lease, stops itself, and prints when the lease is uncertain and whether a save under it succeeds.
#[tokio::test]
async fn a_child_that_holds_a_lease() {
    let Some(place) = place_of_a_child() else { return };
    let store = open(&place).await;
    let guard = store.lock(&id("a"), LeaseRequest::new("work", LEASE)).await.unwrap();
    let lease = guard.lease_id().unwrap();
    // After this pause the files are written and the first renewal is not due yet, so the process does not
    // hold the lock of the disk while it is stopped. Other processes would wait for it.
    store.environment().sleep(LEASE / 10).await;
    say(&format!("held {lease}"));
    let stop = format!("kill -STOP {}", store.environment().identity().pid);
    assert!(Command::new("sh").args(["-c", &stop]).status().unwrap().success());
    // The signal takes effect during this loop. The loop blocks the only thread, so that no other task runs,
    // not even the one that renews.
    while !matches!(guard.check(), Err(Error::LeaseUncertain { silent, .. }) if silent >= LEASE * 3) {
        std::hint::spin_loop();
    }
    say("uncertain");
    match guard.ensure().await {
        Ok(again) => {
            assert_eq!(again, lease);
            let saved = store.save(save("a", "mine", Expect::Any).lease(again)).await.unwrap();
            say(&format!("saved {}", saved.generation));
            guard.release().await.unwrap();
        }
        Err(lost) => {
            assert_eq!(lost.kind(), ErrorKind::Locked);
            // The fence also refuses a save that did not ask the guard first.
            let late = store.save(save("a", "mine", Expect::Any).lease(lease)).await.unwrap_err();
            assert_eq!(late.kind(), ErrorKind::Locked);
            assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Locked);
            say(&format!("refused {late}"));
        }
    }
    store.close().await.unwrap();
}

#[derive(Clone, Copy)]
enum Meanwhile {
    Nothing,
    AnotherSave,
    Takeover,
}

/// Stops a child for three times its lease. Returns what it printed and its lease.
async fn stopped(place: &Path, meanwhile: Meanwhile) -> (Vec<String>, String) {
    let store = open(place).await;
    store.save(save("a", "before", Expect::Absent)).await.unwrap();
    let mut child = Process::start("stopped::a_child_that_holds_a_lease", place, &[]);
    let mut lines = child.lines();
    let lease = lines.find_map(|line| line.strip_prefix("held ").map(str::to_owned)).unwrap();
    while !child.is_stopped() {
        store.environment().sleep(Duration::from_millis(5)).await;
    }
    // The lease of a stopped process only ends by time, so the test must wait.
    store.environment().sleep(LEASE * 3).await;
    let before = match meanwhile {
        Meanwhile::Nothing => None,
        Meanwhile::AnotherSave => {
            store.save(save("a", "theirs", Expect::Generation(1))).await.unwrap();
            Some(())
        }
        Meanwhile::Takeover => {
            let taken = store.acquire(&id("a"), LeaseRequest::new("take over", LEASE * 60)).await.unwrap();
            assert_eq!(taken.lease.fence, 2);
            Some(())
        }
    };
    store.close().await.unwrap();
    let before = before.map(|()| files(place));
    child.signal("CONT");
    let all: Vec<String> = lines.collect();
    let ours = |line: &&String| {
        line.starts_with("uncertain") || line.starts_with("saved ") || line.starts_with("refused ")
    };
    let said: Vec<String> = all.iter().filter(ours).cloned().collect();
    assert!(child.ended());
    if let Some(before) = before {
        assert_eq!(files(place), before, "nothing changed");
        let args = ["save", "a", "--store", place.to_str().unwrap(), "--lease", &lease];
        let mut program = Command::new(env!("CARGO_BIN_EXE_pflow-store"));
        let ran = program.args(args).stdin(std::fs::File::open(place.join("config.json")).unwrap()).output();
        let ran = ran.unwrap();
        assert_eq!(ran.status.code(), Some(11), "{ran:?}");
        assert_eq!(files(place), before, "nothing changed");
    }
    (said, lease)
}

#[tokio::test]
async fn without_another_writer_it_renews_and_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let (said, _) = stopped(place.path(), Meanwhile::Nothing).await;
    assert_eq!(said, ["uncertain", "saved 2"]);
}

#[tokio::test]
async fn after_another_save_it_writes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (said, lease) = stopped(place.path(), Meanwhile::AnotherSave).await;
    assert_eq!(said[0], "uncertain");
    assert!(
        said[1].starts_with(&format!("refused the lease {lease} on a is lost: it was overridden by ")),
        "{said:?}"
    );
}

#[tokio::test]
async fn after_a_takeover_it_writes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (said, _) = stopped(place.path(), Meanwhile::Takeover).await;
    assert_eq!(said[0], "uncertain");
    assert!(said[1].contains("holds it since ") && said[1].contains("under fence 2, take over"), "{said:?}");
}
