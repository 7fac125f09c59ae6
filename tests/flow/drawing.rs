//! What a flow draws, against the whole expected text.

use crate::support::{Oops, alone, nop};
use pflow_store::flow::{BatchFlow, Flow, Params};

/// The seed's diagram in small, with ends that share a label and a loop.
fn save() -> Flow<i64, Oops> {
    let mut builder = Flow::builder("save");
    let parse = builder.node(nop("parse").choosing(&["default", "parse_error"], |_| "default"));
    let write = builder.node(nop("write").choosing(&["update_index", "retry", "write_error"], |_| "retry"));
    builder.start(parse).connect(parse, "default", write).end_as(parse, "parse_error", "ParseError");
    builder.end_as(write, "update_index", "Success").connect(write, "retry", parse);
    builder.end_as(write, "write_error", "WriteError");
    builder.build().unwrap()
}

#[test]
fn mermaid_shows_nodes_actions_and_labelled_ends() {
    let expected = r#"flowchart TD
    subgraph f["save"]
        s((" "))
        n0["parse"]
        n1["write"]
        e0(["ParseError"])
        e1(["Success"])
        e2(["WriteError"])
        s --> n0
        n0 -->|"default"| n1
        n0 -->|"parse_error"| e0
        n1 -->|"retry"| n0
        n1 -->|"update_index"| e1
        n1 -->|"write_error"| e2
    end
"#;
    assert_eq!(save().mermaid(), expected);
}

#[test]
fn dot_shows_nodes_actions_and_labelled_ends() {
    let expected = r#"digraph {
    label="save";
    labelloc=t;
    s [shape=point];
    n0 [shape=box, label="parse"];
    n1 [shape=box, label="write"];
    e0 [shape=oval, label="ParseError"];
    e1 [shape=oval, label="Success"];
    e2 [shape=oval, label="WriteError"];
    s -> n0;
    n0 -> n1 [label="default"];
    n0 -> e0 [label="parse_error"];
    n1 -> n0 [label="retry"];
    n1 -> e1 [label="update_index"];
    n1 -> e2 [label="write_error"];
}
"#;
    assert_eq!(save().dot(), expected);
}

/// An inner flow that returns two actions over three ends, one of them back to itself, then a batch flow.
fn nested() -> Flow<i64, Oops> {
    let mut inner = Flow::builder("inner");
    let a = inner.node(nop("a").choosing(&["no", "yes"], |_| "yes"));
    let b = inner.node(nop("b").choosing(&["default", "no"], |_| "no"));
    inner.start(a).connect(a, "yes", b).end_as(a, "no", "Early");
    inner.end_as(b, "default", "Done").end_as(b, "no", "Late");
    let inner = inner.build().unwrap();

    let mut outer = Flow::builder("outer");
    let inner = outer.flow(inner);
    let keys =
        outer.batch_flow(BatchFlow::new(alone("keys", nop("key")), |_: &i64, _| Ok(vec![Params::new()])));
    outer.start(inner).connect(inner, "no", inner).connect(inner, "default", keys);
    outer.end_as(keys, "default", "Done");
    outer.build().unwrap()
}

#[test]
fn mermaid_draws_nested_flows_as_subgraphs() {
    let expected = r#"flowchart TD
    subgraph f["outer"]
        s((" "))
        subgraph n0["inner"]
            n0s((" "))
            n0n0["a"]
            n0n1["b"]
            n0e0(["Early"])
            n0e1(["Done"])
            n0e2(["Late"])
            n0s --> n0n0
            n0n0 -->|"no"| n0e0
            n0n0 -->|"yes"| n0n1
            n0n1 -->|"default"| n0e1
            n0n1 -->|"no"| n0e2
        end
        subgraph n1["keys (for each)"]
            n1s((" "))
            n1n0["key"]
            n1e0(["End"])
            n1s --> n1n0
            n1n0 -->|"default"| n1e0
        end
        e0(["Done"])
        s --> n0s
        n0e1 -->|"default"| n1s
        n0e0 -->|"no"| n0s
        n0e2 -->|"no"| n0s
        n1s -->|"default"| e0
    end
"#;
    assert_eq!(nested().mermaid(), expected);
}

#[test]
fn dot_draws_nested_flows_as_clusters() {
    let expected = r#"digraph {
    label="outer";
    labelloc=t;
    s [shape=point];
    subgraph cluster_n0 {
        label="inner";
        n0s [shape=point];
        n0n0 [shape=box, label="a"];
        n0n1 [shape=box, label="b"];
        n0e0 [shape=oval, label="Early"];
        n0e1 [shape=oval, label="Done"];
        n0e2 [shape=oval, label="Late"];
        n0s -> n0n0;
        n0n0 -> n0e0 [label="no"];
        n0n0 -> n0n1 [label="yes"];
        n0n1 -> n0e1 [label="default"];
        n0n1 -> n0e2 [label="no"];
    }
    subgraph cluster_n1 {
        label="keys (for each)";
        n1s [shape=point];
        n1n0 [shape=box, label="key"];
        n1e0 [shape=oval, label="End"];
        n1s -> n1n0;
        n1n0 -> n1e0 [label="default"];
    }
    e0 [shape=oval, label="Done"];
    s -> n0s;
    n0e1 -> n1s [label="default"];
    n0e0 -> n0s [label="no"];
    n0e2 -> n0s [label="no"];
    n1s -> e0 [label="default"];
}
"#;
    assert_eq!(nested().dot(), expected);
}

#[test]
fn ends_of_one_label_are_one_end() {
    let mut builder = Flow::builder("shared");
    let only = builder.node(nop("only").choosing(&["a", "b"], |_| "a"));
    builder.start(only).end_as(only, "a", "Done").end_as(only, "b", "Done");
    let flow = builder.build().unwrap();
    assert_eq!(flow.mermaid().matches("([\"Done\"])").count(), 1);
    assert!(flow.mermaid().contains("n0 -->|\"a\"| e0"), "{}", flow.mermaid());
    assert!(flow.mermaid().contains("n0 -->|\"b\"| e0"), "{}", flow.mermaid());
}

#[test]
fn texts_cannot_break_out_of_a_drawing() {
    let mut builder = Flow::builder("a \"flow\"");
    let odd = builder.node(nop("x\"]; end").choosing(&["a|\"b"], |_| "a|\"b"));
    builder.start(odd).end_as(odd, "a|\"b", "back\\slash");
    let flow = builder.build().unwrap();
    let mermaid = flow.mermaid();
    for line in ["f[\"a #34;flow#34;\"]", "n0[\"x#34;#93;#59; end\"]", "|\"a#124;#34;b\"|", "back#92;slash"] {
        assert!(mermaid.contains(line), "{line} in {mermaid}");
    }
    let dot = flow.dot();
    for line in ["label=\"a \\\"flow\\\"\";", "label=\"x\\\"]; end\"", "label=\"back\\\\slash\""] {
        assert!(dot.contains(line), "{line} in {dot}");
    }
}
