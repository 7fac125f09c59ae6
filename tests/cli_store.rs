//! `init` and `status`, and which store a command works on.

#![cfg(feature = "cli")]

mod cli_support;

use std::fs;

use cli_support::{Place, document};

fn config(format: &str) -> String {
    format!(
        r#"{{"format":"{format}","store_id":"s","created":"2024-01-15T10:30:00Z","features":{{"read":[],"write":[]}},"settings":{{}}}}"#
    )
}

#[test]
fn init_creates_a_store_once() {
    let place = Place::empty();
    let made = place.run(["init"]).succeeds();
    assert_eq!(made.out(), format!("created {}\n", place.path().join(".pflow").display()));
    let before = place.dump();
    let again = place.run(["init", "--json"]).succeeds().json();
    assert_eq!(again["created"], false);
    place.is_as(&before);
    let elsewhere = place.run(["init", "--json", "--store", "a/b"]).succeeds().json();
    assert_eq!((&elsewhere["created"], &elsewhere["location"]), (&true.into(), &"a/b".into()));
    assert_ne!(elsewhere["store_id"], again["store_id"]);
}

#[test]
fn only_init_creates_a_store() {
    let place = Place::empty();
    for args in [
        &["status"][..],
        &["list"],
        &["search", "x"],
        &["show", "a"],
        &["load", "a"],
        &["save", "a"],
        &["save-all", "."],
        &["delete", "a", "-y"],
        &["undelete", "a"],
        &["lock", "acquire", "a"],
        &["lock", "release", "a", "x"],
        &["lock", "show", "a"],
        &["reindex"],
        &["verify"],
    ] {
        let refused = place.run_with_input(args, document("x")).fails(10, "there is no store at");
        assert!(refused.err().contains("hint: create it with `init`"), "{}", refused.err());
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    place.run(["flow", "save"]).succeeds();
}

#[test]
fn the_nearest_store_of_ours_is_found_and_a_foreign_one_is_passed_over_untouched() {
    let place = Place::with_store();
    place.save("greet", "hi").succeeds();
    let foreign = place.file("a/.pflow/settings.json", "theirs");
    let config = place.file("a/b/.pflow/config.json", r#"{"version":"1.0"}"#);
    let inner = place.path().join("a/b/c");
    fs::create_dir_all(&inner).unwrap();
    for folder in [inner.as_path(), config.parent().unwrap(), foreign.parent().unwrap()] {
        let mut list = place.command(["list", "--json"]);
        let listed = cli_support::Ran(list.current_dir(folder).output().unwrap()).succeeds().json();
        assert_eq!(listed["workflows"][0]["id"], "greet");
    }
    assert_eq!(fs::read_to_string(foreign).unwrap(), "theirs");
    assert_eq!(fs::read_dir(config.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_foreign_place_is_never_written_to() {
    let place = Place::empty();
    place.file(".pflow/settings.json", "theirs");
    for args in [&["init"][..], &["list"], &["save", "a"], &["lock", "acquire", "a"]] {
        place.run_with_input(args, document("x")).fails(1, "is not a store of ours");
    }
    assert_eq!(fs::read_dir(place.path().join(".pflow")).unwrap().count(), 1);
}

#[test]
fn the_flag_wins_over_the_variable_and_the_variable_over_the_folder() {
    let place = Place::with_store();
    for (store, id) in [("one", "first"), ("two", "second")] {
        place.run(["init", "--store", store]).succeeds();
        place.run_with_input(["save", id, "--store", store], document(id)).succeeds();
    }
    let listed = |args: &[&str], variable: Option<&str>| {
        let mut command = place.command(args);
        command.envs(variable.map(|store| ("PFLOW_STORE", store)));
        cli_support::Ran(command.output().unwrap()).succeeds().json()["workflows"].clone()
    };
    assert_eq!(listed(&["list", "--json"], Some("one"))[0]["id"], "first");
    assert_eq!(listed(&["list", "--json", "--store", "two"], Some("one"))[0]["id"], "second");
    assert_eq!(listed(&["--json", "--store", "two", "list"], None)[0]["id"], "second");
    assert_eq!(listed(&["list", "--json"], None).as_array().unwrap().len(), 0);
    let url = format!("file://{}/one", place.path().display());
    assert_eq!(listed(&["list", "--json"], Some(&url))[0]["id"], "first");
}

#[test]
fn what_is_no_place_for_a_store_is_a_usage_error() {
    let place = Place::empty();
    for (url, words) in [
        ("ftp://host/prefix", "ftp:"),
        ("s3://key:secret@bucket", "credentials"),
        ("memory:", "memory"),
        ("", "empty"),
        ("file:relative", "file:///folder"),
    ] {
        place.run(["--store", url, "list"]).fails(2, words);
        place.run(["--store", url, "init"]).fails(2, words);
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_need_not_be_text() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let place = Place::empty();
    let name = OsStr::from_bytes(b"st\xffore");
    place.run([OsStr::new("init"), OsStr::new("--store"), name]).succeeds();
    assert!(place.path().join(name).join("config.json").exists());
    place.run([OsStr::new("list"), OsStr::new("--store"), name]).succeeds();
}

#[test]
fn a_newer_store_is_refused_and_left_alone() {
    for (config, words) in [
        (config("pflow-store/2"), "pflow-store/2"),
        (config("pflow-store/1").replace(r#""read":[]"#, r#""read":["encryption"]"#), "encryption"),
    ] {
        let place = Place::with_store();
        place.file(".pflow/config.json", config);
        let before = place.dump();
        for args in [&["list"][..], &["init"], &["save", "a"], &["verify"]] {
            let refused = place.run_with_input(args, document("x")).fails(17, words);
            assert!(refused.err().contains("newer pflow-store"), "{}", refused.err());
        }
        place.is_as(&before);
    }
}

#[test]
fn a_writer_that_does_not_know_a_feature_may_read() {
    let place = Place::with_store();
    place.save("greet", "hi").succeeds();
    place.file(
        ".pflow/config.json",
        config("pflow-store/1").replace(r#""write":[]"#, r#""write":["shards"]"#),
    );
    place.run(["load", "greet"]).succeeds();
    place.save("greet", "ho").fails(17, "shards");
}

#[test]
fn status_tells_what_there_is() {
    let place = Place::with_store();
    for id in ["a", "b", "c"] {
        place.save(id, id).succeeds();
    }
    place.run(["delete", "c", "-y"]).succeeds();
    place.run(["lock", "acquire", "b", "--lease-id", "mine"]).succeeds();
    place.file(".pflow/workflows/a/workflow.json", document("by hand"));
    let status = place.run(["status", "--json"]).succeeds().json();
    assert_eq!((&status["workflows"], &status["deleted"]), (&2.into(), &1.into()));
    assert_eq!((&status["locked"][0]["id"], &status["locked"][0]["lease_id"]), (&"b".into(), &"mine".into()));
    assert_eq!(status["modified_outside"], serde_json::json!(["a"]));
    assert_eq!(status["unreadable"], serde_json::json!([]));
    let text = place.run(["status"]).succeeds().out();
    for words in ["workflows          2", "modified outside   a", "locked             b: ", "lease mine"] {
        assert!(text.contains(words), "{text}");
    }
}
