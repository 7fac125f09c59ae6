//! `verify` and `reindex`, and what corruption looks like from outside.

use std::fs;

use crate::support::{PROGRAM, Place};

fn place() -> Place {
    let place = Place::with_store();
    for (id, text) in [("a", "one"), ("a", "two"), ("b", "one")] {
        place.save(id, text).succeeds();
    }
    place
}

#[test]
fn a_sound_store_is_sound() {
    let place = place();
    assert_eq!(place.run(["verify"]).succeeds().out(), "sound: 2 workflows, 3 versions\n");
    let json = place.run(["verify", "--json"]).succeeds().json();
    assert_eq!((&json["sound"], &json["workflows"], &json["versions"]), (&true.into(), &2.into(), &3.into()));
}

#[test]
fn a_repair_writes_missing_copies_without_asking() {
    let place = place();
    let copy = place.path().join(".pflow/workflows/a/workflow.json");
    let content = fs::read(&copy).unwrap();
    fs::remove_file(&copy).unwrap();
    let found = place.run(["verify"]).succeeds();
    assert!(found.out().starts_with("NOTICE  workflows/a/workflow.json: missing;"), "{}", found.out());
    let planned = place.run(["verify", "--repair", "-n"]).succeeds();
    let line = "REPAIR  a: its working copy and workflow.lock would be brought in line\n";
    assert!(planned.out().starts_with(line), "{}", planned.out());
    let planned = place.run(["verify", "--repair", "-n", "--json"]).succeeds().json();
    assert_eq!(
        planned["repair"]["would_be_in_line"],
        serde_json::json!(["a"]),
        "ids, as nothing is done yet"
    );
    assert_eq!(planned["repair"]["in_line"], serde_json::json!([]));
    assert!(!copy.exists());
    let mended = place.run(["verify", "--repair"]).succeeds();
    let lines = "REPAIR  workflows/a/workflow.json: it was brought in line with the head\nsound: 2 workflows, 3 versions\n";
    assert_eq!(mended.out(), lines);
    assert_eq!(fs::read(&copy).unwrap(), content);
}

#[test]
fn damage_is_listed_and_has_a_code_of_its_own() {
    let place = place();
    let version = place.version_file("a", 1);
    let mut bytes = fs::read(&version).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(&version, bytes).unwrap();
    let found = place.run(["verify"]);
    assert_eq!(found.code(), 14);
    assert!(found.out().starts_with("DAMAGE  versions/a/000000000001-"), "{}", found.out());
    assert!(found.out().ends_with("damaged: 2 workflows, 2 versions\n"), "{}", found.out());
    assert!(found.err().starts_with("error: damage was found"), "{}", found.err());
    let found = place.run(["verify", "--json"]);
    assert_eq!(
        (found.json()["sound"].clone(), found.json()["findings"][0]["severity"].clone()),
        (false.into(), "damage".into())
    );
    assert_eq!((&found.json_error()["code"], found.code()), (&"corrupt".into(), 14));
    place.run(["load", "a", "--generation", "1"]).fails(14, "versions/a/000000000001-");
    place.run(["load", "a"]).succeeds();
}

#[test]
fn a_head_that_cannot_be_read_is_corrupt_and_not_overwritten() {
    let place = place();
    let head = place.file(".pflow/workflows/a/metadata.json", "{\"format\":\"pflow-head/1\"");
    for args in [&["load", "a"][..], &["show", "a"], &["lock", "acquire", "a"]] {
        let refused = place.run(args).fails(14, "workflows/a/metadata.json cannot be read: not JSON");
        assert!(
            refused.err().contains("line 1, column 25: the document is truncated"),
            "the cause is told: {}",
            refused.err()
        );
        assert!(refused.err().contains("hint: find all damage with `verify`"), "{}", refused.err());
    }
    place.save("a", "three").fails(14, "metadata.json cannot be read");
    assert_eq!(fs::read_to_string(head).unwrap(), "{\"format\":\"pflow-head/1\"");
    place.run(["load", "b"]).succeeds();
}

