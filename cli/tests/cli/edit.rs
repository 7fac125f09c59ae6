//! `edit`, with shell scripts as the editor.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::support::{Place, Ran, document};

/// A store with `greet`, and a folder for the files of the editor.
fn place() -> Place {
    let place = Place::with_store();
    place.save("greet", "one").succeeds();
    fs::create_dir(place.path().join("drafts")).unwrap();
    place
}

/// A script that is given the file as `$1`.
fn script(place: &Place, text: &str) -> PathBuf {
    let script = place.file("editor.sh", format!("#!/bin/sh\nset -e\n{text}\n"));
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    script
}

fn edit(place: &Place, editor: &Path, args: &[&str]) -> Ran {
    let mut command = place.command(["edit", "greet"].iter().chain(args));
    command.env("EDITOR", editor).env("PATH", "/usr/bin:/bin").env("TMPDIR", place.path().join("drafts"));
    command.env("PROGRAM", crate::support::PROGRAM);
    Ran::of(&mut command)
}

fn drafts(place: &Place) -> Vec<PathBuf> {
    fs::read_dir(place.path().join("drafts")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn content(place: &Place) -> String {
    place.run(["load", "greet"]).succeeds().out()
}

#[test]
fn what_the_editor_writes_is_the_next_generation() {
    let place = place();
    let editor = script(&place, r#"echo "is shown"; [ "$(stat -c %a "$1")" = 600 ]; sed -i s/one/two/ "$1""#);
    let done = edit(&place, &editor, &["-m", "by hand"]).succeeds();
    assert!(
        done.out().starts_with("greet: generation 2 (sha256:"),
        "stdout is for the answer alone: {}",
        done.out()
    );
    assert!(done.err().contains("is shown"), "{}", done.err());
    assert_eq!(content(&place), document("two"));
    assert_eq!(place.run(["show", "greet", "--json"]).json()["message"], "by hand");
    assert_eq!(drafts(&place), [""; 0].map(PathBuf::from));
}

#[test]
fn a_text_that_is_left_as_it_is_saves_nothing() {
    let place = place();
    let before = place.dump();
    let done = edit(&place, &script(&place, r#"touch "$1""#), &["--json"]).succeeds().json();
    assert_eq!((&done["unchanged"], &done["generation"]), (&true.into(), &1.into()));
    place.is_as(&before);
    assert!(drafts(&place).is_empty());
}

#[test]
fn an_editor_that_fails_changes_nothing_and_loses_no_text() {
    let place = place();
    let before = place.dump();
    edit(&place, &script(&place, "exit 3"), &[]).fails(1, "failed");
    assert!(drafts(&place).is_empty(), "nothing was written");
    let failed =
        edit(&place, &script(&place, r#"echo mine > "$1"; exit 3"#), &[]).fails(1, "nothing was changed");
    let kept = drafts(&place);
    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), "mine\n");
    assert!(failed.err().contains(kept[0].to_str().unwrap()), "{}", failed.err());
    place.is_as(&before);
    edit(&place, Path::new("no-such-editor"), &[]).fails(1, "failed");
    edit(&place, Path::new(""), &[]).fails(2, "VISUAL");
}

#[test]
fn a_change_meanwhile_is_a_conflict_that_keeps_the_text() {
    let place = place();
    let theirs = place.file("theirs.json", document("theirs"));
    let script = script(
        &place,
        &format!(r#"sed -i s/one/mine/ "$1"; "$PROGRAM" save greet {} >&2"#, theirs.display()),
    );
    let refused = edit(&place, &script, &[]).fails(13, "kept in");
    let kept = drafts(&place);
    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), document("mine"));
    assert!(refused.err().contains(kept[0].to_str().unwrap()), "{}", refused.err());
    assert_eq!(content(&place), document("theirs"));
}

#[test]
fn a_policy_decides_about_a_change_meanwhile() {
    let place = place();
    let theirs = place.file("theirs.json", document("theirs"));
    let save = format!(r#""$PROGRAM" save greet {} >&2"#, theirs.display());
    let ours = script(&place, &format!(r#"sed -i s/one/mine/ "$1"; {save}"#));
    edit(&place, &ours, &["--on-conflict", "ours"]).succeeds();
    assert_eq!(content(&place), document("mine"));
    assert!(drafts(&place).is_empty());
    let dropped = script(&place, &format!(r#"sed -i s/mine/again/ "$1"; {save}"#));
    let theirs = edit(&place, &dropped, &["--on-conflict", "theirs"]).succeeds();
    assert!(theirs.err().contains("your text was not saved"), "{}", theirs.err());
    assert_eq!(fs::read_to_string(&drafts(&place)[0]).unwrap(), document("again"));
}

#[test]
fn a_text_that_is_no_workflow_is_refused_and_kept() {
    let place = place();
    edit(&place, &script(&place, r#"echo '{' > "$1""#), &[]).fails(5, "kept in");
    assert_eq!(fs::read_to_string(&drafts(&place)[0]).unwrap(), "{\n");
}

#[test]
fn visual_comes_first_and_may_have_arguments() {
    let place = place();
    let editor = script(&place, r#"sed -i "s/one/$1/" "$2""#);
    let mut command = place.command(["edit", "greet", "--if-generation", "1"]);
    command
        .env("VISUAL", format!("{} two", editor.display()))
        .env("EDITOR", "false")
        .env("PATH", "/usr/bin:/bin");
    Ran::of(&mut command).succeeds();
    assert_eq!(content(&place), document("two"));
    edit(&place, &editor, &["--if-generation", "1"]).fails(13, "generation");
}
