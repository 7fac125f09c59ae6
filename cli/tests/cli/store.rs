//! `init` and `status`, and which store a command works on.

use std::fs;

use crate::support::{Place, document};
use pflow_store::document::ContentHash;
use serde_json::json;

fn config(format: &str, read: &[&str], write: &[&str]) -> String {
    let created = "2024-01-15T10:30:00Z";
    let covered = json!([format, "s", created, read, write, []]).to_string();
    json!({
        "format": format,
        "store_id": "s",
        "created": created,
        "features": { "read": read, "write": write },
        "settings": {},
        "checksum": ContentHash::of(covered.as_bytes()),
    })
    .to_string()
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
        let listed = crate::support::Ran::of(list.current_dir(folder)).succeeds().json();
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
        crate::support::Ran::of(&mut command).succeeds().json()["workflows"].clone()
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
        (config("pflow-store/2", &[], &[]), "pflow-store/2"),
        (config("pflow-store/1", &["encryption"], &[]), "encryption"),
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
    place.file(".pflow/config.json", config("pflow-store/1", &[], &["shards"]));
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

#[test]
fn init_below_a_store_says_how_to_get_one_here() {
    let place = Place::with_store();
    let folder = place.path().join("project");
    fs::create_dir(&folder).unwrap();
    let mut command = place.command(["init"]);
    let ran = crate::support::Ran::of(command.current_dir(&folder)).succeeds();
    assert!(ran.out().contains("is there already"), "{}", ran.out());
    assert!(ran.err().contains("create one here with `pflow-store --store ./.pflow init`"), "{}", ran.err());
    let mut command = place.command(["--store", "./.pflow", "init"]);
    let ran = crate::support::Ran::of(command.current_dir(&folder)).succeeds();
    assert!(ran.out().starts_with("created") && ran.err().is_empty(), "{} {}", ran.out(), ran.err());
    assert!(!place.run(["init"]).succeeds().err().contains("above"));
}

#[test]
fn a_foreign_place_is_said_to_be_whose_it_is() {
    for (file, content, words) in [
        ("config.json", r#"{"version":1}"#, "pflow's first storage had one like that"),
        ("settings.json", "{}", "it is pflow's own folder, with its settings.json"),
        ("notes/todo", "x", "it has notes, but no config.json of ours"),
    ] {
        let place = Place::empty();
        place.file(&format!(".pflow/{file}"), content);
        for args in [&["init"][..], &["list"], &["init", "--repair"]] {
            let refused = place.run(args).fails(1, words);
            assert!(refused.err().contains("hint: choose another place with `--store`"), "{}", refused.err());
        }
        assert_eq!(fs::read_dir(place.path().join(".pflow")).unwrap().count(), 1);
    }
}

#[test]
fn a_damaged_config_is_rebuilt_from_what_can_be_read() {
    let place = Place::with_store();
    place.save("greet", "hi").succeeds();
    let config = place.path().join(".pflow/config.json");
    let whole = fs::read_to_string(&config).unwrap();
    let store_id = place.run(["status", "--json"]).succeeds().json()["store_id"].clone();
    let loaded = place.run(["load", "greet"]).succeeds().out();
    let flipped = whole.replacen("\"created\": \"2", "\"created\": \"1", 1);
    for (damaged, words, keeps) in [
        (Some(format!("\u{feff}{whole}")), "byte order mark", true),
        (whole.get(..whole.len() / 2).map(str::to_owned), "truncated", true),
        (Some(flipped), "its checksum does not fit its content", true),
        (Some("\0".repeat(whole.len())), "zero bytes: its content was lost", false),
        (None, "it is missing, but there are versions or an index of a store", false),
    ] {
        match &damaged {
            Some(text) => fs::write(&config, text).unwrap(),
            None => fs::remove_file(&config).unwrap(),
        }
        // From below too: the store is not passed over.
        let refused = place.run(["list"]).fails(14, words);
        assert!(
            refused.err().contains("hint: rebuild it from what can be read of it with `init --repair`"),
            "{}",
            refused.err()
        );
        place.run(["init"]).fails(14, words);
        let repaired = place.run(["init", "--repair", "--json"]).succeeds().json();
        assert_eq!(repaired["store_id"] == store_id, keeps, "{words}: {repaired}");
        assert!(
            !repaired["repaired"]["config"].as_array().unwrap().is_empty(),
            "the rebuilt fields are listed"
        );
        assert_eq!(place.run(["load", "greet"]).succeeds().out(), loaded);
        if let Some(text) = &damaged {
            let kept = place.path().join(".pflow").join(repaired["repaired"]["kept"].as_str().unwrap());
            assert_eq!(&fs::read_to_string(kept).unwrap(), text);
        }
        assert!(place.run(["verify"]).succeeds().out().contains("sound: 1 workflows"));
        fs::write(&config, &whole).unwrap();
    }
    assert!(place.run(["init", "--repair"]).succeeds().out().contains("needs no repair"));
    let newer = whole.replace("pflow-store/1", "pflow-store/2");
    let cut = newer.get(..newer.len() / 2).unwrap();
    fs::write(&config, cut).unwrap();
    place.run(["init", "--repair"]).fails(17, "the format is pflow-store/2");
    assert_eq!(fs::read_to_string(&config).unwrap(), cut);
}

#[test]
fn a_link_in_place_of_a_working_copy_has_a_way_out() {
    let place = Place::with_store();
    place.save("a", "1").succeeds();
    place.run(["reindex"]).succeeds();
    let copy = place.path().join(".pflow/workflows/a/workflow.json");
    let elsewhere = place.path().join("elsewhere.json");
    fs::rename(&copy, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &copy).unwrap();
    place.run(["load", "a"]).fails(15, "put the file that it leads to in its place");
}

#[test]
fn what_is_not_of_the_store_is_named_and_litter_is_not() {
    let place = Place::with_store();
    place.save("w", "1").succeeds();
    let sound = place.run(["verify", "--json"]).succeeds().json();
    for litter in [
        "ops/pending/.DS_Store",
        "workflows/w/._metadata.json",
        "workflows/Thumbs.db",
        "desktop.ini",
        "workflows/w/.workflow.json.swp",
    ] {
        place.file(&format!(".pflow/{litter}"), "x");
    }
    assert_eq!(place.run(["verify", "--json"]).succeeds().json()["findings"], sound["findings"]);
    assert_eq!(place.run(["list"]).succeeds().err(), "");
    let head = fs::read(place.path().join(".pflow/workflows/w/metadata.json")).unwrap();
    place.file(".pflow/workflows/w/metadata (conflicted copy).json", &head);
    place.file(".pflow/workflows/w/workflow.sync-conflict-20240115-103000-ABCDEFG.json", document("theirs"));
    place.file(".pflow/workflows/w 2/metadata.json", &head);
    place.file(".pflow/workflows/mine/workflow.json", document("mine"));
    place.file(".pflow/workflows/Other One/workflow.json", document("other"));
    place.file(".pflow/notes.txt", "x");
    let expected = [
        ("notes.txt", "not a file of this store"),
        ("workflows/Other One/workflow.json", "put there by hand"),
        ("workflows/mine/workflow.json", "put there by hand"),
        ("workflows/w 2", "a copy of workflows/w "),
        ("workflows/w/metadata (conflicted copy).json", "a copy of workflows/w/metadata.json "),
        (
            "workflows/w/workflow.sync-conflict-20240115-103000-ABCDEFG.json",
            "a copy of workflows/w/workflow.json ",
        ),
    ];
    let status = place.run(["status", "--json"]).succeeds().json();
    let verify = place.run(["verify", "--json"]).succeeds().json();
    for (report, field) in [(&status, "strangers"), (&verify, "findings")] {
        let found = report[field].as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (key, words) in expected {
            let one =
                found.iter().find(|it| it["key"] == key).unwrap_or_else(|| panic!("no {key}: {found:#?}"));
            assert!(one["reason"].as_str().unwrap().contains(words), "{one}");
        }
    }
    let text = place.run(["status"]).succeeds().out();
    assert!(text.contains("not of this store  notes.txt: not a file of this store"), "{text}");
    assert!(text.contains("(`save other-one '<store>/workflows/Other One/workflow.json'`)"), "{text}");
    place.run(["save", "mine", ".pflow/workflows/mine/workflow.json"]).succeeds();
    let left = place.run(["status", "--json"]).succeeds().json();
    assert_eq!(left["strangers"].as_array().unwrap().len(), expected.len() - 1);
}
