//! The messages about a journal that lost saved records, and which files of a store git may track.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use crate::support::{PROGRAM, Place, document};
use pflow_store::fs::FsOptions;
use pflow_store::{Expect, SaveRequest, Store, backend::SystemEnvironment};

/// Saves in a process that is killed afterwards, so that only the journal has the save.
fn save_and_die(place: &Place, text: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let environment = Arc::new(SystemEnvironment::new().unwrap());
        let options = FsOptions::new().follow(false);
        let backend = options.open(place.path().join(".pflow"), environment).await.unwrap();
        let store = Store::on(Arc::new(backend)).open().await.unwrap();
        let request = SaveRequest::new("w".parse().unwrap(), document(text), Expect::Any);
        store.save(request).await.unwrap();
    });
}

fn journal(place: &Place) -> PathBuf {
    place.path().join(".pflow/.journal/journal")
}

/// Version 1 at rest, version 2 in the journal alone.
fn place() -> Place {
    let place = Place::with_store();
    place.save("w", "one").succeeds();
    save_and_die(&place, "two");
    place
}

fn damage(place: &Place) {
    let mut bytes = fs::read(journal(place)).unwrap();
    bytes[4096 + 200] ^= 1;
    fs::write(journal(place), bytes).unwrap();
}

/// Git in a folder, if it is there.
fn git(folder: &Path, args: &[&str]) -> bool {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=t", "-c", "user.email=t@t"]).args(args).current_dir(folder);
    command.output().is_ok_and(|ran| ran.status.success())
}

#[test]
fn a_damaged_journal_is_refused_until_its_tail_is_accepted() {
    let place = place();
    damage(&place);
    for args in [&["load", "w"][..], &["verify"], &["status"], &["list"]] {
        let refused = place.run(args).fails(14, "record 1 of epoch");
        assert!(refused.err().contains("verify --repair --accept-tail"), "{}", refused.err());
    }
    place.save("w", "three").fails(14, "cannot be read although committed");
    let json = place.run(["load", "w", "--json"]).json_error();
    assert!(json["hint"].as_str().unwrap().contains("--accept-tail"), "{json}");

    let before = fs::read(journal(&place)).unwrap();
    let planned = place.run(["verify", "--repair", "--accept-tail", "-n"]);
    assert_eq!(planned.code(), 14, "nothing is given up yet");
    assert!(planned.out().starts_with("TAIL    would be given up: record 1 of epoch "), "{}", planned.out());
    let json = place.run(["verify", "--repair", "--accept-tail", "-n", "-y", "--json"]).json();
    assert!(json["would_give_up"].as_str().unwrap().starts_with("record 1 of epoch "), "{json}");
    place.run(["verify", "--repair", "--accept-tail"]).fails(2, "--yes");
    if Command::new("script").arg("--version").output().is_ok() {
        let line = format!("printf 'n\\n' | script -qec '{PROGRAM} verify --repair --accept-tail' /dev/null");
        let asked = Command::new("sh").args(["-c", &line]).current_dir(place.path()).output().unwrap();
        let asked = String::from_utf8_lossy(&asked.stdout).into_owned();
        assert!(
            asked.contains("Permanently give up what cannot be read?") && asked.contains("left as it is"),
            "{asked}"
        );
    }
    assert_eq!(fs::read(journal(&place)).unwrap(), before);
    place.run(["load", "w"]).fails(14, "record 1 of epoch");

    let mended = place.run(["verify", "--repair", "--accept-tail", "-y"]).succeeds();
    let first = mended.out().lines().next().unwrap().to_owned();
    assert!(first.starts_with("NOTICE  .journal/journal: given up: record 1 of epoch "), "{first}");
    assert!(mended.out().ends_with("sound: 1 workflows, 1 versions\n"), "{}", mended.out());
    assert_eq!(place.run(["load", "w"]).succeeds().out(), document("one"));
    assert_eq!(place.run(["verify"]).succeeds().out(), "sound: 1 workflows, 1 versions\n");
    assert_eq!(fs::read_dir(place.path().join(".pflow/.journal/quarantine")).unwrap().count(), 1);
}

#[test]
fn accepting_the_tail_of_a_sound_store_changes_nothing() {
    let place = place();
    let found = place.run(["verify", "--repair", "--accept-tail"]).succeeds();
    assert_eq!(found.out(), "sound: 1 workflows, 2 versions\n");
    assert_eq!(place.run(["load", "w"]).succeeds().out(), document("two"));
    let planned = place.run(["verify", "--repair", "--accept-tail", "-n"]).succeeds();
    assert_eq!(planned.out(), "sound: 1 workflows, 2 versions\n");
    place.run(["verify", "--accept-tail"]).fails(2, "--repair");
}

#[test]
fn a_journal_that_was_removed_is_noticed() {
    for without in [true, false] {
        let place = place();
        match without {
            true => fs::remove_file(journal(&place)).unwrap(),
            false => fs::write(journal(&place), "").unwrap(),
        }
        place.run(["load", "w"]).fails(14, "record 1 of epoch");
        place.run(["verify"]).fails(14, "record 1 of epoch");
    }
}

#[test]
fn git_clean_takes_no_save() {
    let place = Place::with_store();
    place.save("w", "one").succeeds();
    if !git(place.path(), &["init", "-q"]) {
        println!("skipped: there is no git");
        return;
    }
    assert!(git(place.path(), &["add", "-A"]) && git(place.path(), &["commit", "-qm", "one"]));
    save_and_die(&place, "two");
    assert!(git(place.path(), &["clean", "-qfdX"]));
    assert_eq!(place.run(["load", "w"]).succeeds().out(), document("two"));
    assert_eq!(place.run(["verify"]).succeeds().out(), "sound: 1 workflows, 2 versions\n");

    for name in ["journal", "values/x", "quarantine/x"] {
        assert!(!git(place.path(), &["check-ignore", "-q", &format!(".pflow/.journal/{name}")]), "{name}");
    }
    // At rest git sees what was saved, and nothing of the journal.
    let status =
        Command::new("git").args(["status", "--porcelain"]).current_dir(place.path()).output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("workflow.json") && !status.contains(".journal"), "{status}");
}
