//! Properties of every merge, tested with generated workflows and edits.

use crate::support::{Who, counted, edits, said, sorted, workflow};
use pflow_store::document::{Document, Limits};
use pflow_store::merge::{Change, Merge, Step, changes, merge};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

fn merged(base: Option<&Document>, ours: &Document, theirs: &Document) -> Merge {
    merge(base, ours, theirs, &Limits::default())
}

fn parse(value: &Value) -> Document {
    Document::parse(value.to_string(), &Limits::default()).expect("valid")
}

/// Workflows so small that three of them have much in common, valid but otherwise arbitrary: edges in any
/// number, nodes in any order.
fn arbitrary() -> impl Strategy<Value = Document> {
    let node = (
        "[abc]",
        "[tu]",
        prop::option::of(prop::sample::select(vec![json!({}), json!({"x": 1}), json!({"x": {"y": 2}})])),
    );
    let edge = (0..3_usize, 0..3_usize, prop::option::of("[de]"), prop::option::of("[l]"));
    let lists = (vec(node, 0..4), prop::option::of(vec(edge, 0..4)), prop::option::of(vec("[pq]", 0..3)));
    let rest = (prop::option::of(0..3_usize), prop::option::of(0..3_u64), any::<bool>(), any::<bool>());
    (lists, rest).prop_map(|((nodes, edges, tags), (start, extra, wrapped, pretty))| {
        let mut ids = Vec::new();
        let mut list = Vec::new();
        for (id, kind, params) in nodes {
            if !ids.contains(&id) {
                let mut node = json!({ "id": id, "type": kind });
                node.as_object_mut().unwrap().extend(params.map(|params| ("params".to_owned(), params)));
                list.push(node);
                ids.push(id);
            }
        }
        let mut value = json!({ "nodes": list });
        if let Some(edges) = edges {
            let known = edges.into_iter().filter(|_| !ids.is_empty()).map(|(from, to, action, label)| {
                let mut edge = json!({ "from": ids[from % ids.len()], "to": ids[to % ids.len()] });
                let texts = [("action", action), ("label", label)];
                let texts = texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text?))));
                edge.as_object_mut().unwrap().extend(texts);
                edge
            });
            value["edges"] = known.collect();
        }
        if let Some(tags) = tags {
            value["tags"] = json!(tags);
        }
        if let Some(start) = start.filter(|_| !ids.is_empty()) {
            value["start_node"] = json!(ids[start % ids.len()]);
        }
        if let Some(extra) = extra {
            value["extra"] = json!(extra);
        }
        let value = if wrapped { json!({ "ir": value, "name": "w" }) } else { value };
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        Document::parse(text, &Limits::default()).expect("valid")
    })
}

