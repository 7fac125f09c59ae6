//! `save`, `load` and `show`.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

use crate::support::{Place, document};

#[test]
fn what_is_loaded_is_what_was_saved_byte_for_byte() {
    let place = Place::with_store();
    for (number, content) in
        ["{}", "{ }\n\n", "{\r\n}", "{\"name\":\"Gr\u{fc}\u{df}e \\u0000 \u{1f30d}\"}\n"].iter().enumerate()
    {
        let id = format!("w{number}");
        let file = place.file(&format!("{id}.txt"), content);
        let saved = place.run([OsStr::new("save"), OsStr::new(&id), file.as_os_str()]).succeeds();
        assert!(saved.out().starts_with(&format!("{id}: generation 1 (sha256:")), "{}", saved.out());
        assert_eq!(place.run(["load", &id]).succeeds().out(), *content);
        let json = place.run(["load", &id, "--json"]).succeeds().json();
        assert_eq!((&json["content"], &json["encoding"]), (&(*content).into(), &"utf-8".into()));
        assert_eq!((&json["generation"], &json["media_type"]), (&1.into(), &"application/json".into()));
        place.run(["load", &id, "-o", "out.json"]).succeeds();
        assert_eq!(fs::read_to_string(place.path().join("out.json")).unwrap(), *content);
    }
}

#[test]
fn a_document_comes_from_a_file_or_from_stdin() {
    let place = Place::with_store();
    for (args, text) in [(&["save", "a"][..], "one"), (&["save", "a", "-"], "two")] {
        place.run_with_input(args, document(text)).succeeds();
        assert_eq!(place.run(["load", "a"]).out(), document(text));
    }
    place.run(["save", "a", "gone.json"]).fails(1, "Failed to read gone.json: No such file");
    place.run(["save", "a", "."]).fails(1, "Failed to read .: Is a directory");
}

#[test]
fn generations_rise_and_nothing_is_written_when_nothing_changes() {
    let place = Place::with_store();
    let json = |text: &str| place.run_with_input(["save", "a", "--json"], document(text)).succeeds().json();
    let (first, second) = (json("one"), json("two"));
    assert_eq!((&first["generation"], &second["generation"]), (&1.into(), &2.into()));
    assert_eq!((&first["id"], &first["unchanged"]), (&"a".into(), &false.into()));
    assert_ne!(first["hash"], second["hash"]);
    let before = place.dump();
    let same = json("two");
    assert_eq!((&same["generation"], &same["unchanged"]), (&2.into(), &true.into()));
    assert_eq!(place.save("a", "two").succeeds().out(), "a: unchanged at generation 2\n");
    place.is_as(&before);
}

#[test]
fn a_save_on_the_wrong_generation_is_a_conflict() {
    let place = Place::with_store();
    let on = |generation: &str, text: &str| {
        place.run_with_input(["save", "a", "--if-generation", generation], document(text))
    };
    on("1", "one").fails(13, "a is at generation 0, expected 1");
    on("0", "one").succeeds();
    let exists = on("0", "two").fails(13, "a exists already, at generation 1");
    assert!(exists.err().contains("hint: save over it with `--if-generation 1`"), "{}", exists.err());
    on("1", "two").succeeds();
    on("1", "three").fails(13, "a is at generation 2, expected 1");
    assert_eq!(place.run(["load", "a"]).out(), document("two"));
}

#[test]
fn older_generations_stay() {
    let place = Place::with_store();
    place.save("a", "one").succeeds();
    place.save("a", "two").succeeds();
    assert_eq!(place.run(["load", "a", "--generation", "1"]).succeeds().out(), document("one"));
    place.run(["load", "a", "--generation", "3"]).fails(10, "a has no generation 3");
    place.run(["load", "b"]).fails(10, "there is no workflow b");
}

#[test]
fn what_the_caller_says_of_a_workflow_is_shown() {
    let place = Place::with_store();
    let args = [
        "save",
        "a",
        "--name",
        "The \u{1b}[2Jname",
        "--description",
        "What for",
        "--tag",
        "x",
        "--tag",
        "y",
        "-m",
        "Why",
    ];
    place.run_with_input(args, document("one")).succeeds();
    let head = place.run(["show", "a", "--json"]).succeeds().json();
    assert_eq!((&head["name"], &head["description"]), (&"The \u{1b}[2Jname".into(), &"What for".into()));
    assert_eq!(
        (&head["tags"], &head["nodes"]),
        (&serde_json::json!(["x", "y"]), &serde_json::json!(["echo"]))
    );
    assert_eq!((&head["generation"], &head["message"]), (&1.into(), &"Why".into()));
    assert_eq!((&head["revision"], &head["lease"]), (&1.into(), &serde_json::Value::Null));
    let text = place.run(["show", "a"]).succeeds().out();
    for words in ["The \u{fffd}[2Jname", "x, y", "What for", "Why", "lock         none"] {
        assert!(text.contains(words), "{text}");
    }
    place.run(["show", "b"]).fails(10, "there is no workflow b");
    place.run_with_input(["save", "a", "--name", " "], document("one")).fails(2, "name: it is empty");
}

