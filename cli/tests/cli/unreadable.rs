//! Files and folders that a user may not read: they are named, and everything else goes on.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
};

use crate::support::{
    Place,
    user::{place_of_user, run},
};

/// A store with the workflows `a` and `b`.
fn store() -> Place {
    let place = place_of_user();
    run(&place, ["init"]).succeeds();
    for id in ["a", "b"] {
        run(&place, ["save", id, "v1.json"]).succeeds();
    }
    place
}

fn answers_with_damage(place: &Place, command: &str, words: &str) {
    let ran = run(place, command.split(' '));
    assert_eq!(ran.code(), 14, "{command}: {}", ran.err());
    assert!(ran.out().contains(words), "{command}: {}", ran.out());
}

fn close(place: &Place, name: &str) {
    fs::set_permissions(place.path().join(name), Permissions::from_mode(0o0)).unwrap();
}

#[test]
fn a_head_that_may_not_be_read_is_part_of_every_answer() {
    let place = store();
    close(&place, ".pflow/workflows/a/metadata.json");
    let denied = "workflows/a/metadata.json: Permission denied";
    for command in ["list", "search text", "status", "lock list", "verify"] {
        answers_with_damage(&place, command, denied);
    }
    run(&place, ["load", "b"]).succeeds();
    run(&place, ["save", "b", "v2.json"]).succeeds();
    run(&place, ["load", "a"]).fails(1, denied);
    answers_with_damage(&place, "verify", "`chmod u+r <store>/workflows/a/metadata.json`");
    // An index without this workflow would hide it from users who may read it.
    run(&place, ["reindex"]).fails(1, denied);
    answers_with_damage(&place, "list", "\nb ");
}

#[test]
fn a_version_that_may_not_be_read_does_not_stop_verification() {
    let place = store();
    run(&place, ["save", "a", "v2.json"]).succeeds();
    let versions = place.path().join(".pflow/versions/a");
    let first = fs::read_dir(versions).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    fs::set_permissions(first, Permissions::from_mode(0o0)).unwrap();
    answers_with_damage(&place, "verify", "Permission denied");
    answers_with_damage(&place, "verify", "2 workflows");
}

#[test]
fn a_foreign_folder_that_may_not_be_entered_is_named() {
    let place = store();
    for name in ["lost+found", "private"] {
        fs::create_dir(place.path().join(".pflow").join(name)).unwrap();
        close(&place, &format!(".pflow/{name}"));
    }
    let notice = "private: cannot be looked into: Permission denied";
    for command in ["status", "verify"] {
        let ran = run(&place, [command]).succeeds();
        assert!(ran.out().contains(notice) && !ran.out().contains("lost+found"), "{}", ran.out());
    }
}

#[test]
fn a_link_in_the_place_of_the_lock_s_file_stops_nothing() {
    let place = store();
    symlink("elsewhere", place.path().join(".pflow/workflows/a/workflow.lock")).unwrap();
    let verified = run(&place, ["verify"]).succeeds();
    assert!(verified.out().contains("it is left alone, and the head decides"), "{}", verified.out());
    let acquired = run(&place, ["lock", "acquire", "a", "--json"]).succeeds().json();
    let lease = acquired["lease_id"].as_str().unwrap();
    let shown = run(&place, ["lock", "show", "a"]).succeeds();
    assert!(shown.out().contains("cannot be read and is left alone"), "{}", shown.out());
    run(&place, ["save", "a", "v2.json", "--lease", lease]).succeeds();
    run(&place, ["lock", "release", "a", lease]).succeeds();
    assert!(place.path().join(".pflow/workflows/a/workflow.lock").is_symlink());
}
