//! Workflows and edits of them whose merge is known.

pub(crate) mod cases;

use std::collections::{BTreeSet, HashMap};

use pflow_store::document::{Document, Limits};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// The layout in which a workflow is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layout {
    Compact,
    Pretty,
    Lines,
}

/// A workflow: every node has `params` with an object `deep`, and an action of a node has at most one edge.
#[derive(Debug, Clone)]
pub(crate) struct Workflow {
    pub(crate) value: Value,
    /// Whether the workflow is inside a wrapper.
    pub(crate) wrapped: bool,
    pub(crate) layout: Layout,
}

/// A part of a workflow that can be edited independently of all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Unit {
    Name,
    Extra(usize),
    Tag(usize),
    Type(usize),
    Param(usize, usize),
    Deep(usize, usize),
    Edge(usize, bool),
    Remove(usize),
    Add(usize),
}

/// The side that edits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Ours,
    Theirs,
    /// Both sides, in the same way.
    Both,
    /// Both sides, in different ways.
    Clash,
}

#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub(crate) unit: Unit,
    pub(crate) who: Who,
    /// Whether the part is removed, if that is possible, instead of set.
    removes: bool,
    at: Index,
}

pub(crate) const ACTIONS: [&str; 2] = ["default", "error"];

pub(crate) fn node_id(nth: usize) -> String {
    format!("n{nth}")
}

fn small() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0..5_u64).prop_map(Value::from),
        "[a-zé\"\\\\]{0,3}".prop_map(Value::from),
        Just(json!([1, { "a": [] }])),
        Just(Value::Null),
    ]
}

fn params() -> impl Strategy<Value = Value> {
    (btree_map(0..4_usize, small(), 0..4), btree_map(0..3_usize, small(), 0..3)).prop_map(|(params, deep)| {
        let named = |map: std::collections::BTreeMap<usize, Value>| -> Value {
            map.into_iter().map(|(nth, value)| (format!("p{nth}"), value)).collect()
        };
        let mut params = named(params);
        params["deep"] = named(deep);
        params
    })
}

pub(crate) fn workflow() -> impl Strategy<Value = Workflow> {
    let nodes = vec((params(), any::<bool>()), 1..7);
    let edges = btree_map((0..7_usize, any::<bool>()), any::<Index>(), 0..8);
    let layout = prop::sample::select(vec![Layout::Compact, Layout::Pretty, Layout::Lines]);
    let about = (any::<bool>(), btree_set(0..6_usize, 0..5), btree_map(0..4_usize, small(), 0..3));
    (nodes, edges, about, any::<bool>(), layout).prop_map(|(nodes, edges, about, wrapped, layout)| {
        let count = nodes.len();
        let node = |(nth, (params, batch)): (usize, (Value, bool))| {
            let mut node = json!({ "id": node_id(nth), "type": "t", "params": params });
            if batch {
                node["batch"] = json!({ "items": "${x}" });
            }
            node
        };
        let edge = |((from, error), to): ((usize, bool), Index)| {
            (from < count).then(|| edge(from, error, to.index(count)))
        };
        let (named, tags, extra) = about;
        let mut value = json!({
            "nodes": nodes.into_iter().enumerate().map(node).collect::<Value>(),
            "edges": edges.into_iter().filter_map(edge).collect::<Value>(),
            "tags": tags.into_iter().map(|tag| format!("t{tag}")).collect::<Value>(),
        });
        if named {
            value["name"] = json!("a name");
        }
        for (nth, extra) in extra {
            value[format!("x{nth}")] = extra;
        }
        Workflow { value, wrapped, layout }
    })
}

/// An edge as pflow writes it: the action only where it is not the default one.
fn edge(from: usize, error: bool, to: usize) -> Value {
    let mut edge = json!({ "from": node_id(from), "to": node_id(to) });
    if error {
        edge["action"] = json!("error");
    }
    edge
}

