//! The probe on a disk: what it finds, and that it leaves nothing.

use crate::common::{dump, manual, one, put, system, write};
use pflow_backend::{
    ErrorKind, Prefix, StorageBackend,
    probe::{self, Depth, Verdict},
};
use pflow_backend_fs::{FsBackend, FsOptions};

fn ground() -> Prefix {
    Prefix::parse("ops/probe/1").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_keeps_its_promises_and_nothing_stays_behind() {
    let place = tempfile::tempdir().unwrap();
    let backend = FsBackend::open(place.path(), system()).await.unwrap();
    let environment = system();
    let report = probe::run(&backend, &*environment, &ground(), &Depth::default()).await.unwrap();
    assert!(report.is_safe() && report.left_behind.is_none(), "{report:#?}");
    let names: Vec<&str> = report.checks.iter().map(|check| check.name).collect();
    assert!(names.ends_with(&["lock", "sync", "rename", "names", "file-system"]), "{names:?}");
    assert!(dump(place.path()).is_empty(), "{:?}", dump(place.path()));
}

#[tokio::test]
async fn what_others_keep_beside_the_ground_stays() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    write(&backend, put("ops/probe/2/x", "theirs")).await;
    let before = dump(place.path());
    backend.examine(&ground()).await.unwrap();
    assert_eq!(dump(place.path()), before);
}

#[tokio::test]
async fn a_lock_that_is_held_excludes_commits_and_probes() {
    let place = tempfile::tempdir().unwrap();
    let backend = manual(place.path()).await;
    let options = FsOptions::new().lock_wait(std::time::Duration::ZERO).follow(false);
    let other = options.open(place.path(), system()).await.unwrap();
    let held = backend.try_hold().await.unwrap().expect("nobody holds it");
    assert!(other.try_hold().await.unwrap().is_none());
    assert_eq!(other.commit(one(put("a", "1"))).await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(other.examine(&ground()).await.unwrap_err().kind(), ErrorKind::Busy);
    drop(held);
    write(&other, put("a", "1")).await;
    assert!(other.try_hold().await.unwrap().is_some());
}

#[tokio::test]
async fn a_lock_that_somebody_keeps_is_no_broken_promise() {
    let place = tempfile::tempdir().unwrap();
    let (backend, environment) = (manual(place.path()).await, system());
    let held = backend.try_hold().await.unwrap();
    let refused = probe::run(&backend, &*environment, &ground(), &Depth::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    drop(held);
    assert!(probe::run(&backend, &*environment, &ground(), &Depth::default()).await.unwrap().is_safe());
}

#[tokio::test]
async fn the_kind_of_file_system_is_told() {
    let place = tempfile::tempdir().unwrap();
    let checks = manual(place.path()).await.examine(&ground()).await.unwrap();
    let check = checks.iter().find(|check| check.name == "file-system").unwrap();
    assert!(!check.required);
    let Some(small) = crate::common::SmallDisk::mount("the_kind_of_file_system_is_told", "1m") else {
        return;
    };
    let checks = manual(small.path()).await.examine(&ground()).await.unwrap();
    let check = checks.into_iter().find(|check| check.name == "file-system").unwrap();
    let told = "It is tmpfs, in memory: a restart loses everything".to_owned();
    assert_eq!(check.verdict, Verdict::Broken(told));
    small.make_read_only();
    let error = manual(small.path()).await.examine(&ground()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}