#[test]
fn notices_are_shown_and_are_no_damage() {
    let place = place();
    fs::remove_file(place.path().join(".pflow/workflows/a/workflow.json")).unwrap();
    place.file(".pflow/workflows/b/workflow.json", "by hand");
    let found = place.run(["verify"]).succeeds();
    let lines: Vec<String> = found.out().lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("NOTICE  workflows/a/workflow.json: missing"), "{lines:?}");
    assert!(lines[1].starts_with("NOTICE  workflows/b/workflow.json: modified outside"), "{lines:?}");
    assert_eq!(lines[2], "sound: 2 workflows, 3 versions");
    assert_eq!(place.run(["verify", "--json"]).succeeds().json()["findings"][0]["severity"], "notice");
}

#[test]
fn a_lost_index_loses_nothing() {
    let place = place();
    let before = place.run(["list", "--json"]).succeeds().out();
    fs::remove_dir_all(place.path().join(".pflow/ops")).unwrap();
    let listed = place.run(["list", "--json", "-q"]).succeeds();
    assert_eq!(listed.out(), before);
    assert!(place.run(["status"]).succeeds().out().contains("lost; `reindex` rebuilds it"));
    assert_eq!(place.run(["reindex"]).succeeds().out(), "the index holds 2 workflows\n");
    let status = place.run(["status", "--json"]).succeeds().json();
    assert_eq!(status["index_lost"], false);
    let again = place.run(["list", "--json"]).succeeds();
    assert_eq!((again.out(), again.err()), (before, String::new()));
    assert_eq!(place.run(["reindex", "--json"]).succeeds().json()["workflows"], 2);
}

#[test]
fn a_lost_head_is_moved_to_the_newest_version() {
    let place = place();
    fs::remove_dir_all(place.path().join(".pflow/workflows/a")).unwrap();
    let hurt = "the head of a is hurt: it is missing, and 2 versions are there, up to generation 2";
    let refused = place.save("a", "three").fails(14, hurt);
    assert!(refused.err().contains("verify --repair"), "{}", refused.err());
    for args in [&["load", "a"][..], &["show", "a"], &["lock", "acquire", "a"], &["delete", "a", "-y"]] {
        place.run(args).fails(14, hurt);
    }
    place.run(["reindex"]).succeeds();
    let found = place.run(["verify"]);
    assert_eq!(found.code(), 14);
    assert!(found.out().contains("DAMAGE  workflows/a/metadata.json: it is missing"), "{}", found.out());
    assert!(found.out().contains("(mend it with `verify --repair`)"), "{}", found.out());

    place.run(["verify", "--repair"]).fails(2, "--yes");
    let planned = place.run(["verify", "--repair", "-n"]);
    assert_eq!(planned.code(), 14, "nothing is repaired yet");
    assert!(
        planned.out().contains("REPAIR  a: its head would be moved to generation 2"),
        "{}",
        planned.out()
    );
    let unknown = ["verify", "--repair", "-y", "--take", "00000000000000000000000000"];
    place.run(unknown).fails(2, "no head that is hurt can be moved to a version 0");

    if std::process::Command::new("script").arg("--version").output().is_ok() {
        let line = format!("printf 'n\\n' | script -qec '{PROGRAM} verify --repair; echo code $?' /dev/null");
        let asked = std::process::Command::new("sh").args(["-c", &line]).current_dir(place.path()).output();
        let asked = String::from_utf8_lossy(&asked.unwrap().stdout).into_owned();
        for told in ["left as it is", "DAMAGE  workflows/a/metadata.json", "code 14"] {
            assert!(asked.contains(told), "{told}: {asked}");
        }
    }
    let repaired = place.run(["verify", "--repair", "-y"]).succeeds();
    assert!(repaired.out().contains("was moved to generation 2"), "{}", repaired.out());
    assert!(repaired.out().contains("with the fence 1000000"), "{}", repaired.out());
    assert!(repaired.out().ends_with("sound: 2 workflows, 3 versions\n"), "{}", repaired.out());
    place.run(["load", "a"]).succeeds();
    place.save("a", "three").succeeds();
    let json = place.run(["verify", "--repair", "-y", "--json"]).succeeds().json();
    assert_eq!((&json["sound"], &json["repair"]["moved"]), (&true.into(), &serde_json::json!([])));
}