#[test]
fn hostile_ids_are_refused_and_leave_nothing() {
    let place = Place::with_store();
    let before = place.dump();
    let long = "x".repeat(4096);
    for id in ["", ".", "..", "a/b", "../x", "/etc/passwd", &long, "CON", "con", "nul.json", "A", "é", "a\nb"]
    {
        for args in
            [&["save", id][..], &["load", id], &["show", id], &["delete", id, "-y"], &["lock", "acquire", id]]
        {
            let refused = place.run_with_input(args, document("x")).fails(5, "is no workflow id");
            assert!(refused.err().len() < 400, "{}", refused.err());
        }
    }
    let refused = place.run([OsStr::new("load"), OsStr::from_bytes(b"a\xff")]).fails(5, "is no workflow id");
    assert!(refused.err().contains('\u{fffd}'), "{}", refused.err());
    // An option is what it looks like; the double dash says otherwise.
    place.run(["load", "-rf"]).fails(2, "unexpected argument");
    place.run(["load", "--", "-rf"]).fails(5, "is no workflow id");
    place.is_as(&before);
}

#[test]
fn a_document_that_is_none_is_refused_with_all_reasons() {
    let place = Place::with_store();
    let before = place.dump();
    let save = |args: &[&str], content: &[u8]| place.run_with_input(args, content);
    save(&["save", "a"], b"{\n  \"x\": tru }").fails(5, "line 2, column");
    save(&["save", "a"], b"").fails(5, "line 1, column 1");
    save(&["save", "a"], b"{\"x\": \"\xff\"}")
        .fails(5, "line 1, column 8: the document is not UTF-8 (byte 7)");
    let two = br#"{"nodes": [{"id": "", "type": "t"}, {"id": "b"}]}"#;
    let refused = save(&["save", "a"], two).fails(5, "nodes[0].id");
    assert!(refused.err().contains("nodes[1].type"), "{}", refused.err());
    let error = save(&["save", "a", "--json"], two).json_error();
    assert_eq!((&error["code"], error["details"].as_array().unwrap().len()), (&"refused".into(), 2));
    let plain = br#"{"nodes": [{"id": "a", "type": "t"}]}"#;
    save(&["save", "a", "--format", "ir"], plain).fails(5, "ir_version");
    place.is_as(&before);
    save(&["save", "a"], plain).succeeds();
}

#[test]
fn a_document_of_another_tool_is_kept_as_it_is() {
    let place = Place::with_store();
    let export = br#"{ "name": "Chat", "nodes": [ { "name": "In" } ], "tags": [ { "name": "x" } ] }"#;
    place.run_with_input(["save", "a"], export).fails(5, "nodes[0].id: missing");
    place.run_with_input(["save", "a", "--format", "other-json"], export).succeeds();
    assert_eq!(place.run(["load", "a"]).succeeds().out().as_bytes(), export);
    assert!(place.run(["list"]).succeeds().out().contains("Chat"));
    let refused = place.run_with_input(["save", "a", "--format", "yaml"], export).fails(2, "yaml");
    assert!(refused.err().contains("other-json"), "{}", refused.err());

    let bytes = b"\xff\0 no text";
    place.run_with_input(["save", "b", "--format", "opaque", "--name", "raw"], bytes).succeeds();
    let file = place.path().join("b.bin");
    place.run([OsStr::new("load"), OsStr::new("b"), OsStr::new("-o"), file.as_os_str()]).succeeds();
    assert_eq!(fs::read(&file).unwrap(), bytes);
    let loaded = place.run(["load", "b", "--json"]).succeeds().json();
    assert_eq!((&loaded["encoding"], &loaded["content"]), (&"base64".into(), &"/wAgbm8gdGV4dA==".into()));
    assert_eq!(loaded["media_type"], "application/octet-stream");
}

#[test]
fn a_section_that_is_probably_misspelt_is_a_warning() {
    let place = Place::with_store();
    let text = "# T\n\n## Output\n\nx\n\n## Steps\n\n### a\n\nA.\n\n- type: shell\n";
    place.file("a.pflow.md", text);
    let saved = place.run(["save", "a", "a.pflow.md"]).succeeds();
    assert!(saved.err().contains("a: line 3: the section \"Output\" is ignored"), "{}", saved.err());
    // The name of the file tells the format, so what is missing is told in the words of pflow.
    place.file("b.pflow.md", "no heading\n");
    place.run(["save", "b", "b.pflow.md"]).fails(5, "line 1: the section Steps is missing");
}

