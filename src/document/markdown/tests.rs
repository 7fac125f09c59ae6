#![allow(clippy::string_slice, reason = "the texts are ASCII there")]

use serde_json::json;

use super::*;

/// A document with one step whose lines after the description are `rest`.
fn with_step(rest: &str) -> String {
    format!("# T\n\n## Steps\n\n### a\n\nDoes it.\n\n- type: shell\n{rest}")
}

fn params(rest: &str) -> Value {
    let text = with_step(rest);
    let workflow = parse(&text).unwrap_or_else(|refusal| panic!("{rest:?}: {refusal}"));
    workflow.to_ir()["nodes"][0]["params"].clone()
}

fn refused(text: &str) -> Vec<String> {
    let refusal = parse(text).expect_err(text);
    assert_eq!(refusal.more, 0);
    refusal.defects.iter().map(ToString::to_string).collect()
}

#[test]
fn values_of_one_line_are_no_yaml() {
    let rest =
        "- a: b: c # d\n- e: yes\n- f: 007\n- g: \"x\\ty\\q\"\n- h: 'it''s'\n- i: 1.5e3\n- j:\n- k: ${l} m\n";
    let expected = json!({
        "a": "b: c # d", "e": true, "f": 7, "g": "x\ty\\q", "h": "it's", "i": 1500.0, "j": null, "k": "${l} m"
    });
    assert_eq!(params(rest), expected);
    assert_eq!(params("- a: {b: ${c}, d: [on]}\n"), json!({ "a": { "b": "${c}", "d": [true] } }));
    assert_eq!(params("- a: 1\n- a: 2\n"), json!({ "a": 2 }));
}

#[test]
fn parameters_of_several_lines_are_yaml() {
    assert_eq!(params("- a:\n    b: c # d\n\n    e: 010\n"), json!({ "a": { "b": "c", "e": 8 } }));
    assert_eq!(params("- a: 1\n  b: 2\n"), json!({ "a": 1, "b": 2 }));
    assert_eq!(params("- a:\n  - b\n  - ${c}\n"), json!({ "a": ["b", "${c}"] }));
}

#[test]
fn a_block_text_hides_headings_and_fences() {
    let rest = "- a: |\n    # no title\n    ```\n\n    ## no section\n* prose\n";
    assert_eq!(params(rest), json!({ "a": "# no title\n```\n\n## no section" }));
}

#[test]
fn fences_are_parameters() {
    let rest = "\n```shell command\necho \"# hi\"\n```\n\n~~~~yaml env\nA: ${b}\n~~~\n~~~~\n";
    assert!(refused(&with_step(rest))[0].starts_with("line 15: the fence for \"env\" is not YAML"));
    let rest = "\n````shell command\n```\n````\n\n```yaml batch\nitems: [1]\n```\n";
    let workflow = parse(&with_step(rest)).unwrap();
    let node = &workflow.to_ir()["nodes"][0];
    assert_eq!((&node["params"], &node["batch"]), (&json!({ "command": "```" }), &json!({ "items": [1] })));
}

#[test]
fn independent_defects_are_all_found_in_the_order_of_pflow() {
    let text = concat!(
        "---\na: [\n---\n# T\n## Steps\n### A\n### b\n- c\n```\n```\n",
        "## Inputs\n### d\n- e: \"\n## Steps\n~~~\n"
    );
    let expected = [
        "line 1: the front matter is not YAML: line 2: a list in brackets is not closed",
        "line 6: invalid id \"A\", expected lower-case letters, digits, - and _ after a letter",
        "line 14: duplicate section Steps, first on line 5",
        "line 15: the fence is not closed",
        "line 12: \"d\" has no description",
        "line 12: the quoted value of \"e\" in \"d\" is not closed",
        "line 6: \"A\" has no description",
        "line 6: the step \"A\" has no type",
        "line 7: \"b\" has no description",
        "line 9: the fence does not say which parameter it is",
        "line 7: \"c\" is not a parameter of \"b\", expected key: value",
        "line 7: the step \"b\" has no type",
    ];
    assert_eq!(refused(text), expected);
}

#[test]
fn no_more_defects_are_listed_than_the_limit() {
    let text = format!("## Steps\n{}", "### A\n".repeat(MAX_DEFECTS));
    let refusal = parse(&text).unwrap_err();
    assert_eq!((refusal.defects.len(), refusal.more), (MAX_DEFECTS, 2 * MAX_DEFECTS));
    assert!(refusal.to_string().ends_with(", and 59 more"), "{refusal}");
}

