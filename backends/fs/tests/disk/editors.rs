//! What a person writes to a copy is kept, however their editor writes it.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    sync::Arc,
};

use crate::common::*;
use pflow_backend::{ManualEnvironment, Operation, StorageBackend};
use pflow_backend_fs::{FsBackend, FsOptions};

fn copy(bytes: &str) -> Operation {
    put("w/copy", bytes).copy()
}

async fn quiet(place: &Path) -> FsBackend {
    FsOptions::new().follow(false).open(place, Arc::new(ManualEnvironment::new(1))).await.unwrap()
}

fn quarantined(place: &Path) -> Vec<String> {
    let files = fs::read_dir(place.join(".journal/quarantine")).into_iter().flatten();
    let mut texts: Vec<_> = files.map(|it| fs::read_to_string(it.unwrap().path()).unwrap()).collect();
    texts.sort();
    texts
}

fn staged(place: &Path) -> usize {
    fs::read_dir(place.join(".journal/staging")).into_iter().flatten().count()
}

/// A folder with version 1 in the file and version 2 in the journal.
async fn two_versions() -> (tempfile::TempDir, FsBackend) {
    let place = tempfile::tempdir().unwrap();
    let backend = quiet(place.path()).await;
    write_through(&backend, copy("version 1")).await;
    write(&backend, copy("version 2")).await;
    (place, backend)
}

#[tokio::test]
async fn a_write_to_a_file_that_was_exchanged_meanwhile_is_kept() {
    let (place, backend) = two_versions().await;
    let mut editor = OpenOptions::new().write(true).open(place.path().join("w/copy")).unwrap();
    backend.close().await.unwrap();
    assert_eq!(fs::read_to_string(place.path().join("w/copy")).unwrap(), "version 2");
    editor.write_all(b"a person's work").unwrap();
    drop(editor);
    // Whoever comes next finds it.
    let other = quiet(place.path()).await;
    other.close().await.unwrap();
    assert_eq!(quarantined(place.path()), ["a person's work"]);
    assert_eq!(read(&other, "w/copy").await.unwrap(), "version 2");
    assert_eq!(staged(place.path()), 0);
}

#[tokio::test]
async fn a_write_to_a_file_that_was_deleted_meanwhile_is_kept() {
    let (place, backend) = two_versions().await;
    backend.close().await.unwrap();
    write(&backend, Operation::delete(key("w/copy"))).await;
    let mut editor = OpenOptions::new().append(true).open(place.path().join("w/copy")).unwrap();
    backend.close().await.unwrap();
    assert!(!place.path().join("w/copy").exists());
    editor.write_all(b" and more").unwrap();
    backend.close().await.unwrap();
    assert_eq!(quarantined(place.path()), ["version 2 and more"]);
    assert_eq!(read(&backend, "w/copy").await, None);
}

#[tokio::test]
async fn a_file_that_nobody_wrote_to_is_removed_at_the_next_checkpoint() {
    let (place, backend) = two_versions().await;
    backend.close().await.unwrap();
    assert_eq!(staged(place.path()), 1, "an editor may have it open");
    backend.close().await.unwrap();
    assert_eq!((staged(place.path()), quarantined(place.path())), (0, Vec::new()));
    assert!(!place.path().join(".journal/staging").exists());
}

#[tokio::test]
async fn an_editor_that_truncates_first_keeps_its_file() {
    let (place, backend) = two_versions().await;
    let mut editor = File::create(place.path().join("w/copy")).unwrap();
    assert_eq!(read(&backend, "w/copy").await.unwrap(), "", "an edit, not what a crash left");
    backend.close().await.unwrap();
    editor.write_all(b"a person's work").unwrap();
    drop(editor);
    assert_eq!(read(&backend, "w/copy").await.unwrap(), "a person's work");
    backend.close().await.unwrap();
    assert_eq!(fs::read_to_string(place.path().join("w/copy")).unwrap(), "a person's work");
}

#[tokio::test]
async fn a_copy_that_a_person_shortens_stays_as_it_is() {
    for shortened in ["version", "v", "", "\0\0\0"] {
        let (place, backend) = two_versions().await;
        fs::write(place.path().join("w/copy"), shortened).unwrap();
        assert_eq!(read(&backend, "w/copy").await.unwrap(), shortened);
        assert_eq!(names(&backend, "w", None).await, ["w/copy"]);
        backend.close().await.unwrap();
        assert_eq!(fs::read_to_string(place.path().join("w/copy")).unwrap(), shortened);
        let other = quiet(place.path()).await;
        assert_eq!(read(&other, "w/copy").await.unwrap(), shortened);
    }
}

#[tokio::test]
async fn after_a_crash_the_beginning_of_a_copy_goes_to_quarantine() {
    for (remnant, kept) in [("version", vec!["version"]), ("", vec![]), ("\0\0\0", vec![])] {
        let (place, backend) = two_versions().await;
        drop(backend);
        fs::write(place.path().join("w/copy"), remnant).unwrap();
        // It finds work in the journal, so the machine may have crashed.
        let other = quiet(place.path()).await;
        assert_eq!(read(&other, "w/copy").await.unwrap(), "version 2");
        write(&other, put("more", "x")).await;
        other.close().await.unwrap();
        assert_eq!(fs::read_to_string(place.path().join("w/copy")).unwrap(), "version 2");
        // The next checkpoint removes what was taken out and did not change.
        other.close().await.unwrap();
        assert_eq!(quarantined(place.path()), kept, "{remnant:?}");
        assert_eq!(staged(place.path()), 0);
    }
}

#[tokio::test]
async fn after_a_crash_a_deletion_keeps_the_beginning_of_a_copy() {
    let (place, backend) = two_versions().await;
    drop(backend);
    let other = quiet(place.path()).await;
    write(&other, Operation::delete(key("w/copy"))).await;
    fs::write(place.path().join("w/copy"), "version").unwrap();
    other.close().await.unwrap();
    other.close().await.unwrap();
    assert!(!place.path().join("w/copy").exists());
    assert_eq!(quarantined(place.path()), ["version"]);
}

#[tokio::test]
async fn a_handle_that_saw_the_journal_end_keeps_a_shortened_copy() {
    let (place, backend) = two_versions().await;
    // It finds work in the journal, and another handle ends that.
    let late = quiet(place.path()).await;
    backend.close().await.unwrap();
    assert_eq!(read(&late, "w/copy").await.unwrap(), "version 2");
    write(&backend, copy("version 3")).await;
    fs::write(place.path().join("w/copy"), "version").unwrap();
    assert_eq!(read(&late, "w/copy").await.unwrap(), "version", "an edit, not what a crash left");
}

#[tokio::test]
async fn a_handle_that_sees_the_next_epoch_keeps_a_shortened_copy() {
    let place = tempfile::tempdir().unwrap();
    let options = || FsOptions::new().follow(false).journal_limit(1);
    let open = || options().open(place.path(), Arc::new(ManualEnvironment::new(1)));
    let backend = open().await.unwrap();
    write(&backend, copy("version 1")).await;
    let late = open().await.unwrap();
    // The journal is full, so that each commit ends the epoch and begins the next one.
    write(&backend, copy("version 2")).await;
    fs::write(place.path().join("w/copy"), "version").unwrap();
    assert_eq!(read(&late, "w/copy").await.unwrap(), "version", "an edit, not what a crash left");
}
