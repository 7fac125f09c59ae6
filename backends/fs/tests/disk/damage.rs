//! A journal that lost what was acknowledged: by damage, by a hand, by a copy that was made while the store
//! was in use.

use std::{fs, os::unix::fs::FileExt, path::Path};

use crate::common::*;
use pflow_backend::{Error, ErrorKind, StorageBackend};
use pflow_backend_fs::{FsBackend, FsOptions};

fn options() -> FsOptions {
    FsOptions::new().follow(false)
}

async fn opened(place: &Path) -> Result<FsBackend, Error> {
    options().open(place, system()).await
}

async fn accepted(place: &Path) -> FsBackend {
    options().accept_tail(true).open(place, system()).await.unwrap()
}

fn journal(place: &Path) -> std::path::PathBuf {
    place.join(".journal/journal")
}

/// Where the records begin.
fn records(place: &Path) -> Vec<u64> {
    let bytes = fs::read(journal(place)).unwrap();
    let is_record = |at: &usize| bytes[*at..].starts_with(b"pflowrec");
    (4096..bytes.len()).step_by(8).filter(is_record).map(|at| at as u64).collect()
}

fn flip(place: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(journal(place)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// A value that is in its file, and three of it and of others in the journal of a process that is gone: six
/// records.
async fn six_records() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let backend = opened(place.path()).await.unwrap();
    write_through(&backend, put("k", "in its file")).await;
    for number in 1..=3 {
        write(&backend, put("k", &format!("value {number}"))).await;
        write(&backend, put(&format!("other{number}"), "x")).await;
    }
    place
}

async fn refused(place: &Path) -> String {
    let error = opened(place).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.hint().unwrap().contains("FsOptions::accept_tail"), "{error}");
    std::error::Error::source(&error).unwrap().to_string()
}

#[tokio::test]
async fn a_flipped_bit_in_the_last_record_is_damage() {
    let place = six_records().await;
    flip(place.path(), *records(place.path()).last().unwrap() + 120);
    let error = refused(place.path()).await;
    assert!(error.contains("record 6 of epoch 4 of the journal cannot be read"), "{error}");
}

#[tokio::test]
async fn a_cut_emptied_or_removed_journal_is_damage() {
    for length in [0, 71, 4096, 4200, 4900] {
        let place = six_records().await;
        let file = fs::File::options().write(true).open(journal(place.path())).unwrap();
        file.set_len(length).unwrap();
        refused(place.path()).await;
    }
    let place = six_records().await;
    fs::remove_file(journal(place.path())).unwrap();
    refused(place.path()).await;
}

#[tokio::test]
async fn a_damaged_header_of_a_later_epoch_hides_nothing() {
    for without_state in [false, true] {
        let place = tempfile::tempdir().unwrap();
        let small = FsOptions::new().follow(false).journal_limit(8192);
        let backend = small.open(place.path(), system()).await.unwrap();
        write(&backend, put("k", &"e".repeat(3000))).await;
        write(&backend, put("other", &"f".repeat(3000))).await;
        write(&backend, put("k", "newest")).await;
        let bytes = fs::read(journal(place.path())).unwrap();
        let epoch = |slot: usize| u64::from_le_bytes(bytes[slot + 16..slot + 24].try_into().unwrap());
        assert!(epoch(0).abs_diff(epoch(512)) == 1, "two valid headers");
        flip(place.path(), if epoch(0) > epoch(512) { 20 } else { 532 });
        if without_state {
            fs::remove_file(place.path().join(".journal/state")).unwrap();
        }
        let again = opened(place.path()).await.unwrap();
        assert_eq!(read(&again, "k").await.unwrap(), "newest");
    }
}

#[tokio::test]
async fn accepting_the_tail_goes_on_and_names_what_is_lost() {
    let place = six_records().await;
    flip(place.path(), records(place.path())[3] + 120);
    let damaged = fs::read(journal(place.path())).unwrap();
    let error = refused(place.path()).await;
    assert!(error.contains("records 4 to 6 of epoch 4"), "{error}");

    let backend = accepted(place.path()).await;
    let lost = backend.lost_tail().unwrap().clone();
    assert_eq!((lost.epoch, lost.first, lost.last), (Some(4), 4, Some(6)));
    assert_eq!(lost.keys, [key("k"), key("other3")]);
    assert_eq!(read(&backend, "k").await.unwrap(), "value 2");
    assert_eq!(read(&backend, "other1").await.unwrap(), "x");
    assert_eq!(read(&backend, "other2").await, None);
    let quarantine = fs::read_dir(place.path().join(".journal/quarantine")).unwrap();
    let kept: Vec<_> = quarantine.map(|it| fs::read(it.unwrap().path()).unwrap()).collect();
    assert_eq!(kept, [damaged]);

    // It is given up for everybody, and work goes on.
    let later = opened(place.path()).await.unwrap();
    assert_eq!(later.lost_tail(), None);
    write_through(&later, put("k", "value 4")).await;
    assert_eq!(read(&backend, "k").await.unwrap(), "value 4");
    assert_eq!(unfinished(place.path()), Vec::<String>::new());
}

#[tokio::test]
async fn accepting_the_tail_of_a_sound_journal_gives_up_nothing() {
    let place = six_records().await;
    let backend = accepted(place.path()).await;
    assert_eq!(backend.lost_tail(), None);
    assert_eq!(read(&backend, "k").await.unwrap(), "value 3");
}

#[tokio::test]
async fn a_journal_that_is_gone_is_given_up_whole() {
    let place = six_records().await;
    fs::remove_file(journal(place.path())).unwrap();
    let backend = accepted(place.path()).await;
    let lost = backend.lost_tail().unwrap();
    assert_eq!((lost.first, lost.last), (1, Some(6)));
    assert_eq!(read(&backend, "k").await.unwrap(), "in its file");
}

