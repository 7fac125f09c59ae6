//! `save-all`: many files, each a save of its own.

use std::{fs, os::unix::fs::symlink};

use crate::support::{Place, document};
use serde_json::json;

#[test]
fn a_folder_is_saved_in_the_order_of_its_names() {
    let place = Place::with_store();
    for number in 0..40 {
        place.file(&format!("plans/w{number:02}.json"), document(&number.to_string()));
    }
    place.file("plans/sub/inner.json", document("inner"));
    place.file("plans/.hidden.json", document("hidden"));
    place.file("plans/notes.txt", "none of ours");
    symlink("w00.json", place.path().join("plans/link.json")).unwrap();
    let saved = place.run(["save-all", "plans", "--tag", "etl", "-m", "all"]).succeeds();
    let lines: Vec<String> = saved.out().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 41);
    assert!(lines[0].starts_with("link: generation 1 (sha256:"), "{}", lines[0]);
    let ids: Vec<&str> = lines.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert!(saved.err().contains("41 saved, 0 unchanged, 0 failed"), "{}", saved.err());
    let listed = place.run(["list", "--tag", "etl", "--json"]).succeeds().json();
    assert_eq!(listed["workflows"].as_array().unwrap().len(), 41);
    let again = place.run(["save-all", "plans", "--tag", "etl"]).succeeds();
    assert!(again.err().contains("0 saved, 41 unchanged"), "{}", again.err());
}

#[test]
fn the_bad_ones_leave_nothing_and_do_not_stop_the_others() {
    let place = Place::with_store();
    place.file("a.json", document("a"));
    place.file("broken.json", "{");
    place.file("Upper.json", document("u"));
    place.file("z.json", document("z"));
    let args = ["save-all", "a.json", "broken.json", "Upper.json", "gone.json", "z.json"];
    let ran = place.run(args);
    assert_eq!(ran.code(), 3);
    let out: Vec<String> = ran.out().lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(out, ["a:", "z:"]);
    for words in [
        "broken.json: the document for broken is refused: line 1, column 2",
        "Upper.json: \"Upper\" is no workflow id; `upper` would be one",
        "gone.json: Failed to read gone.json: No such file",
        "3 of 5 failed (2 saved, 0 unchanged, 3 failed)",
    ] {
        assert!(ran.err().contains(words), "{words:?} is not in: {}", ran.err());
    }
    let names: Vec<_> = fs::read_dir(place.path().join(".pflow/workflows")).unwrap().collect();
    assert_eq!(names.len(), 2);
    assert!(!place.path().join(".pflow/versions/broken").exists());
    assert_eq!(place.run(["verify", "--json"]).succeeds().json()["findings"], json!([]));

    let ran = place.run(args.iter().chain(&["--json"]));
    let results = ran.json();
    assert_eq!(
        (&results["unchanged"], &results["failed"], &results["left_out"]),
        (&2.into(), &3.into(), &0.into())
    );
    let codes: Vec<_> =
        results["results"].as_array().unwrap().iter().map(|it| it["error"]["exit_code"].clone()).collect();
    assert_eq!(codes, [json!(null), json!(5), json!(5), json!(1), json!(null)]);
    assert_eq!(results["results"][1]["file"], "broken.json");
    assert_eq!((&ran.json_error()["code"], ran.code()), (&"batch".into(), 3));
}

#[test]
fn when_all_fail_the_code_is_the_same() {
    let place = Place::with_store();
    place.save("a", "a").succeeds();
    place.file("a.json", document("other"));
    place.run(["save-all", "a.json", "--if-generation", "0"]).fails(3, "a.json: a exists already");
}

#[test]
fn two_files_of_one_workflow_are_a_usage_error() {
    let place = Place::with_store();
    place.file("one/a.json", document("1"));
    place.file("two/a.json", document("2"));
    place.run(["save-all", "one", "two"]).fails(2, "one/a.json and two/a.json would both be a");
    place.run(["save-all"]).fails(2, "required");
    assert_eq!(place.run(["list", "--json"]).json()["workflows"], json!([]));
}

#[test]
fn an_empty_folder_is_nothing_to_do() {
    let place = Place::with_store();
    fs::create_dir(place.path().join("plans")).unwrap();
    let ran = place.run(["save-all", "plans"]).succeeds();
    assert!(ran.err().contains("nothing to do"), "{}", ran.err());
}

#[test]
fn an_id_is_offered_and_the_rule_is_said_once() {
    let place = Place::with_store();
    for name in ["My Workflow.json", "Größe.json", "日本.json", "fine.json"] {
        place.file(&format!("plans/{name}"), document(name));
    }
    let ran = place.run(["save-all", "plans"]);
    assert_eq!(ran.code(), 3);
    for words in [
        "plans/My Workflow.json: \"My Workflow\" is no workflow id; `my-workflow` would be one",
        "plans/Größe.json: \"Größe\" is no workflow id; `groesse` would be one",
        "plans/日本.json: \"日本\" is no workflow id\n",
        "`--rename` accepts",
    ] {
        assert!(ran.err().contains(words), "{words:?} is not in: {}", ran.err());
    }
    assert_eq!(ran.err().matches("a-z, 0-9").count(), 1, "{}", ran.err());
    let json = place.run(["save-all", "plans", "--json"]).json();
    let offered: Vec<_> =
        json["results"].as_array().unwrap().iter().map(|it| it["offered_id"].clone()).collect();
    assert!(offered.contains(&json!("my-workflow")), "{json}");

    fs::remove_file(place.path().join("plans/日本.json")).unwrap();
    let renamed = place.run(["save-all", "plans", "--rename"]).succeeds();
    assert!(renamed.out().contains("my-workflow: generation 1"), "{}", renamed.out());
    place.run(["load", "groesse"]).succeeds();
    place.file("nested/etl/Daily Run.json", document("d"));
    place.run(["save-all", "nested", "--id-from", "path", "--rename"]).succeeds();
    place.run(["load", "etl.daily-run"]).succeeds();
}

#[test]
fn what_is_no_regular_file_is_skipped_and_said() {
    let place = Place::with_store();
    place.file("plans/q.json", document("q"));
    let pipe = place.path().join("plans/p.json");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: no pipe can be made");
        return;
    }
    let ran = place.run(["save-all", "plans"]).succeeds();
    assert!(ran.err().contains("warning: skipped plans/p.json: it is a pipe"), "{}", ran.err());
    assert!(ran.err().contains("1 saved, 0 unchanged, 0 failed"), "{}", ran.err());
    let json = place.run(["save-all", "plans", "--json"]).succeeds().json();
    assert_eq!(json["skipped"][0]["file"], "plans/p.json");
    let named = place.run(["save-all", "plans/p.json"]).fails(3, "it is a pipe, not a regular file");
    assert!(!named.err().contains("skipped"), "{}", named.err());
}
