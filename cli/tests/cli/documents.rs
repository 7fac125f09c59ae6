//! The messages about a document that is not a workflow, and numbers that are kept byte for byte.

use std::fs;

use crate::support::Place;

#[test]
fn each_way_to_be_no_json_has_a_sentence_and_a_place() {
    let place = Place::with_store();
    for (bytes, words) in [
        (
            &br#"{"nodes":[{"id":"a","type":"e","params":{"t":"cut \ud83d here"}}]}"#[..],
            "half of a surrogate pair",
        ),
        (
            b"{\"name\":\"line one\nline two\"}",
            "line 1, column 18: a raw line break in a string; write it as `\\n`",
        ),
        (
            b"{\0\"\0a\0\"\0:\x001\0}\0",
            "line 1, column 1: the document is UTF-16LE without a byte order mark",
        ),
        (&[0; 4096], "line 1, column 1: the document is 4096 zero bytes: its content was lost"),
        (b"{\"a\": 1, \"b\0\0\0", "line 1, column 12: only zero bytes from here to the end"),
        (b"<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> b\n", "a conflict marker of git (`<<<<<<<`)"),
        (b"# Title\n\nprose\n", "line 1: the section Steps is missing"),
        (b"name: x\nnodes:\n  - id: a\n", "the document is YAML, not JSON"),
        (b"{\"a\": \xe4}", "line 1, column 7: the document is not UTF-8 (byte 6)"),
    ] {
        place.run_with_input(["save", "a"], bytes).fails(5, words);
    }
}

#[test]
fn numbers_that_no_program_holds_are_kept_byte_for_byte() {
    let place = Place::with_store();
    let digits = "9".repeat(617);
    let text = format!(
        r#"{{"version": 1e400, "nodes":[{{"id":"a","type":"k","params":{{"v":-1e400,"w":{digits},"z":1E-400}}}}]}}"#
    );
    let file = place.file("big.json", &text);
    place.run(["save", "big", "big.json"]).succeeds();
    assert_eq!(place.run(["load", "big"]).succeeds().out(), text);
    assert_eq!(place.run(["show", "big", "--json"]).succeeds().json()["version"], "1e400");
    // Another one is a conflict, whose JSON shows the values.
    fs::write(&file, text.replace("-1e400", "-1e401")).unwrap();
    place.run(["save", "big", "big.json"]).succeeds();
    fs::write(&file, text.replace("-1e400", "-1e402")).unwrap();
    let refused =
        place.run(["save", "big", "big.json", "--if-generation", "1", "--on-conflict", "merge", "--json"]);
    let error = refused.json_error();
    assert_eq!(error["exit_code"], 13);
    assert!(error.to_string().contains("-1e402") && error.to_string().contains("-1e401"), "{error}");
}
