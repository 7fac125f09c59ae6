//! `delete` and `undelete`.

use std::process::Command;

use crate::support::{PROGRAM, Place, Ran, document};

#[test]
fn a_deleted_workflow_is_gone_and_comes_back() {
    let place = Place::with_store();
    place.save("a", "one").succeeds();
    let deleted = place.run(["delete", "a", "-y", "-m", "old"]).succeeds();
    assert_eq!(deleted.out(), "a: generation 2 (deleted)\n");
    assert!(deleted.err().contains("`undelete a` brings it back"), "{}", deleted.err());
    let refused = place.run(["load", "a"]).fails(10, "it is deleted");
    assert!(refused.err().contains("hint: bring it back with `undelete a`"), "{}", refused.err());
    assert_eq!(place.run(["show", "a", "--json"]).succeeds().json()["deleted"], true);
    assert!(place.run(["show", "a"]).succeeds().out().contains("deleted; `undelete a`"));
    let again = place.run(["delete", "a", "-y", "--json"]).succeeds().json();
    assert_eq!((&again["unchanged"], &again["hash"]), (&true.into(), &serde_json::Value::Null));
    let back = place.run(["undelete", "a", "--json"]).succeeds().json();
    assert_eq!((&back["generation"], &back["unchanged"]), (&3.into(), &false.into()));
    assert_eq!(place.run(["load", "a"]).succeeds().out(), document("one"));
    assert_eq!(place.run(["undelete", "a"]).succeeds().out(), "a: unchanged at generation 3\n");
    place.run(["delete", "b", "-y"]).fails(10, "there is no workflow b");
    place.run(["undelete", "b"]).fails(10, "there is no workflow b");
}

#[test]
fn off_a_terminal_a_deletion_needs_to_be_told_twice() {
    let place = Place::with_store();
    place.save("a", "one").succeeds();
    let before = place.dump();
    place.run(["delete", "a"]).fails(2, "--yes");
    assert_eq!(place.run(["delete", "a", "--json"]).json_error()["code"], "usage");
    place.run_with_input(["delete", "a"], "y\n").fails(2, "--yes");
    place.run(["delete", "b"]).fails(10, "there is no workflow b");
    place.is_as(&before);
}

#[test]
fn a_dry_run_says_what_would_happen_and_changes_nothing() {
    let place = Place::with_store();
    place.save("a", "one").succeeds();
    let before = place.dump();
    let said = place.run(["delete", "a", "-n"]).succeeds().out();
    assert!(said.contains("would be deleted by a generation 2"), "{said}");
    place.run(["delete", "a", "-n", "--if-generation", "7"]).fails(13, "expected 7");
    place.run(["delete", "a", "-n", "--lease", "lost"]).fails(11, "lost");
    let json = place.run(["delete", "a", "-n", "-y", "--json"]).succeeds().json();
    assert_eq!((&json["dry_run"], &json["generation"]), (&true.into(), &1.into()));
    place.is_as(&before);
    place.run(["lock", "acquire", "a"]).succeeds();
    place.run(["delete", "a", "-n"]).fails(11, "a is locked by");
    place.run(["delete", "a", "-y"]).fails(11, "a is locked by");
}

#[test]
fn a_deletion_can_be_tied_to_a_generation_and_a_lease() {
    let place = Place::with_store();
    place.save("a", "one").succeeds();
    place.run(["delete", "a", "-y", "--if-generation", "2"]).fails(13, "a is at generation 1, expected 2");
    place.run(["lock", "acquire", "a", "--lease-id", "mine"]).succeeds();
    place.run(["delete", "a", "-y"]).fails(11, "a is locked by");
    place.run(["delete", "a", "-y", "--lease", "mine", "--if-generation", "1"]).succeeds();
    place.run(["undelete", "a"]).fails(11, "a is locked by");
    place.run(["undelete", "a", "--lease", "mine", "--if-generation", "9"]).fails(13, "expected 9");
    place.run(["undelete", "a", "--lease", "mine", "--if-generation", "2"]).succeeds();
}

/// `script` (util-linux) gives the program a terminal.
#[test]
fn on_a_terminal_a_deletion_asks() {
    let place = Place::with_store();
    place.save("a", "one").succeeds();
    let ask = |answer: &str| {
        let line = format!("printf '{answer}\\n' | script -qec '{PROGRAM} delete a' /dev/null");
        Ran::of(Command::new("sh").args(["-c", &line]).current_dir(place.path()))
    };
    if Command::new("script").arg("--version").output().is_err() {
        println!("skipped: there is no `script`");
        return;
    }
    let asked = ask("n");
    assert!(asked.out().contains("Delete a (generation 1, \"one\")?"), "{asked:?}");
    assert!(asked.out().contains("left as it is"), "{asked:?}");
    place.run(["load", "a"]).succeeds();
    ask("y");
    place.run(["load", "a"]).fails(10, "it is deleted");
}
