//! Which documents are refused, and with which messages.

use pflow_store::document::{
    Defect, Document, DocumentError, DocumentFormat, DocumentReader, Limits, MAX_DEFECTS, Reason,
};

fn ir() -> DocumentReader {
    DocumentReader::new().format(DocumentFormat::Ir)
}

fn within(limits: Limits) -> DocumentReader {
    DocumentReader::new().limits(limits)
}

fn refusal_by(reader: &DocumentReader, text: impl AsRef<[u8]>) -> DocumentError {
    let bytes = text.as_ref().to_vec();
    let shown = String::from_utf8_lossy(&bytes).into_owned();
    match reader.read(bytes) {
        Ok(_) => panic!("accepted: {shown}"),
        Err(error) => error,
    }
}

fn refusal(text: impl AsRef<[u8]>) -> DocumentError {
    refusal_by(&DocumentReader::new(), text)
}

/// All defects of `text`, one per line.
fn defects_by(reader: &DocumentReader, text: &str) -> Vec<String> {
    match refusal_by(reader, text) {
        DocumentError::Invalid { defects, more: 0 } => defects.iter().map(Defect::to_string).collect(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn one_defect_has_one_exact_message() {
    for (text, expected) in [
        ("[]", "the document: expected an object, found an array"),
        ("42", "the document: expected an object, found a number"),
        ("null", "the document: expected an object, found null"),
        (r#""x""#, "the document: expected an object, found a string"),
        (r#"{"a": 1, "a": 1}"#, "a: duplicate key"),
        (r#"{"a": 1, "\u0061": 2}"#, "a: duplicate key"),
        (r#"{"x": [0, {"a b": {"c\n": 1, "c\n": 2}}]}"#, r#"x[1]["a b"]["c\n"]: duplicate key"#),
        (r#"{"nodes": [], "nodes": [{}]}"#, "nodes: duplicate key"),
        (r#"{"nodes": {}}"#, "nodes: expected an array, found an object"),
        (r#"{"nodes": [1]}"#, "nodes[0]: expected an object, found a number"),
        (r#"{"nodes": [null]}"#, "nodes[0]: expected an object, found null"),
        (r#"{"nodes": [{"type": "t"}]}"#, "nodes[0].id: missing"),
        (r#"{"nodes": [{"id": null, "type": "t"}]}"#, "nodes[0].id: missing"),
        (r#"{"nodes": [{"id": 7, "type": "t"}]}"#, "nodes[0].id: expected a string, found a number"),
        (r#"{"nodes": [{"id": "", "type": "t"}]}"#, "nodes[0].id: must not be empty"),
        (r#"{"nodes": [{"id": "a"}]}"#, "nodes[0].type: missing"),
        (r#"{"nodes": [{"id": "a", "type": true}]}"#, "nodes[0].type: expected a string, found a boolean"),
        (r#"{"nodes": [{"id": "a", "type": ""}]}"#, "nodes[0].type: must not be empty"),
        (
            r#"{"nodes": [{"id": "a", "type": "t", "params": "p"}]}"#,
            "nodes[0].params: expected an object, found a string",
        ),
        (
            r#"{"nodes": [{"id": "a", "type": "t"}, {"id": "x", "type": "t"}, {"id": "x", "type": "t"}]}"#,
            r#"nodes[2].id: duplicate id "x", first used at nodes[1].id"#,
        ),
        (
            r#"{"ir": {"nodes": [{"id": "x", "type": "t"}, {"id": "\u0078", "type": "t"}]}}"#,
            r#"ir.nodes[1].id: duplicate id "x", first used at ir.nodes[0].id"#,
        ),
        (r#"{"edges": "e"}"#, "edges: expected an array, found a string"),
        (r#"{"edges": ["e"]}"#, "edges[0]: expected an object, found a string"),
        (
            r#"{"edges": [{"from": "a", "to": "b"}], "nodes": [{"id": "a", "type": "t"}]}"#,
            r#"edges[0].to: no node has the id "b""#,
        ),
        (
            r#"{"edges": [{"from": "a", "to": 1}], "nodes": [{"id": "a", "type": "t"}]}"#,
            "edges[0].to: expected a string, found a number",
        ),
        (r#"{"edges": [{"from": "a"}], "nodes": [{"id": "a", "type": "t"}]}"#, "edges[0].to: missing"),
        (
            r#"{"edges": [{"from": "a", "to": "a", "action": 1}], "nodes": [{"id": "a", "type": "t"}]}"#,
            "edges[0].action: expected a string, found a number",
        ),
        (
            r#"{"edges": [{"from": "a", "to": "a", "condition": []}], "nodes": [{"id": "a", "type": "t"}]}"#,
            "edges[0].condition: expected a string, found an array",
        ),
        (r#"{"start_node": "a"}"#, r#"start_node: no node has the id "a""#),
        (r#"{"start_node": 1}"#, "start_node: expected a string, found a number"),
        (r#"{"ir": {"nodes": [], "start_node": "a"}}"#, r#"ir.start_node: no node has the id "a""#),
        (r#"{"ir": []}"#, "ir: expected an object, found an array"),
        (r#"{"ir_version": 1.0}"#, "ir_version: expected a string, found a number"),
        (r#"{"ir_version": "1.0"}"#, r#"ir_version: expected a version of the form N.N.N, found "1.0""#),
        (r#"{"ir_version": "1.0."}"#, r#"ir_version: expected a version of the form N.N.N, found "1.0.""#),
        (
            r#"{"ir_version": "1.0.0.0"}"#,
            r#"ir_version: expected a version of the form N.N.N, found "1.0.0.0""#,
        ),
        (
            r#"{"ir": {"ir_version": "v1.0.0"}}"#,
            r#"ir.ir_version: expected a version of the form N.N.N, found "v1.0.0""#,
        ),
        (r#"{"name": 1}"#, "name: expected a string, found a number"),
        (r#"{"description": []}"#, "description: expected a string, found an array"),
        (r#"{"version": true}"#, "version: expected a string or a number, found a boolean"),
        (r#"{"tags": "a, b"}"#, "tags: expected an array, found a string"),
        (r#"{"tags": ["a", null]}"#, "tags[1]: expected a string, found null"),
        (r#"{"metadata": {"name": {}}}"#, "metadata.name: expected a string, found an object"),
        (r#"{"ir": {"tags": [[]]}}"#, "ir.tags[0]: expected a string, found an array"),
    ] {
        assert_eq!(refusal(text).to_string(), expected, "{text}");
    }
}

#[test]
fn bytes_that_are_no_json_text() {
    for (bytes, expected) in [
        (
            &b"\xEF\xBB\xBF{}"[..],
            "the document begins with a UTF-8 byte order mark; save it as UTF-8 without one",
        ),
        (
            b"\xFF\xFE{\0}\0",
            "the document begins with a UTF-16LE byte order mark; save it as UTF-8 without one",
        ),
        (
            b"\xFE\xFF\0{\0}",
            "the document begins with a UTF-16BE byte order mark; save it as UTF-8 without one",
        ),
        (b"{\"a\": \"\xE4\"}", "line 1, column 8: the document is not UTF-8 (byte 7)"),
        (
            b"{\n\"a\": \"\xC3",
            "line 2, column 7: the document is not UTF-8 (byte 8): it ends within a character",
        ),
        (b"", "line 1, column 1: the document is empty"),
        (b"{\"a\":\n  [1,\n", "line 3, column 1: the document is truncated, it ends in the middle"),
        (b"{\"a\": 1}\n{}", "line 2, column 1: text after the end of the document"),
        (b"{\"a\": NaN}", "line 1, column 7: `NaN` is not JSON, which has no such number"),
        (b"{\"a\": 1} // done", "line 1, column 10: a comment, which JSON does not have"),
        (
            b"{\"a\": \"\\ud800\"}",
            "line 1, column 8: `\\ud800` in a string is half of a surrogate pair, which is no character; write both \
             halves or the character itself",
        ),
    ] {
        assert_eq!(refusal(bytes).to_string(), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_syntax_error_hides_the_defects_before_it() {
    assert!(matches!(refusal(r#"{"name": 1, "name": 2,}"#), DocumentError::Syntax { .. }));
}

#[test]
fn all_defects_come_together_in_document_order() {
    let text = r#"{
        "edges": [ { "from": "b", "to": "nowhere" }, { "to": "a" } ],
        "start_node": "gone",
        "nodes": [ { "id": "a", "type": "t" }, { "type": 1, "id": "a", "type": "t" }, { "id": "b", "type": "t" } ],
        "name": [],
        "ir_version": "1"
    }"#;
    assert_eq!(
        defects_by(&DocumentReader::new(), text),
        [
            r#"edges[0].to: no node has the id "nowhere""#,
            "edges[1].from: missing",
            r#"start_node: no node has the id "gone""#,
            "nodes[1].type: expected a string, found a number",
            r#"nodes[1].id: duplicate id "a", first used at nodes[0].id"#,
            "nodes[1].type: duplicate key",
            "name: expected a string, found an array",
            r#"ir_version: expected a version of the form N.N.N, found "1""#,
        ]
    );
    assert_eq!(refusal(text).to_string(), r#"edges[0].to: no node has the id "nowhere", and 7 more"#);
}

#[test]
fn many_defects_are_counted_but_not_all_listed() {
    let nodes = vec![r#"{"id":"a","type":"t"}"#; 1001].join(",");
    let error = refusal(format!(r#"{{"nodes": [{nodes}]}}"#));
    let DocumentError::Invalid { defects, more } = &error else { panic!("{error:?}") };
    assert_eq!(defects.len(), MAX_DEFECTS);
    assert_eq!(*more, 1000 - MAX_DEFECTS);
    assert_eq!(defects[0].place, "nodes[1].id");
    let reason = Reason::DuplicateId { id: "a".into(), first: "nodes[0].id".into() };
    assert_eq!(defects[0].reason, reason);
    assert!(error.to_string().ends_with("first used at nodes[0].id, and 999 more"), "{error}");
}

#[test]
fn messages_stay_short_and_printable_whatever_the_document_holds() {
    let id = format!("\\u001b[2J{}", "x".repeat(100_000));
    let error = refusal(format!(r#"{{"start_node": "{id}", "k{id}": 1, "k{id}": 2}}"#));
    let DocumentError::Invalid { defects, .. } = error else { panic!("{error:?}") };
    assert_eq!(defects.len(), 2);
    for defect in defects {
        let message = defect.to_string();
        assert!(message.len() < 200 && !message.contains('\u{1b}'), "{message:?}");
    }
}

#[test]
fn size_is_limited_to_the_byte() {
    let limits = Limits::new().max_bytes(10);
    assert!(Document::parse(r#"{"a": 123}"#, &limits).is_ok());
    let error = refusal_by(&within(limits), r#"{"a": 1234}"#);
    assert_eq!(error.to_string(), "the document has 11 bytes, 10 are allowed");
}

#[test]
fn depth_is_limited_to_the_level() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    let limits = Limits::new().max_depth(3);
    assert!(Document::parse(nested(3), &limits).is_ok());
    assert_eq!(
        refusal_by(&within(limits), nested(4)).to_string(),
        "a[0][0]: nested deeper than the 3 levels allowed"
    );
    let object = r#"{"a": {"b": {"c": {}}}}"#;
    assert_eq!(
        refusal_by(&within(limits), object).to_string(),
        "a.b.c: nested deeper than the 3 levels allowed"
    );

    assert!(Document::parse(nested(128), &Limits::default()).is_ok());
    assert!(matches!(refusal(nested(129)), DocumentError::TooDeep { limit: 128, .. }));
}

#[test]
fn no_limit_lifts_the_depth_ceiling() {
    let limits = Limits::new().max_depth(usize::MAX);
    let nested = format!("{{\"a\":{}", r#"[{"b":"#.repeat(1 << 20));
    let error = refusal_by(&within(limits), nested);
    let DocumentError::TooDeep { place, limit } = &error else { panic!("{error:?}") };
    assert_eq!(*limit, Limits::DEPTH_CEILING);
    assert_eq!(place, "a[0].b[0].b[0].b[0]….b[0].b[0].b[0].b[0]");
}

#[test]
fn the_deepest_document_leaves_room_on_a_usual_stack() {
    let limits = Limits::new().max_depth(Limits::DEPTH_CEILING);
    let text = format!("{}0{}", r#"{"a":"#.repeat(limits.max_depth), "}".repeat(limits.max_depth));
    let small = std::thread::Builder::new().stack_size(1536 << 10);
    let read = small.spawn(move || Document::parse(text, &limits).map(|document| document.size())).unwrap();
    assert!(read.join().unwrap().is_ok());
}

#[test]
fn complete_ir_needs_a_version_and_nodes() {
    for (text, expected) in [
        ("{}", &["ir_version: missing", "nodes: missing"][..]),
        (r#"{"nodes": [{"id": "a", "type": "t"}]}"#, &["ir_version: missing"]),
        (r#"{"ir_version": "0.1.0"}"#, &["nodes: missing"]),
        (r#"{"ir_version": "0.1.0", "nodes": []}"#, &["nodes: must not be empty"]),
        (r#"{"ir_version": null, "nodes": null}"#, &["ir_version: missing", "nodes: missing"]),
        (r#"{"name": "x", "ir": {}}"#, &["ir.ir_version: missing", "ir.nodes: missing"]),
        (r#"{"ir_version": "0.1.0", "ir": {"nodes": []}}"#, &["ir.nodes: must not be empty"]),
        (r#"{"ir": 1}"#, &["ir: expected an object, found a number"]),
        ("[]", &["the document: expected an object, found an array"]),
    ] {
        assert_eq!(defects_by(&ir(), text), expected, "{text}");
    }
    for text in [
        r#"{"ir_version": "0.1.0", "nodes": [{"id": "a", "type": "t"}]}"#,
        r#"{"ir_version": "0.1.0", "ir": {"nodes": [{"id": "a", "type": "t"}]}}"#,
        r#"{"ir": {"ir_version": "0.1.0", "nodes": [{"id": "a", "type": "t"}]}}"#,
    ] {
        assert!(ir().read(text).is_ok(), "{text}");
    }
}