#[tokio::test]
async fn a_copy_with_an_older_journal_needs_the_tail_accepted() {
    let place = six_records().await;
    let older = fs::read(journal(place.path())).unwrap();
    write(&opened(place.path()).await.unwrap(), put("k", "value 4")).await;
    fs::write(journal(place.path()), older).unwrap();
    refused(place.path()).await;
    let backend = accepted(place.path()).await;
    assert_eq!(read(&backend, "k").await.unwrap(), "value 3");
}

#[tokio::test]
async fn what_git_may_remove_is_not_missed() {
    let place = six_records().await;
    for name in ["state", "lock", "waiting"] {
        drop(fs::remove_file(place.path().join(".journal").join(name)));
    }
    drop(fs::remove_dir_all(place.path().join(".journal/staging")));
    let backend = opened(place.path()).await.unwrap();
    assert_eq!(read(&backend, "k").await.unwrap(), "value 3");
    assert_eq!(read(&backend, "other3").await.unwrap(), "x");
}

#[tokio::test]
async fn a_missing_kept_value_is_damage() {
    let place = tempfile::tempdir().unwrap();
    let backend = opened(place.path()).await.unwrap();
    write_through(&backend, put("large", "small")).await;
    write(&backend, put("large", &"x".repeat(300_000))).await;
    fs::remove_dir_all(place.path().join(".journal/values")).unwrap();
    let again = opened(place.path()).await.unwrap();
    assert_eq!(again.get(&key("large")).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_state_removed_under_a_handle_is_written_again() {
    let place = six_records().await;
    let one = opened(place.path()).await.unwrap();
    let two = opened(place.path()).await.unwrap();
    for backend in [&one, &two] {
        fs::remove_file(place.path().join(".journal/state")).unwrap();
        assert_eq!(read(backend, "k").await.unwrap(), "value 3");
    }
    write(&two, put("k", "value 4")).await;
    assert_eq!(read(&one, "k").await.unwrap(), "value 4");
}

#[tokio::test]
async fn a_journal_removed_under_a_handle_is_written_again() {
    let place = six_records().await;
    let backend = opened(place.path()).await.unwrap();
    write(&backend, put("k", "value 4")).await;
    fs::remove_file(journal(place.path())).unwrap();
    write(&backend, put("other4", "x")).await;
    let again = opened(place.path()).await.unwrap();
    assert_eq!(read(&again, "k").await.unwrap(), "value 4");
    assert_eq!(read(&again, "other3").await.unwrap(), "x");
}

#[tokio::test]
async fn a_close_writes_what_a_removed_journal_held() {
    for cut in [false, true] {
        let place = six_records().await;
        let backend = opened(place.path()).await.unwrap();
        write(&backend, put("k", "value 4")).await;
        match cut {
            true => fs::File::options().write(true).open(journal(place.path())).unwrap().set_len(0).unwrap(),
            false => fs::remove_file(journal(place.path())).unwrap(),
        }
        assert_eq!(backend.waiting().await.unwrap(), []);
        backend.close().await.unwrap();
        assert_eq!(fs::read_to_string(place.path().join("k")).unwrap(), "value 4", "{cut}");
        assert_eq!(fs::read_to_string(place.path().join("other3")).unwrap(), "x");
        assert_eq!(unfinished(place.path()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_folder_of_ours_removed_under_a_handle_is_told() {
    let place = six_records().await;
    let backend = opened(place.path()).await.unwrap();
    assert_eq!(read(&backend, "k").await.unwrap(), "value 3");
    fs::remove_dir_all(place.path().join(".journal")).unwrap();
    for _ in 0..2 {
        let error = backend.get(&key("k")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
        let error = backend.commit(one(put("k", "value 4"))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
        // A commit was tried, so a close that does not bring the folder to rest is an error.
        let error = backend.close().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
        let error = backend.waiting().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
    }
    let again = opened(place.path()).await.unwrap();
    assert_eq!(read(&again, "k").await.unwrap(), "in its file");
}

#[tokio::test]
async fn an_immutable_object_whose_value_is_damaged_is_not_there() {
    for is_cut in [false, true] {
        let place = tempfile::tempdir().unwrap();
        let backend = opened(place.path()).await.unwrap();
        let chunk = || put("k", &"x".repeat(300_000)).immutable();
        write(&backend, chunk()).await;
        write(&backend, chunk()).await;
        match is_cut {
            true => {
                let file =
                    fs::read_dir(place.path().join(".journal/values")).unwrap().next().unwrap().unwrap();
                fs::File::options().write(true).open(file.path()).unwrap().set_len(1_000).unwrap();
            }
            false => fs::remove_dir_all(place.path().join(".journal/values")).unwrap(),
        }
        let error = backend.commit(one(chunk())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

#[tokio::test]
async fn a_range_of_a_value_that_was_cut_is_no_shorter_range() {
    let place = tempfile::tempdir().unwrap();
    let backend = opened(place.path()).await.unwrap();
    write(&backend, put("k", &"x".repeat(300_000))).await;
    let values = fs::read_dir(place.path().join(".journal/values")).unwrap();
    for file in values {
        fs::File::options().write(true).open(file.unwrap().path()).unwrap().set_len(1_000).unwrap();
    }
    assert_eq!(backend.get_range(&key("k"), 0..1_000).await.unwrap().unwrap().size, 300_000);
    for range in [0..1_001, 999..1_001, 5_000..6_000] {
        let error = backend.get_range(&key("k"), range).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}