proptest! {
    #[test]
    fn merging_with_an_unchanged_side_gives_the_other_side(base in arbitrary(), side in arbitrary()) {
        for (ours, theirs) in [(&base, &side), (&side, &base), (&side, &side)] {
            let Merge::Clean(merged) = merged(Some(&base), ours, theirs) else { panic!("not clean") };
            prop_assert_eq!(merged.bytes(), side.bytes());
        }
    }

    #[test]
    fn disjoint_edits_merge_clean_and_are_all_there_in_whichever_order(base in workflow(), wanted in edits(false)) {
        let wanted = base.disjoint(wanted);
        let ours = base.edited(&wanted, &[Who::Ours, Who::Both], false).document();
        let theirs = base.edited(&wanted, &[Who::Theirs, Who::Both], true).document();
        let expected = base.edited(&wanted, &[Who::Ours, Who::Theirs, Who::Both], false).document();
        let base = base.document();
        let Merge::Clean(one) = merged(Some(&base), &ours, &theirs) else {
            panic!("{:?}", merged(Some(&base), &ours, &theirs))
        };
        prop_assert_eq!(said(&one), said(&expected));
        let Merge::Clean(other) = merged(Some(&base), &theirs, &ours) else { panic!("only one way") };
        prop_assert_eq!(one.bytes(), other.bytes());
    }

    #[test]
    fn overlaps_are_exactly_what_both_sides_changed_differently(base in workflow(), wanted in edits(true)) {
        let wanted = base.disjoint(wanted);
        let ours = base.edited(&wanted, &[Who::Ours, Who::Both, Who::Clash], false).document();
        let theirs = base.edited(&wanted, &[Who::Theirs, Who::Both, Who::Clash], true).document();
        let clashes = wanted.iter().filter(|edit| edit.who == Who::Clash);
        let expected = counted(clashes.filter_map(|edit| base.clash(edit)));
        let found = match merged(Some(&base.document()), &ours, &theirs) {
            Merge::Clean(_) => Vec::new(),
            Merge::Overlapping(overlaps) => overlaps,
            Merge::Refused(error) => panic!("{error}"),
            Merge::TooMuch(error) => panic!("{error}"),
        };
        let paths = counted(found.iter().map(|overlap| overlap.path.to_string()));
        prop_assert_eq!(paths, expected, "{:?}", found);
        for overlap in found {
            prop_assert!(overlap.ours != overlap.theirs && overlap.ours != overlap.base && overlap.theirs != overlap.base);
        }
    }

    #[test]
    fn whatever_is_merged_is_valid_and_the_same_both_ways(
        base in prop::option::of(arbitrary()), ours in arbitrary(), theirs in arbitrary()
    ) {
        let base = base.as_ref();
        match (merged(base, &ours, &theirs), merged(base, &theirs, &ours)) {
            (Merge::Clean(one), Merge::Clean(other)) => {
                prop_assert!(Document::parse(one.bytes().clone(), &Limits::default()).is_ok());
                prop_assert_eq!(one.bytes(), other.bytes());
                prop_assert!(base.is_some() || said(&one) == said(&ours), "without an ancestor only the same is clean");
                // What is merged already stays as it is.
                for side in [&ours, &theirs] {
                    let Merge::Clean(again) = merged(Some(side), side, &one) else { panic!("not clean") };
                    prop_assert_eq!(again.bytes(), one.bytes());
                }
            }
            (Merge::Overlapping(one), Merge::Overlapping(other)) => {
                prop_assert!(!one.is_empty());
                let paths = |overlaps: &[pflow_store::merge::Overlap]| {
                    counted(overlaps.iter().map(|overlap| overlap.path.clone()))
                };
                prop_assert_eq!(paths(&one), paths(&other));
                prop_assert!(paths(&one).values().all(|count| *count == 1), "{:?}", one);
            }
            (Merge::Refused(one), Merge::Refused(other)) => prop_assert_eq!(one, other),
            (one, other) => panic!("{one:?}\n{other:?}"),
        }
    }

    #[test]
    fn every_value_of_a_clean_merge_is_that_of_a_side(base in arbitrary(), ours in arbitrary(), theirs in arbitrary()) {
        let Merge::Clean(merged) = merged(Some(&base), &ours, &theirs) else { return Ok(()) };
        // What neither side changed is not changed, and what is changed is what a side made of it.
        // Collections that the ancestor lacks may have parts of both.
        let of = |side: &Document| counted(changes(&base, side).unwrap().into_iter().map(|change| (change.path, change.after)));
        let (ours, theirs) = (of(&ours), of(&theirs));
        for change in changes(&base, &merged).unwrap() {
            let added = change.before.is_none() && matches!(change.path.steps().last(), Some(Step::Key(_)));
            let order = matches!(change.path.steps().last(), Some(Step::Order));
            let key = (change.path.clone(), change.after.clone());
            prop_assert!(added || order || ours.contains_key(&key) || theirs.contains_key(&key), "{}", change);
        }
    }

    #[test]
    fn changes_make_one_version_out_of_the_other(before in arbitrary(), after in arbitrary()) {
        let made = patched(serde_json::from_slice(before.bytes()).unwrap(), &changes(&before, &after).unwrap());
        prop_assert_eq!(sorted(made), said(&after));
        prop_assert!(changes(&after, &after).unwrap().is_empty());
        let reformatted: Value = serde_json::from_slice(after.bytes()).unwrap();
        prop_assert_eq!(changes(&after, &parse(&reformatted)).unwrap(), []);
    }
}

/// Makes changes, removals first and the last one of them first, so that counted names stay true.
fn patched(mut value: Value, changes: &[Change]) -> Value {
    let (removals, others): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.after.is_none());
    for change in removals.into_iter().rev().chain(others) {
        let steps = change.path.steps();
        let (last, way) = steps.split_last().expect("the root never changes as a whole");
        let parent = way.iter().fold(&mut value, |value, step| match step {
            Step::Key(key) => &mut value[key],
            step => {
                let at = position(value, step).expect("it was there before");
                &mut value[at]
            }
        });
        let after = change.after.as_ref().map(|after| after.to_value());
        match (last, after) {
            (Step::Order, _) => {}
            (Step::Key(key), None) => {
                drop(parent.as_object_mut().unwrap().remove(key).expect("it was there before"))
            }
            (Step::Key(key), Some(after)) => parent[key] = after,
            (step, None) => {
                let at = position(parent, step).expect("it was there before");
                parent.as_array_mut().unwrap().remove(at);
            }
            (_, Some(after)) => parent.as_array_mut().unwrap().push(after),
        }
    }
    value
}

/// Returns the position of a named element in a list.
fn position(list: &Value, step: &Step) -> Option<usize> {
    type Test = Box<dyn Fn(&Value) -> bool>;
    let action = |edge: &Value| edge.get("action").and_then(Value::as_str).unwrap_or("default").to_owned();
    let (nth, is_it): (usize, Test) = match step.clone() {
        Step::Node(id) => (0, Box::new(move |node| node["id"] == id.as_str())),
        Step::Tag { tag, nth } => (nth, Box::new(move |value| *value == tag.as_str())),
        Step::Edge(edge) => {
            let (to, nth) = edge.to.map_or((None, 0), |(to, nth)| (Some(to), nth));
            let is_it = move |value: &Value| {
                value["from"] == edge.from.as_str()
                    && action(value) == edge.action
                    && to.as_ref().is_none_or(|to| value["to"] == to.as_str())
            };
            (nth, Box::new(is_it))
        }
        step => panic!("{step:?}"),
    };
    let found = list.as_array().unwrap().iter().enumerate().filter(|(_, value)| is_it(value));
    found.map(|(at, _)| at).nth(nth)
}
