//! A store in a git repository that normalises text, with the real git.

use std::{fs, path::Path, process::Command};

use crate::support::Place;

fn git(folder: &Path, args: &[&str]) -> bool {
    let mut command = Command::new("git");
    command.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let settings = ["-c", "user.email=a@b", "-c", "user.name=t", "-c", "init.defaultBranch=main"];
    command.args(settings).args(args).output().is_ok_and(|output| output.status.success())
}

/// A document with line ends of both kinds and what git calls an ident.
const DOCUMENT: &str = "{\r\n \"nodes\": [],\n \"x\": \"$Id$\"\r\n}\r\n";

/// Whether a store that is committed under `attributes` and `settings` and cloned is sound and has its
/// document.
fn survives(attributes: &str, settings: &[&str], spoil: impl Fn(&Place)) -> bool {
    let place = Place::empty();
    assert!(git(place.path(), &["init", "-q"]));
    for setting in settings {
        assert!(git(
            place.path(),
            &["config", setting.split_once('=').unwrap().0, setting.split_once('=').unwrap().1]
        ));
    }
    place.file(".gitattributes", attributes);
    place.run(["init"]).succeeds();
    place.run_with_input(["save", "w"], DOCUMENT).succeeds();
    spoil(&place);
    assert!(git(place.path(), &["add", "-A"]) && git(place.path(), &["commit", "-qm", "1"]));
    let mut clone = vec!["clone", "-q"];
    clone.extend(settings.iter().flat_map(|setting| ["-c", setting]));
    clone.extend([".", "clone"]);
    assert!(git(place.path(), &clone));
    let store = place.path().join("clone/.pflow");
    let loaded = place.run(["load", "w", "--store", store.to_str().unwrap()]);
    let verified = place.run(["verify", "--store", store.to_str().unwrap()]);
    loaded.code() == 0 && loaded.out() == DOCUMENT && verified.code() == 0
}

#[test]
fn git_changes_no_byte_of_a_store() {
    if !git(Path::new("."), &["--version"]) {
        println!("skipped: git is not there");
        return;
    }
    for (attributes, settings) in [
        ("* text=auto\n", &[][..]),
        ("*.json text eol=crlf\n", &[]),
        ("* ident\n", &[]),
        ("", &["core.autocrlf=input"]),
        ("", &["core.autocrlf=true"]),
    ] {
        assert!(survives(attributes, settings, |_| ()), "{attributes:?} {settings:?}");
        let spoil = |place: &Place| fs::remove_file(place.path().join(".pflow/.gitattributes")).unwrap();
        assert!(!survives(attributes, settings, spoil), "without the file: {attributes:?} {settings:?}");
    }
}

#[test]
fn an_older_store_gets_the_file_by_a_repair_and_a_persons_own_stays() {
    let place = Place::with_store();
    let file = place.path().join(".pflow/.gitattributes");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains("* -text"));
    fs::remove_file(&file).unwrap();
    assert_eq!(place.run(["init", "--repair"]).succeeds().out(), "added .gitattributes\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), written);
    fs::write(&file, "* binary\n").unwrap();
    let again = place.run(["init", "--repair", "--json"]).succeeds().json();
    assert_eq!(again["repaired"]["added"], serde_json::json!([]));
    assert_eq!(fs::read_to_string(&file).unwrap(), "* binary\n");
}