#[test]
fn the_working_copy_is_loaded_as_it_is() {
    let place = Place::with_store();
    place.save("a", "one").succeeds();
    let live = place.run(["load", "a", "--live", "--json"]).succeeds().json();
    assert_eq!((&live["differs"], &live["content"]), (&false.into(), &document("one").into()));
    place.file(".pflow/workflows/a/workflow.json", "{ no JSON");
    assert_eq!(place.run(["load", "a", "--live"]).succeeds().out(), "{ no JSON");
    let live = place.run(["load", "a", "--live", "--json"]).succeeds().json();
    assert_eq!((&live["differs"], &live["generation"]), (&true.into(), &1.into()));
    place.run(["load", "a"]).fails(13, "was modified outside");
    place.run(["load", "a", "--live", "--generation", "1"]).fails(2, "--generation");
}

#[test]
fn a_document_that_is_too_large_is_never_read_whole() {
    let place = Place::with_store();
    let file = fs::File::create(place.path().join("large.json")).unwrap();
    file.set_len(1 << 40).unwrap();
    place
        .run(["save", "a", "large.json"])
        .fails(5, "the document has 1099511627776 bytes, 16777216 are allowed");
    place.run_with_input(["save", "a"], vec![b' '; (16 << 20) + 1]).fails(5, "more than 16777216 bytes");
}

#[test]
fn an_edit_by_hand_is_neither_loaded_nor_lost() {
    let place = Place::with_store();
    place.save("a", "one").succeeds();
    let copy = place.file(".pflow/workflows/a/workflow.json", document("by hand"));
    place.run(["load", "a"]).fails(13, "was modified outside");
    place.save("a", "two").fails(13, "was modified outside");
    assert_eq!(fs::read_to_string(&copy).unwrap(), document("by hand"));
    place.run([OsStr::new("save"), OsStr::new("a"), copy.as_os_str()]).succeeds();
    assert_eq!(place.run(["load", "a"]).succeeds().out(), document("by hand"));
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let place = Place::with_store();
    place.save("a", "one").succeeds();
    let written = place.run(["load", "a", "-o", "out.json", "--json"]).succeeds().json();
    assert_eq!((&written["file"], &written["content"]), (&"out.json".into(), &serde_json::Value::Null));
    place.run(["load", "a", "-o", "no/such/out.json"]).fails(1, "Failed to write no/such/out.json");
    assert_eq!(place.run(["load", "a", "-o", "-"]).succeeds().out(), document("one"));
    assert_eq!(place.run(["load", "a", "-o", "/dev/stdout"]).succeeds().out(), document("one"));
    place.run(["load", "b", "-o", "out.json"]).fails(10, "there is no workflow b");
    assert_eq!(fs::read_to_string(place.path().join("out.json")).unwrap(), document("one"));
}

#[test]
fn what_was_given_can_be_taken_away() {
    let place = Place::with_store();
    let save = |args: &[&str]| {
        let args = ["save", "a"].iter().chain(args).copied();
        place.run_with_input(args, r#"{"name":"own","tags":["own"],"nodes":[]}"#).succeeds();
        let json = place.run(["show", "a", "--json"]).succeeds().json();
        (json["name"].clone(), json["description"].clone(), json["tags"].clone())
    };
    let (none, tags) = (serde_json::Value::Null, |tags: &[&str]| serde_json::json!(tags));
    let given = save(&["--name", "n", "--description", "d", "--tag", "t", "--tag", "u"]);
    assert_eq!(given, ("n".into(), "d".into(), tags(&["t", "u"])));
    assert_eq!(save(&["--tag", "", "--description", ""]), ("n".into(), none.clone(), tags(&[])));
    assert_eq!(save(&["--name", ""]), (none.clone(), none.clone(), tags(&[])));
    assert_eq!(save(&[]), (none.clone(), none.clone(), tags(&[])));
    assert_eq!(save(&["--clear", "name,tags"]), ("own".into(), none.clone(), tags(&["own"])));
    let shown = place.run(["show", "a", "--json"]).succeeds().json();
    assert_eq!(shown["given"], serde_json::json!(["description"]));
    // A version id names the state that was read.
    let version = shown["version_id"].as_str().unwrap();
    let guarded = |args: &[&str]| {
        place.run_with_input(["save", "a"].iter().chain(args).copied(), r#"{"name":"other","nodes":[]}"#)
    };
    guarded(&["--if-version", version]).succeeds();
    guarded(&["--if-version", version, "--name", "x"]).fails(13, &format!("expected version {version}"));
    guarded(&["--if-version", "x"]).fails(2, "a version id has 26 of a-z and 0-9");
}

/// On a disk nothing but a person puts the bytes of an older version back.
#[test]
fn an_edit_back_to_an_older_version_is_not_overwritten() {
    let place = Place::with_store();
    place.save("a", "one").succeeds();
    place.save("a", "two").succeeds();
    let copy = place.file(".pflow/workflows/a/workflow.json", document("one"));
    place.run(["load", "a"]).fails(13, "modified outside of the store after generation 2");
    place.save("a", "three").fails(13, "modified outside of the store after generation 2");
    assert_eq!(fs::read_to_string(&copy).unwrap(), document("one"));
    place.save("a", "one").succeeds();
    assert_eq!(place.run(["load", "a"]).succeeds().out(), document("one"));
}