#[test]
fn order_next_on_error_and_code_make_edges() {
    let step = |id: &str, rest: &str| format!("### {id}\nDoes it.\n- type: code\n{rest}\n");
    let text = [
        "## Steps\n".to_owned(),
        step("a", "- next: b, c\n- on-error: d"),
        step("b", "- next: end"),
        step("c", "- next: end\n```python code\nnext = 'd'\n```"),
        step("d", "- next: end"),
    ]
    .concat();
    let workflow = parse(&text).unwrap();
    let edges: Vec<_> = workflow
        .edges
        .iter()
        .map(|edge| format!("{} {} {}", edge.from, edge.to, edge.action.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(edges, ["a b b", "a c c", "a b default", "a d error", "c d d"]);
    let ends: Vec<_> = workflow.steps.iter().map(|step| step.routes_to_end).collect();
    assert_eq!(ends, [false, true, true, true]);
}

#[test]
fn branches_must_be_closed() {
    let step = |id: &str, rest: &str| format!("### {id}\nDoes it.\n- type: code\n{rest}");
    let text = ["## Steps\n".to_owned(), step("a", "- on-error: c\n"), step("b", ""), step("c", "")].concat();
    let expected = [
        "line 9: the step \"c\" is the target of a branch, but has no next parameter",
        "line 6: the step \"b\" falls into \"c\", which is the target of a branch",
    ];
    assert_eq!(refused(&text), expected);
    let text = ["## Steps\n".to_owned(), step("a", "- next: x, y\n")].concat();
    assert_eq!(refused(&text)[0], "line 2: the step \"a\" leads to \"x\", which does not exist");
    let text = ["## Steps\n".to_owned(), step("a", "```code\nnext = f()\n```\n")].concat();
    assert_eq!(
        refused(&text),
        ["line 2: the code of \"a\" computes the next step, but there is no next parameter"]
    );
}

#[test]
fn the_cache_is_split_at_its_values() {
    let cache = |fence: &str| format!("{}\n## Cache\n- ttl: 5m\n```cache\n{fence}\n```\n", with_step(""));
    let workflow = parse(&cache("One:\n${a.b}\n$${c}\n${d}\nend")).unwrap();
    let expected = json!({ "ttl": "5m", "items": [
        { "name": "a.b", "var": "a.b", "prose_before": "One:\n" },
        { "name": "d", "var": "d", "prose_before": "\n$${c}\n" },
    ] });
    assert_eq!(workflow.to_ir()["cache"], expected);
    for (fence, expected) in [
        ("x", "line 14: the cache fence has no ${…} reference"),
        ("${a}\n${a}", "line 15: duplicate cached value \"a\""),
        ("${a ?? b}", "line 14: \"a ?? b\" has alternatives, which a cached value cannot have"),
        ("${a}\n\n${", "line 16: \"${\" is not a valid reference"),
    ] {
        assert_eq!(refused(&cache(fence)), [expected]);
    }
    let text = format!("{}\n## Cache\n- ttl: 61m\n- a: b\n```x\n```\n", with_step(""));
    assert_eq!(refused(&text).len(), 3);
}

#[test]
fn the_outline_tiles_the_text() {
    let text = concat!(
        "---\na: 1\n---\nIgnored.\n# T\n\nAbout.\n",
        "## Steps\n\nLead.\n### a\r\nProse.\n- type: x\n\n- b:\n    c: d\n  e: f\n\n```p\n```\n# Late\n",
        "## Cache\n- ttl: 5m\n```cache\n${a}\n```"
    );
    let outline = parse(text).unwrap().outline;
    let at = |range: std::ops::Range<usize>| text.get(range).unwrap();
    let show = |pieces: &[MarkdownPiece]| -> Vec<String> {
        pieces.iter().map(|piece| format!("{:?} {:?}", piece.kind, at(piece.range.clone()))).collect()
    };
    let tiles: String = outline.leaves().into_iter().map(at).collect();
    assert_eq!(tiles, text);
    assert_eq!(at(outline.front_matter.clone()), "---\na: 1\n---\n");
    assert_eq!(
        show(&outline.preamble.lead),
        ["Prose \"Ignored.\\n\"", "Title \"# T\\n\"", "Blank \"\\n\"", "Prose \"About.\\n\""]
    );
    let steps = &outline.sections[0];
    assert_eq!((steps.kind, steps.name.as_str()), (SectionKind::Steps, "Steps"));
    assert_eq!(show(&steps.lead), ["Blank \"\\n\"", "Prose \"Lead.\\n\""]);
    assert_eq!(at(steps.items[0].heading.clone()), "### a\r\n");
    assert_eq!(
        show(&steps.items[0].pieces),
        [
            "Prose \"Prose.\\n\"",
            "Parameter { keys: [\"type\"] } \"- type: x\\n\"",
            "Blank \"\\n\"",
            "Parameter { keys: [\"b\", \"e\"] } \"- b:\\n    c: d\\n  e: f\\n\"",
            "Blank \"\\n\"",
            "Fence { parameter: Some(\"p\") } \"```p\\n```\\n\"",
            "Ignored \"# Late\\n\"",
        ]
    );
    assert_eq!(
        show(&outline.sections[1].lead),
        [
            "Parameter { keys: [\"ttl\"] } \"- ttl: 5m\\n\"",
            "Fence { parameter: Some(\"cache\") } \"```cache\\n${a}\\n```\""
        ]
    );
}

#[test]
fn near_misses_and_strays_are_warnings() {
    let text = "## Step\n## Steps\nLost.\n### a\nDoes it.\n- type: x\n";
    let warnings: Vec<_> = parse(text).unwrap().warnings.iter().map(ToString::to_string).collect();
    let expected = [
        "line 1: the section \"Step\" is ignored, Steps has a meaning",
        "line 3: the section Steps has text that belongs to no item",
    ];
    assert_eq!(warnings, expected);
}

#[test]
fn front_matter_counts_if_it_is_closed_and_a_map() {
    let body = with_step("");
    let read = |front: &str| parse(&format!("{front}{body}")).unwrap();
    let workflow = read("---\nname: x\nat: 2026-01-02\n---\n");
    assert_eq!(
        Value::Object(workflow.front_matter.unwrap().to_json()),
        json!({ "name": "x", "at": "2026-01-02" })
    );
    assert_eq!(workflow.body_start, 31);
    assert_eq!(read("---\n- x\n---\n").front_matter, None);
    assert_eq!(read("---\nname: x\n").front_matter, None);
}
