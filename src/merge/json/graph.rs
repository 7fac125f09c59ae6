//! Checks that the merged graph has the meaning that the sides intended, which a merge of values cannot
//! detect.

use std::borrow::Cow;
use std::collections::HashSet;

use super::combine::Merger;
use super::merged::{Built, Merged, MergedPart, View};
use crate::merge::path::{Path, Step};
use crate::merge::three::{Pick, Side, Three};
use crate::merge::{Clash, Fragment, Overlap};

/// The graphs of the result or of one version, at the root and in `ir`.
#[derive(Debug, Default)]
struct Graphs<'d> {
    top: Graph<'d>,
    ir: Graph<'d>,
}

/// The nodes of a graph, and its start.
#[derive(Debug, Default)]
struct Graph<'d> {
    has_nodes: bool,
    /// The ids of all nodes of the result, or of those of a version that the result does not have.
    ids: HashSet<Cow<'d, str>>,
    start: Option<Cow<'d, str>>,
}

/// Adds the overlaps of the graphs.
pub(super) fn judge(merger: &mut Merger, merged: &Merged<'_>) {
    let Some(built) = merged.built() else { return };
    let graphs = Graphs::of(View::Merged(merged), &Graphs::default());
    let version = |version| Graphs::of(View::Version(built, version), &graphs);
    let versions = Three { base: 0, ours: 1, theirs: 2 }.map(version);
    let (tops, irs) =
        (versions.as_ref().map(|graphs| &graphs.top), versions.as_ref().map(|graphs| &graphs.ir));
    // Parts that already overlap may not be in the final result.
    let ir_path = Path::ROOT.key("ir");
    let open = merger.overlaps.iter().flat_map(|overlap| [Some(&overlap.path), overlap.path.parent()]);
    let open = open.flatten().filter(|path| is_judged(path, &ir_path)).cloned().collect();
    let mut ends = Ends { merger, open };
    // A wrapper without nodes of its own refers to those of `ir`.
    let (named, named_versions) = if graphs.top.has_nodes { (&graphs.top, tops) } else { (&graphs.ir, irs) };
    ends.judge(&Path::ROOT, built, named, named_versions);
    if let Some(ir) = built.part("ir").and_then(|ir| ir.value.built()) {
        ends.judge(&ir_path, ir, &graphs.ir, irs);
    }
    // If edges already overlap, the start of the workflow is undetermined.
    if merger.overlaps.is_empty() {
        starts(merger, &Path::ROOT, &graphs.top, tops);
        starts(merger, &ir_path, &graphs.ir, irs);
    }
}

/// Whether the path is that of an edge or a start. All other paths are left out of the set, because they may
/// be many and long.
fn is_judged(path: &Path, ir: &Path) -> bool {
    match path.last() {
        Some(Step::Edge(_)) => true,
        Some(Step::Key(key)) if key == "start_node" => {
            path.parent().is_some_and(|level| *level == Path::ROOT || level == ir)
        }
        _ => false,
    }
}

/// Checks that both ends of every edge, and the start, are nodes of the result. A reference that is wrong in
/// one version already was checked with that version.
#[derive(Debug)]
struct Ends<'m> {
    merger: &'m mut Merger,
    /// The paths that already overlap.
    open: HashSet<Path>,
}

impl Ends<'_> {
    fn judge(&mut self, path: &Path, level: &Built<'_>, named: &Graph<'_>, versions: Three<&Graph<'_>>) {
        if let Some(start) = level.part("start_node") {
            let id = View::Merged(&start.value).string();
            self.removed(|| path.key("start_node"), level, start, id, named, versions);
        }
        let Some(edges) = level.part("edges").and_then(|edges| edges.value.built()) else { return };
        let path = path.key("edges");
        for part in &edges.parts {
            let edge = View::Merged(&part.value);
            let ids = ["from", "to"].into_iter().filter_map(|key| edge.get(key).and_then(View::string));
            self.removed(|| path.join(edges.from.key(part.row).step()), edges, part, ids, named, versions);
        }
    }

    /// Adds an overlap if one of the `ids` that a part names is missing because one side removed it.
    fn removed<'d>(
        &mut self,
        path: impl Fn() -> Path,
        level: &Built<'_>,
        part: &MergedPart<'_>,
        ids: impl IntoIterator<Item = Cow<'d, str>>,
        named: &Graph<'_>,
        versions: Three<&Graph<'_>>,
    ) {
        let has = |graph: &Graph<'_>, id: &str| graph.ids.contains(id);
        let remover = |id: &str| {
            let by = [Side::Ours, Side::Theirs].into_iter().find(|side| !has(versions.side(*side), id))?;
            has(versions.side(by.other()), id).then_some(by)
        };
        let mut missing = ids.into_iter().filter(|id| !has(named, id));
        let clash =
            missing.find_map(|id| Some(Clash::RemovedNode { by: remover(&id)?, id: id.into_owned() }));
        let Some(clash) = clash else { return };
        let path = path();
        if !self.open.contains(&path) {
            self.merger.overlap(path, clash, level.values(part));
        }
    }
}

/// Checks that the result starts at the node of the side that changed the start.
fn starts(merger: &mut Merger, path: &Path, merged: &Graph<'_>, versions: Three<&Graph<'_>>) {
    let three = versions.map(|graph| graph.start.as_ref());
    let meant = match three.pick(true, |a, b| a == b) {
        Pick::Only(side) => *three.side(side),
        Pick::Same => three.ours,
        Pick::Neither => None,
    };
    if merged.start.as_ref() == meant {
        return;
    }
    let fragment = |id: &Cow<'_, str>| Fragment::written(&serde_json::Value::from(id.as_ref()));
    let Three { base, ours, theirs } = three.map(|start| start.map(fragment));
    merger.overlaps.push(Overlap { path: path.key("start_node"), clash: Clash::Start, base, ours, theirs });
}

impl<'d> Graphs<'d> {
    /// The graphs below `root`, without the nodes of `known`.
    fn of(root: View<'_, 'd>, known: &Graphs<'_>) -> Self {
        let top = Graph::of(root, &known.top);
        let ir = root.get("ir").map(|ir| Graph::of(ir, &known.ir)).unwrap_or_default();
        // A wrapper may name the start of the IR inside it.
        let start = named_start(root).filter(|_| !top.has_nodes).or(ir.start);
        Self { top, ir: Graph { start, ..ir } }
    }
}

impl<'d> Graph<'d> {
    fn of(level: View<'_, 'd>, known: &Graph<'_>) -> Self {
        let nodes = level.get("nodes").map(View::elements).unwrap_or_default();
        let mut ids = nodes.iter().filter_map(|node| node.get("id").and_then(View::string)).peekable();
        // pflow starts at the first node if no start is named. A graph without nodes has no start.
        let start = ids.peek().cloned().map(|first| named_start(level).unwrap_or(first));
        let has_nodes = start.is_some();
        Self { has_nodes, ids: ids.filter(|id| !known.ids.contains(id.as_ref())).collect(), start }
    }
}

fn named_start<'d>(level: View<'_, 'd>) -> Option<Cow<'d, str>> {
    level.get("start_node").and_then(View::string).filter(|start| !start.is_empty())
}
