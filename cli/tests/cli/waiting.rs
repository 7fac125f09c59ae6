//! A file that cannot be written: the save says so, `status` and `verify` list it, and nothing is lost.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::Command,
};

use crate::support::{
    Place, Ran, document,
    user::{GROUP, OTHER, USER, is_root, place_of_user, run, run_as},
};

/// A store of that user with a workflow, whose folder may not be written to, and a version that it should
/// have got.
fn store_with_a_locked_folder() -> Place {
    let place = place_of_user();
    run(&place, ["init"]).succeeds();
    run(&place, ["save", "plan", "v1.json"]).succeeds();
    let folder = place.path().join(".pflow/workflows/plan");
    for name in ["metadata.json", "workflow.json"] {
        fs::set_permissions(folder.join(name), Permissions::from_mode(0o444)).unwrap();
    }
    fs::set_permissions(folder, Permissions::from_mode(0o555)).unwrap();
    place
}

#[test]
fn a_save_that_reaches_no_file_says_so_even_when_quiet() {
    let place = store_with_a_locked_folder();
    let folder = place.path().join(".pflow/workflows/plan");
    let saved = run(&place, ["-q", "save", "plan", "v2.json"]).succeeds();
    for words in [
        "warning: workflows/plan/metadata.json is saved, but only in the store's journal: Failed to",
        "warning: workflows/plan/workflow.json is saved, but only in the store's journal: Failed to",
        "Permission denied",
        &format!("run `chmod u+rwX {}`", folder.display()),
        "do not delete `.journal`",
    ] {
        assert!(saved.err().contains(words), "{words:?} is not in: {}", saved.err());
    }
    assert!(run(&place, ["load", "plan"]).succeeds().out().contains("version 2"));
    assert!(fs::read_to_string(folder.join("workflow.json")).unwrap().contains("version 1"));

    let status = run(&place, ["status", "--json"]).succeeds().json();
    let waiting = status["waiting"].as_array().unwrap();
    let keys: Vec<_> = waiting.iter().map(|it| it["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["workflows/plan/metadata.json", "workflows/plan/workflow.json"]);
    assert!(waiting[0]["reason"].as_str().unwrap().contains("Permission denied"));
    assert!(
        run(&place, ["status"])
            .succeeds()
            .out()
            .contains("only in journal    workflows/plan/metadata.json: ")
    );
    let verified = run(&place, ["verify"]).succeeds();
    assert!(
        verified.out().contains("NOTICE  workflows/plan/metadata.json: only the journal has"),
        "{}",
        verified.out()
    );

    // A reader is not warned.
    assert_eq!(run(&place, ["list"]).succeeds().err(), "");
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(run(&place, ["save", "plan", "v3.json"]).succeeds().err(), "");
    assert!(fs::read_to_string(folder.join("workflow.json")).unwrap().contains("version 3"));
    assert_eq!(run(&place, ["status", "--json"]).succeeds().json()["waiting"].as_array().unwrap().len(), 0);
    assert_eq!(fs::metadata(place.path().join(".pflow/.journal/journal")).unwrap().len(), 0);
}

#[test]
fn a_locked_folder_of_one_workflow_stops_no_other_one() {
    let place = store_with_a_locked_folder();
    run(&place, ["-q", "save", "plan", "v2.json"]).succeeds();
    let other = run(&place, ["save", "other", "v1.json"]).succeeds();
    assert!(other.err().contains("workflows/plan/metadata.json"), "it is told as long as it lasts");
    assert!(place.path().join(".pflow/workflows/other/workflow.json").is_file());
    assert!(run(&place, ["load", "plan"]).succeeds().out().contains("version 2"));
    fs::set_permissions(place.path().join(".pflow/workflows/plan"), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn files_of_another_user_are_named_with_the_command_that_helps() {
    if !is_root() {
        eprintln!("files_of_another_user_are_named_with_the_command_that_helps: skipped, it needs root");
        return;
    }
    let place = place_of_user();
    run(&place, ["init"]).succeeds();
    // Once, by mistake.
    place.run(["save", "plan", "v1.json"]).succeeds();
    let saved = run(&place, ["-q", "save", "plan", "v2.json"]).succeeds();
    let store = place.path().join(".pflow");
    let command = format!("sudo chown -R {USER}:{GROUP} {}", store.join("versions").display());
    assert!(saved.err().contains(&command), "{command} is not in: {}", saved.err());
    for _ in 0..2 {
        let keys = run(&place, ["status", "--json"]).succeeds().json();
        // The version, its record, the head and the copy: a file of another user is not written over either.
        assert_eq!(keys["waiting"].as_array().unwrap().len(), 4, "{keys}");
        assert!(run(&place, ["load", "plan"]).succeeds().out().contains("version 2"));
    }
    assert!(
        Command::new("chown")
            .arg("-R")
            .arg(format!("{USER}:{GROUP}"))
            .arg(&store)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(run(&place, ["save", "plan", "v3.json"]).succeeds().err(), "");
    assert!(fs::read_to_string(store.join("workflows/plan/workflow.json")).unwrap().contains("version 3"));
}

/// Returns the files below a folder that do not belong to the group, or that the group may not write.
fn unshared(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let meta = entry.metadata().unwrap();
        let needed = if meta.is_dir() { 0o2_070 } else { 0o060 };
        if meta.gid() != GROUP || meta.mode() & needed != needed {
            found.push(format!("{} {:o} {}", entry.path().display(), meta.mode(), meta.gid()));
        }
        if meta.is_dir() {
            found.extend(unshared(&entry.path()));
        }
    }
    found
}

#[test]
fn two_users_of_a_group_share_a_store() {
    if !is_root() {
        eprintln!("two_users_of_a_group_share_a_store: skipped, it needs root");
        return;
    }
    let place = place_of_user();
    let store = place.path().join(".pflow");
    fs::create_dir(&store).unwrap();
    chown(&store, Some(USER), Some(GROUP)).unwrap();
    fs::set_permissions(&store, Permissions::from_mode(0o2_770)).unwrap();
    run_as(&place, USER, ["init"]).succeeds();
    for (user, file) in [(USER, "v1.json"), (OTHER, "v2.json"), (USER, "v3.json"), (OTHER, "v1.json")] {
        let saved = run_as(&place, user, ["save", "plan", file]).succeeds();
        assert_eq!(saved.err(), "", "{user}");
        assert_eq!(unshared(&store), Vec::<String>::new(), "{user}");
    }
    let status = run_as(&place, USER, ["status", "--json"]).succeeds().json();
    assert_eq!(status["waiting"].as_array().unwrap().len(), 0);
}

#[test]
fn limits_of_the_process_are_named_as_what_they_are() {
    let place = Place::with_store();
    place.file("v.json", document(&"x".repeat(400_000)));
    let limited = |limit: &str, args: &str| {
        let program = crate::support::PROGRAM;
        let mut command = place.command(["-c", &format!("ulimit {limit}; exec {program} {args}")]);
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        command = Command::new("/bin/sh");
        command.args(arguments).current_dir(place.path()).env_clear();
        Ran::of(&mut command)
    };
    // In blocks of 512 bytes.
    let too_large = limited("-f 200", "save plan v.json").fails(1, "File too large");
    assert!(
        too_large.err().contains("hint: raise the limit of the file size with `ulimit -f unlimited`"),
        "{}",
        too_large.err()
    );
    let too_many = limited("-n 12", "list").fails(1, "Too many open files");
    assert!(too_many.err().contains("`ulimit -n`"), "{}", too_many.err());
    place.run(["save", "plan", "v.json"]).succeeds();
}
