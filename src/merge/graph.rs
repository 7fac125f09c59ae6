//! Whether the merged graph means what the sides meant: no merge of values can see that.

use std::borrow::Cow;
use std::collections::HashSet;

use super::combine::Merger;
use super::merged::{Merged, View, What};
use super::path::Path;
use super::three::{Pick, Side, Three};
use super::value::Value;
use super::{Clash, Fragment, Overlap};

/// One version's nodes, and where it starts.
#[derive(Debug)]
struct Graph<'d> {
    ids: HashSet<Cow<'d, str>>,
    start: Option<Cow<'d, str>>,
}

/// Adds to the overlaps those of the graphs, at the root and in `ir`.
pub(super) fn judge<'d>(merger: &mut Merger, merged: &Merged<'_, 'd>, roots: Three<Option<&Value<'d>>>) {
    let root = View::Merged(merged);
    let irs = roots.map(|root| root.and_then(|root| root.get("ir")));
    let (top, ir) = (Graph::of(root), root.get("ir").map(Graph::of).unwrap_or_default());
    let graphs = |values: Three<Option<&Value<'d>>>| {
        values.map(|value| value.map(|value| Graph::of(View::Value(value))).unwrap_or_default())
    };
    let (tops, ir_versions) = (graphs(roots), graphs(irs));
    // A wrapper without nodes of its own speaks of the IR's.
    let (named, versions) = if top.ids.is_empty() { (&ir, &ir_versions) } else { (&top, &tops) };
    ends(merger, &Path::ROOT, root, named, versions);
    start_is_named(merger, &Path::ROOT, root, roots, named, versions);
    if let Some(inner) = root.get("ir") {
        let path = Path::ROOT.key("ir");
        ends(merger, &path, inner, &ir, &ir_versions);
        start_is_named(merger, &path, inner, irs, &ir, &ir_versions);
    }
    // Where edits clash already, it is open where the workflow starts.
    if merger.overlaps.is_empty() {
        starts(merger, &Path::ROOT, &top, &tops);
        starts(merger, &Path::ROOT.key("ir"), &ir, &ir_versions);
    }
}

/// Every edge of the result leads from a node to a node.
fn ends<'d>(
    merger: &mut Merger,
    path: &Path,
    level: View<'_, '_, 'd>,
    named: &Graph<'d>,
    versions: &Three<Graph<'d>>,
) {
    let Some(View::Merged(Merged { what: What::Built { is_list: true, parts }, .. })) = level.get("edges")
    else {
        return;
    };
    for part in parts {
        let edge = View::Merged(&part.value);
        let mut ends = ["from", "to"].into_iter().filter_map(|key| edge.get(key).and_then(View::string));
        if let Some(clash) = ends.find_map(|id| removed(&id, named, versions)) {
            let at = part.from.map(|part| part.map(|part| &part.value));
            merger.overlap(path.key("edges").join(part.key.step()), clash, at);
        }
    }
}

/// The start that the result names is one of its nodes.
fn start_is_named<'d>(
    merger: &mut Merger,
    path: &Path,
    level: View<'_, '_, 'd>,
    values: Three<Option<&Value<'d>>>,
    named: &Graph<'d>,
    versions: &Three<Graph<'d>>,
) {
    let start = level.get("start_node").and_then(View::string);
    if let Some(clash) = start.and_then(|id| removed(&id, named, versions)) {
        let at = values.map(|value| value.and_then(|value| value.get("start_node")));
        merger.overlap(path.key("start_node"), clash, at);
    }
}

/// Says who removed the node, if that is why the result does not have it.
fn removed(id: &Cow<'_, str>, named: &Graph<'_>, versions: &Three<Graph<'_>>) -> Option<Clash> {
    if named.ids.contains(id.as_ref()) {
        return None;
    }
    let by = [Side::Ours, Side::Theirs]
        .into_iter()
        .find(|side| !versions.side(*side).ids.contains(id.as_ref()))?;
    let had = versions.side(by.other()).ids.contains(id.as_ref());
    had.then(|| Clash::RemovedNode { id: id.to_string(), by })
}

/// The result starts where the side starts that changed the start.
fn starts(merger: &mut Merger, path: &Path, merged: &Graph<'_>, versions: &Three<Graph<'_>>) {
    let three = versions.as_ref().map(|graph| graph.start.as_ref());
    let meant = match three.pick(true, |a, b| a == b) {
        Pick::Only(side) => *three.side(side),
        Pick::Same => three.ours,
        Pick::Neither => None,
    };
    if merged.start.as_ref() == meant {
        return;
    }
    let Three { base, ours, theirs } =
        three.map(|start| start.map(|id| Fragment::written(&serde_json::Value::from(id.as_ref()))));
    merger.overlaps.push(Overlap { path: path.key("start_node"), clash: Clash::Start, base, ours, theirs });
}

impl Default for Graph<'_> {
    fn default() -> Self {
        Self { ids: HashSet::new(), start: None }
    }
}

impl<'d> Graph<'d> {
    fn of(level: View<'_, '_, 'd>) -> Self {
        let nodes = level.get("nodes").map(View::elements).unwrap_or_default();
        let id = |node: &View<'_, '_, 'd>| node.get("id").and_then(View::string);
        let start = level.get("start_node").and_then(View::string).filter(|start| !start.is_empty());
        let first = nodes.first().and_then(id);
        // pflow starts at the first node where nothing is said. Where there are no nodes, nothing starts.
        let start = first.map(|first| start.unwrap_or(first));
        Self { ids: nodes.iter().filter_map(id).collect(), start }
    }
}
