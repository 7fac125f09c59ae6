//! Each place of a folder has an id of its own, on a real file system.

use std::{fs, path::Path, process::Command};

use crate::common::*;
use pflow_backend::{ErrorKind, StorageBackend};
use pflow_backend_fs::{FsBackend, FsOptions};
use tempfile::TempDir;

const INSTANCE: &str = ".journal/instance";

async fn opened(place: &Path) -> FsBackend {
    FsOptions::new().follow(false).create(place, system()).await.unwrap()
}

async fn instance(place: &Path) -> Option<String> {
    opened(place).await.instance().await.unwrap()
}

/// Copies a folder as `cp` does with these options.
fn copy(options: &[&str], from: &Path, to: &Path) {
    assert!(Command::new("cp").args(options).args([from, to]).status().unwrap().success());
}

/// A folder `original` at rest, with the id of its place.
async fn original() -> (TempDir, std::path::PathBuf, String) {
    let above = tempfile::tempdir().unwrap();
    let place = above.path().join("original");
    let backend = opened(&place).await;
    assert_eq!(backend.instance().await.unwrap(), None, "nothing was committed yet");
    write_through(&backend, put("k", "1")).await;
    let id = backend.instance().await.unwrap().unwrap();
    (above, place, id)
}

#[tokio::test]
async fn a_folder_keeps_its_id_where_it_is_moved_and_not_where_it_is_copied() {
    let (above, place, id) = original().await;
    let moved = above.path().join("moved");
    fs::rename(&place, &moved).unwrap();
    assert_eq!(instance(&moved).await.as_ref(), Some(&id));
    // With times and owners kept, and by hard links: files of both folders are the same then.
    for options in [&["-r"][..], &["-a"], &["-al"]] {
        let copied = above.path().join(format!("copied{}", options.concat()));
        copy(options, &moved, &copied);
        assert_eq!(instance(&copied).await, None, "{options:?}: nothing was committed here yet");
        write_through(&opened(&copied).await, put("k", "2")).await;
        let other = instance(&copied).await.unwrap();
        assert_ne!(other, id, "{options:?}");
        assert_eq!(read(&opened(&copied).await, "k").await.unwrap(), "2");
        assert_eq!(instance(&copied).await, Some(other), "{options:?}");
        let moved = opened(&moved).await;
        assert_eq!(read(&moved, "k").await.unwrap(), "1", "{options:?}");
        write_through(&moved, put("k", "1")).await;
        assert_eq!(moved.instance().await.unwrap().as_ref(), Some(&id), "{options:?}");
    }
}

#[tokio::test]
async fn a_backup_that_is_put_back_is_another_place() {
    let (above, place, id) = original().await;
    let backup = above.path().join("backup");
    copy(&["-a"], &place, &backup);
    // Under a handle that was open all the time: a new file has the name of the id's file, as `rsync` does it.
    let backend = opened(&place).await;
    write_through(&backend, put("k", "2")).await;
    fs::copy(backup.join(INSTANCE), place.join("instance.restored")).unwrap();
    fs::rename(place.join("instance.restored"), place.join(INSTANCE)).unwrap();
    assert_eq!(backend.instance().await.unwrap(), None);
    write_through(&backend, put("k", "3")).await;
    let restored = backend.instance().await.unwrap().unwrap();
    assert_ne!(restored, id);
    // The whole folder.
    fs::remove_dir_all(&place).unwrap();
    copy(&["-a"], &backup, &place);
    let backend = opened(&place).await;
    assert_eq!(read(&backend, "k").await.unwrap(), "1");
    write_through(&backend, put("k", "4")).await;
    let again = backend.instance().await.unwrap().unwrap();
    assert!(again != id && again != restored);
}

#[tokio::test]
async fn an_id_that_is_removed_under_a_handle_comes_back() {
    let (_above, place, id) = original().await;
    let backend = opened(&place).await;
    write(&backend, put("k", "2")).await;
    fs::remove_file(place.join(INSTANCE)).unwrap();
    assert_eq!(backend.instance().await.unwrap(), None);
    write(&backend, put("k", "3")).await;
    assert_eq!(backend.instance().await.unwrap().as_ref(), Some(&id));
    assert_eq!(instance(&place).await.as_ref(), Some(&id));
    // No handle and no file has the id any more.
    backend.close().await.unwrap();
    drop(backend);
    fs::remove_file(place.join(INSTANCE)).unwrap();
    write(&opened(&place).await, put("k", "4")).await;
    let other = instance(&place).await.unwrap();
    assert_ne!(other, id);
    assert_eq!(read(&opened(&place).await, "k").await.unwrap(), "4");
}

#[tokio::test]
async fn a_damaged_journal_is_an_error_at_its_place_and_read_as_far_as_it_goes_in_a_copy() {
    let (above, place, id) = original().await;
    let backend = opened(&place).await;
    for number in 2..=4 {
        write(&backend, put("k", &number.to_string())).await;
    }
    drop(backend);
    let journal = fs::File::options().write(true).open(place.join(".journal/journal")).unwrap();
    journal.set_len(4_096 + 300).unwrap();
    let damaged = fs::read(place.join(".journal/journal")).unwrap();
    for without_id in [false, true] {
        let refused = FsOptions::new().open(&place, system()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "the own journal, without its id: {without_id}");
        if !without_id {
            let copied = above.path().join("copied");
            copy(&["-r"], &place, &copied);
            let copied_backend = opened(&copied).await;
            assert_eq!(read(&copied_backend, "k").await.unwrap(), "2");
            let lost = copied_backend.lost_tail().unwrap();
            assert_eq!((lost.first, lost.last), (2, Some(3)));
            let quarantine = fs::read_dir(copied.join(".journal/quarantine")).unwrap();
            let kept: Vec<_> = quarantine.map(|it| fs::read(it.unwrap().path()).unwrap()).collect();
            assert_eq!(kept, [damaged.as_slice()]);
            write_through(&copied_backend, put("k", "5")).await;
            assert_ne!(copied_backend.instance().await.unwrap().unwrap(), id);
            // From here on it is as strict as any place.
            write(&copied_backend, put("k", "6")).await;
            write(&copied_backend, put("k", "7")).await;
            drop(copied_backend);
            let own = fs::File::options().write(true).open(copied.join(".journal/journal")).unwrap();
            own.set_len(4_096 + 300).unwrap();
            let refused = FsOptions::new().open(&copied, system()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Corrupt);
        }
        drop(fs::remove_file(place.join(INSTANCE)));
    }
}