pub(crate) fn edits(clashing: bool) -> impl Strategy<Value = Vec<Edit>> {
    let unit = prop_oneof![
        Just(Unit::Name),
        (0..4_usize).prop_map(Unit::Extra),
        (0..6_usize).prop_map(Unit::Tag),
        (0..7_usize).prop_map(Unit::Type),
        (0..7_usize, 0..4_usize).prop_map(|(node, param)| Unit::Param(node, param)),
        (0..7_usize, 0..3_usize).prop_map(|(node, param)| Unit::Deep(node, param)),
        (0..7_usize, any::<bool>()).prop_map(|(node, error)| Unit::Edge(node, error)),
        // Not the first node: that would be an edit of the start too.
        (1..7_usize).prop_map(Unit::Remove),
        (10..14_usize).prop_map(Unit::Add),
    ];
    let mut who = vec![Who::Ours, Who::Theirs, Who::Both];
    if clashing {
        who.push(Who::Clash);
    }
    let edit = (unit, prop::sample::select(who), any::<bool>(), any::<Index>());
    vec(edit.prop_map(|(unit, who, removes, at)| Edit { unit, who, removes, at }), 0..16)
}

impl Workflow {
    pub(crate) fn document(&self) -> Document {
        let value =
            if self.wrapped { json!({ "name": "wrapper", "ir": self.value }) } else { self.value.clone() };
        let text = match self.layout {
            Layout::Compact => value.to_string(),
            Layout::Pretty => format!("{value:#}\n"),
            // A layout that the merge itself never writes.
            Layout::Lines => value.to_string().replace("},{", "},\n\n {"),
        };
        Document::parse(text, &Limits::default()).expect("a workflow of ours")
    }

    /// Returns the independent edits of this workflow.
    pub(crate) fn disjoint(&self, edits: Vec<Edit>) -> Vec<Edit> {
        let count = self.nodes();
        let mut seen = BTreeSet::new();
        let mut kept: Vec<Edit> = edits
            .into_iter()
            .filter(|edit| edit.unit.node().is_none_or(|node| node < count) && seen.insert(edit.unit.clone()))
            .collect();
        let removed: BTreeSet<usize> = kept
            .iter()
            .filter_map(|edit| if let Unit::Remove(node) = edit.unit { Some(node) } else { None })
            .collect();
        kept.retain(|edit| match edit.unit {
            Unit::Remove(_) => true,
            // The edges to a removed node are removed too.
            Unit::Edge(from, error) => {
                let target = edit.target(count);
                let old = self.edge_to(from, error);
                !removed.contains(&from)
                    && !removed.contains(&target)
                    && !removed.contains(&((target + 1) % count))
                    && old.is_none_or(|old| !removed.contains(&old))
            }
            _ => edit.unit.node().is_none_or(|node| !removed.contains(&node)),
        });
        kept
    }

    fn nodes(&self) -> usize {
        self.value["nodes"].as_array().unwrap().len()
    }

    fn edge_to(&self, from: usize, error: bool) -> Option<usize> {
        let edges = self.value["edges"].as_array().unwrap();
        let edge = edges.iter().find(|edge| is_edge(edge, from, error))?;
        edge["to"].as_str().unwrap().trim_start_matches('n').parse().ok()
    }

    /// Returns the workflow with the edits of this side.
    pub(crate) fn edited(&self, edits: &[Edit], by: &[Who], theirs: bool) -> Self {
        let mut edited = self.clone();
        for edit in edits.iter().filter(|edit| by.contains(&edit.who)) {
            edited.apply(edit, self, theirs);
        }
        edited
    }

    fn apply(&mut self, edit: &Edit, base: &Self, theirs: bool) {
        let clashes = edit.who == Who::Clash;
        let new = match (clashes, theirs) {
            (false, _) => json!({ "new": [edit.at.index(100)] }),
            (true, false) => json!("ours"),
            (true, true) => json!("theirs"),
        };
        // In a clash our side may remove what their side changes.
        let removes = edit.removes && !(clashes && theirs);
        let count = base.nodes();
        let value = &mut self.value;
        let set = |object: &mut Value, key: String| {
            let object = object.as_object_mut().unwrap();
            if removes && object.remove(&key).is_some() {
                return;
            }
            object.insert(key, new.clone());
        };
        match edit.unit {
            Unit::Name => value["name"] = json!(format!("name {}", new)),
            Unit::Extra(nth) => set(value, format!("x{nth}")),
            Unit::Type(node) => node_mut(value, node)["type"] = json!(format!("type {new}")),
            Unit::Param(node, param) => set(&mut node_mut(value, node)["params"], format!("p{param}")),
            Unit::Deep(node, param) => set(&mut node_mut(value, node)["params"]["deep"], format!("p{param}")),
            Unit::Tag(nth) => {
                let (tags, tag) = (value["tags"].as_array_mut().unwrap(), json!(format!("t{nth}")));
                match tags.iter().position(|known| *known == tag) {
                    Some(at) => drop(tags.remove(at)),
                    None => tags.insert(edit.at.index(tags.len() + 1), tag),
                }
            }
            Unit::Edge(from, error) => {
                let edges = value["edges"].as_array_mut().unwrap();
                let to = edit.target(count);
                let to = if clashes && theirs { (to + 1) % count } else { to };
                match edges.iter().position(|edge| is_edge(edge, from, error)) {
                    Some(at) if removes => drop(edges.remove(at)),
                    Some(at) => edges[at]["to"] = json!(node_id(to)),
                    None => edges.insert(edit.at.index(edges.len() + 1), edge(from, error, to)),
                }
            }
            Unit::Remove(node) if clashes && theirs => node_mut(value, node)["type"] = json!("kept"),
            Unit::Remove(node) => {
                let id = node_id(node);
                value["nodes"].as_array_mut().unwrap().retain(|node| node["id"] != id.as_str());
                let edges = value["edges"].as_array_mut().unwrap();
                edges.retain(|edge| edge["from"] != id.as_str() && edge["to"] != id.as_str());
            }
            Unit::Add(nth) => {
                let nodes = value["nodes"].as_array_mut().unwrap();
                let at = 1 + edit.at.index(nodes.len());
                nodes.insert(at, json!({ "id": node_id(nth), "type": format!("type {new}") }));
            }
        }
    }

