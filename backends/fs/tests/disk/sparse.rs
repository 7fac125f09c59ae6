//! A journal of any length is read in little memory.

use std::fs;

use crate::common::*;
use pflow_backend_fs::FsOptions;

/// The most memory that this process has had, in KiB, where the system tells.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// In a process of its own, because the peak may come from any other test.
#[tokio::test]
async fn a_sparse_tail_of_gigabytes_costs_no_memory() {
    if !is_alone("sparse::a_sparse_tail_of_gigabytes_costs_no_memory") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let options = FsOptions::new().follow(false);
    write(&options.clone().open(place.path(), system()).await.unwrap(), put("k", "value")).await;
    let journal = fs::File::options().write(true).open(place.path().join(".journal/journal")).unwrap();
    if journal.set_len(3 << 30).is_err() {
        println!("skipped: this file system has no sparse files");
        return;
    }
    let before = peak();
    let backend = options.open(place.path(), system()).await.unwrap();
    assert_eq!(read(&backend, "k").await.unwrap(), "value");
    let Some((before, after)) = before.zip(peak()) else {
        println!("skipped: this system does not tell how much memory a process has had");
        return;
    };
    println!("opening a journal of 3 GiB took {} KiB", after - before);
    assert!(after - before < 64 * 1024, "{} KiB", after - before);
}
