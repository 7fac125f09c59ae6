//! `--on-conflict` and `--lock-timeout`: the messages and the JSON of each.

use std::fs;

use crate::support::Place;
use serde_json::Value;

/// A document with two nodes, so that two edits need not overlap.
fn doc(a: &str, b: &str) -> String {
    let node =
        |id, text| format!(r#"    {{ "id": "{id}", "type": "echo", "params": {{ "text": "{text}" }} }}"#);
    format!("{{\n  \"nodes\": [\n{},\n{}\n  ]\n}}\n", node("a", a), node("b", b))
}

/// A store where generation 2 of `a` is `1,2`, and generation 1 was `1,1`.
fn contested() -> Place {
    let place = Place::with_store();
    place.run_with_input(["save", "a"], doc("1", "1")).succeeds();
    place.run_with_input(["save", "a"], doc("1", "2")).succeeds();
    place
}

const ON_1: [&str; 6] = ["save", "a", "--if-generation", "1", "--on-conflict", ""];

fn on_1(policy: &str) -> Vec<&str> {
    ON_1.iter().map(|arg| if arg.is_empty() { policy } else { arg }).collect()
}

#[test]
fn every_policy_says_what_it_did() {
    for (policy, code, words, resolved, generation, content) in [
        ("fail", 13, "a is at generation 2, expected 1", "", 0, String::new()),
        ("wait", 13, "a is at generation 2, expected 1", "", 0, String::new()),
        ("ours", 0, ", on top of what was there", "ours", 3, doc("2", "1")),
        ("theirs", 0, "unchanged at generation 2, theirs; yours was dropped", "theirs", 2, doc("1", "2")),
        ("merge", 0, ", merged with what was there", "merged", 3, doc("2", "2")),
        ("override", 0, ", on top of what was there", "ours", 3, doc("2", "1")),
    ] {
        let place = contested();
        let ran = place.run_with_input(on_1(policy), doc("2", "1"));
        if code == 0 {
            assert!(ran.succeeds().out().contains(words), "{policy}");
            assert_eq!(place.run(["load", "a"]).succeeds().out(), content, "{policy}");
            let place = contested();
            let json = place.run_with_input([&on_1(policy)[..], &["--json"]].concat(), doc("2", "1"));
            let json = json.succeeds().json();
            assert_eq!((&json["resolved"], &json["generation"]), (&resolved.into(), &generation.into()));
        } else {
            ran.fails(code, words);
        }
    }
    let place = contested();
    let json = place.run_with_input(["save", "a", "--json"], doc("5", "5")).succeeds().json();
    assert_eq!(json.get("resolved"), None, "nothing was in the way");
}

#[test]
fn what_cannot_be_merged_is_listed() {
    let place = contested();
    let refused = place
        .run_with_input(on_1("merge"), doc("1", "3"))
        .fails(13, "both sides changed nodes[id=b].params.text");
    let message = refused.err();
    assert!(
        message.contains("\n  nodes[id=b].params.text: ours \"3\", theirs \"2\", before \"1\"\n"),
        "{message}"
    );
    let args = [&on_1("merge")[..], &["--json"]].concat();
    let error = place.run_with_input(args, doc("1", "3")).json_error();
    let overlap = serde_json::json!(
        [{ "path": "nodes[id=b].params.text", "base": "1", "ours": "3", "theirs": "2" }]
    );
    assert_eq!((&error["overlaps"], &error["code"]), (&overlap, &"conflict".into()));
    assert_eq!(place.run(["load", "a"]).succeeds().out(), doc("1", "2"));
}

#[test]
fn a_conflict_says_what_others_changed() {
    let place = contested();
    let args = ["save", "a", "--if-generation", "1"];
    let refused = place.run_with_input(args, doc("2", "1")).fails(13, "a is at generation 2, expected 1");
    assert!(refused.err().contains("\n  ~ nodes[id=b].params.text: \"1\" -> \"2\"\n"), "{}", refused.err());
    let error = place.run_with_input([&args[..], &["--json"]].concat(), doc("2", "1")).json_error();
    let changes = serde_json::json!([{ "path": "nodes[id=b].params.text", "before": "1", "after": "2" }]);
    assert_eq!(error["changes"], changes);
    place.file(".pflow/workflows/a/workflow.json", doc("4", "2"));
    let refused =
        place.run_with_input(["save", "a"], doc("2", "1")).fails(13, "was modified outside of the store");
    assert!(refused.err().contains("\n  ~ nodes[id=a].params.text: \"1\" -> \"4\"\n"), "{}", refused.err());
    let deleted = contested();
    deleted.run(["delete", "a", "-y"]).succeeds();
    deleted.run_with_input(args, doc("2", "1")).fails(13, "a was deleted meanwhile by ");
}

#[test]
fn the_flag_goes_over_the_variable_and_that_over_the_setting() {
    let place = contested();
    let config = place.path().join(".pflow/config.json");
    let mut settings: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    settings["settings"]["on_conflict"] = "theirs".into();
    fs::write(&config, settings.to_string()).unwrap();
    let resolved = |args: &[&str], variable: Option<&str>| {
        let mut command = place.command(args);
        let file = place.file("ours.json", doc("2", "1"));
        command
            .arg(file)
            .args(["--if-generation", "1", "--json"])
            .envs(variable.map(|it| ("PFLOW_ON_CONFLICT", it)));
        let out = command.output().unwrap();
        assert!(out.status.success(), "{out:?}");
        serde_json::from_slice::<Value>(&out.stdout).unwrap()["resolved"].clone()
    };
    assert_eq!(resolved(&["save", "a"], None), "theirs");
    assert_eq!(resolved(&["save", "a"], Some("merge")), "merged");
    assert_eq!(resolved(&["save", "a", "--on-conflict", "ours"], Some("merge")), "ours");
    // How long to wait is a setting too, of locks as well.
    settings["settings"]["lock_timeout"] = "1s".into();
    fs::write(&config, settings.to_string()).unwrap();
    place.run(["lock", "acquire", "a", "--lease-id", "held"]).succeeds();
    for args in [&["lock", "acquire", "a"][..], &["delete", "a", "-y", "--on-conflict", "fail"]] {
        assert!(place.run(args).fails(11, "a is").err().contains("waiting for a: "), "{args:?}");
    }
    let mut impatient = place.command(["lock", "acquire", "a"]);
    let impatient = impatient.env("PFLOW_LOCK_TIMEOUT", "0s").output().unwrap();
    assert!(!String::from_utf8(impatient.stderr).unwrap().contains("waiting"));
    place.run(["lock", "release", "a", "held"]).succeeds();
    settings["settings"]["on_conflict"] = "sometimes".into();
    fs::write(&config, settings.to_string()).unwrap();
    place
        .run_with_input(["save", "a"], doc("1", "1"))
        .fails(1, "config.json: on_conflict: choose one of ask, fail");
    place
        .run_with_input(["save", "a", "--on-conflict", "sometimes"], doc("1", "1"))
        .fails(2, "choose one of");
}

#[test]
fn a_lock_that_was_wanted_along_and_not_taken_is_missed_aloud() {
    let place = contested();
    let theirs = place.run_with_input([&on_1("theirs")[..], &["--hold"]].concat(), doc("2", "1")).succeeds();
    assert!(theirs.err().contains("warning: a is not locked"), "{}", theirs.err());
    assert!(!place.run(["lock", "show", "a", "--json"]).succeeds().json()["locked"].as_bool().unwrap());
    let merged = place.run_with_input([&on_1("merge")[..], &["--hold"]].concat(), doc("2", "1")).succeeds();
    assert!(merged.out().contains("a: locked until ") && merged.err().is_empty(), "{}", merged.err());
}

#[test]
fn off_a_terminal_the_flag_is_named_instead_of_a_question() {
    let place = contested();
    for policy in [None, Some("ask")] {
        let args = match policy {
            None => vec!["save", "a", "--if-generation", "1"],
            Some(policy) => on_1(policy),
        };
        let refused = place.run_with_input(args, doc("2", "1")).fails(13, "a is at generation 2, expected 1");
        assert!(refused.err().contains("or decide beforehand with `--on-conflict`"), "{}", refused.err());
    }
    let refused = place.run_with_input(on_1("fail"), doc("2", "1")).fails(13, "expected 1");
    assert!(!refused.err().contains("--on-conflict"), "it was decided: {}", refused.err());
}

#[test]
fn a_lock_is_waited_for_in_silence_and_then_with_a_word() {
    let place = contested();
    place.run(["lock", "acquire", "a", "--lease-id", "theirs", "--operation", "a long edit"]).succeeds();
    let save = |timeout: &str| {
        place.run_with_input(["save", "a", "--lock-timeout", timeout, "--on-conflict", "wait"], doc("9", "9"))
    };
    let waited = save("1s").fails(11, "a is locked by");
    let word = waited.err().lines().filter(|line| line.starts_with("waiting for a: ")).count();
    assert_eq!(word, 1, "{}", waited.err());
    assert!(waited.err().contains(", a long edit, for another 59m "), "{}", waited.err());
    assert!(!save("0s").fails(11, "a is locked by").err().contains("waiting"));

    // The lock is released while another client waits for it.
    let waiting =
        place.command(["save", "a", "--lock-timeout", "1m"]).arg(place.file("9.json", doc("9", "9"))).spawn();
    let waiting = waiting.unwrap();
    place.run(["lock", "release", "a", "theirs"]).succeeds();
    let out = waiting.wait_with_output().unwrap();
    assert!(out.status.success(), "{out:?}");
    assert_eq!(place.run(["load", "a"]).succeeds().out(), doc("9", "9"));
}

#[test]
fn a_lock_that_is_taken_away_is_told_and_lost() {
    let place = contested();
    place.run(["lock", "acquire", "a", "--lease-id", "theirs"]).succeeds();
    let taken = place.run_with_input(["save", "a", "--on-conflict", "override"], doc("9", "9")).succeeds();
    assert!(taken.err().contains("warning: a: took the lock away from"), "{}", taken.err());
    assert!(taken.err().contains("lease theirs is lost"), "{}", taken.err());
    place
        .run_with_input(["save", "a", "--lease", "theirs"], doc("8", "8"))
        .fails(11, "the lease theirs on a is lost");
    place.run(["lock", "acquire", "a", "--lease-id", "again"]).succeeds();
    let args = ["delete", "a", "-y", "--on-conflict", "override", "--json"];
    let json = place.run(args).succeeds().json();
    assert_eq!((&json["resolved"], &json["broken_lease"]), (&"overridden".into(), &"again".into()));
}

#[test]
fn an_edit_in_place_is_kept_below_what_is_saved_over_it() {
    let place = contested();
    place.file(".pflow/workflows/a/workflow.json", doc("1", "5"));
    let args = ["save", "a", "--if-generation", "2", "--on-conflict", "ours", "--json"];
    let json = place.run_with_input(args, doc("7", "2")).succeeds().json();
    assert_eq!((&json["generation"], &json["kept_edit"]), (&4.into(), &3.into()));
    assert_eq!(place.run(["load", "a", "--generation", "3"]).succeeds().out(), doc("1", "5"));
    assert_eq!(place.run(["load", "a"]).succeeds().out(), doc("7", "2"));
    place.file(".pflow/workflows/a/workflow.json", "{ broken");
    let refused = place.run_with_input(["save", "a", "--on-conflict", "ours"], doc("8", "2"));
    let refused = refused.fails(13, "the content of workflows/a/workflow.json cannot be kept: line 1");
    assert!(
        refused.err().contains("mend <store>/workflows/a/workflow.json, or move it away"),
        "{}",
        refused.err()
    );
    place.run(["verify"]).succeeds();
}

#[test]
fn a_batch_is_decided_by_a_policy_too() {
    let place = contested();
    place.file("plans/a.json", doc("2", "1"));
    place.file("plans/b.json", doc("2", "1"));
    let args = ["save-all", "plans", "--if-generation", "1", "--json", "--on-conflict", "ours"];
    let json = place.run(args).succeeds().json();
    let resolved: Vec<_> =
        json["results"].as_array().unwrap().iter().map(|it| it["resolved"].clone()).collect();
    assert_eq!(resolved, ["ours", "ours"]);
    assert_eq!(place.run(["load", "a"]).succeeds().out(), doc("2", "1"));
}