    /// Returns the path at which an edit clashes; none if it cannot clash or both sides make the same edit.
    pub(crate) fn clash(&self, edit: &Edit) -> Option<String> {
        let level = if self.wrapped { "ir." } else { "" };
        let inside = match edit.unit {
            Unit::Name => "name".to_owned(),
            Unit::Extra(nth) => format!("x{nth}"),
            Unit::Tag(_) => return None,
            Unit::Type(node) => format!("nodes[id=n{node}].type"),
            Unit::Param(node, param) => format!("nodes[id=n{node}].params.p{param}"),
            Unit::Deep(node, param) => format!("nodes[id=n{node}].params.deep.p{param}"),
            Unit::Remove(node) => format!("nodes[id=n{node}]"),
            Unit::Add(node) => format!("nodes[id=n{node}].type"),
            Unit::Edge(from, error) => {
                let count = self.nodes();
                let old = self.edge_to(from, error);
                let (ours, theirs) = (edit.target(count), (edit.target(count) + 1) % count);
                let removed = edit.removes && old.is_some();
                if old == Some(theirs) || (!removed && (ours == theirs || old == Some(ours))) {
                    return None;
                }
                let edge = format!("edges[from=n{from},action={}]", ACTIONS[usize::from(error)]);
                if removed { edge } else { format!("{edge}.to") }
            }
        };
        Some(format!("{level}{inside}"))
    }
}

impl Edit {
    fn target(&self, count: usize) -> usize {
        self.at.index(count)
    }
}

impl Unit {
    fn node(&self) -> Option<usize> {
        match self {
            Self::Type(node)
            | Self::Param(node, _)
            | Self::Deep(node, _)
            | Self::Edge(node, _)
            | Self::Remove(node) => Some(*node),
            Self::Name | Self::Extra(_) | Self::Tag(_) | Self::Add(_) => None,
        }
    }
}

fn node_mut(value: &mut Value, nth: usize) -> &mut Value {
    let id = node_id(nth);
    value["nodes"].as_array_mut().unwrap().iter_mut().find(|node| node["id"] == id.as_str()).unwrap()
}

fn is_edge(edge: &Value, from: usize, error: bool) -> bool {
    edge["from"] == node_id(from).as_str() && edge.get("action").is_some() == error
}

/// Returns the document with nodes, edges and tags in a fixed order.
pub(crate) fn said(document: &Document) -> Value {
    sorted(serde_json::from_slice(document.bytes()).unwrap())
}

pub(crate) fn sorted(mut value: Value) -> Value {
    for list in ["/nodes", "/edges", "/tags", "/ir/nodes", "/ir/edges", "/ir/tags", "/metadata/tags"] {
        if let Some(Value::Array(list)) = value.pointer_mut(list) {
            list.sort_by_cached_key(ToString::to_string);
        }
    }
    value
}

/// Returns how often each value occurs.
pub(crate) fn counted<T: std::hash::Hash + Eq>(items: impl IntoIterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    for item in items {
        *counts.entry(item).or_insert(0) += 1;
    }
    counts
}
