//! Merges and compares workflows in pflow's markdown.
//!
//! A document is a tree of named blocks: the keys of the front matter, the title and the text below it, sections,
//! the items of a section by their ids, and in an item its text and its parameters by their keys, inline or as a
//! fence. A block that only one side changed is taken from that side, byte for byte. If both changed a block, its
//! parts are merged; text, prompts and scripts are merged line by line, and everything else overlaps.
//!
//! - The order of steps is the order in which pflow runs them. So the merged document is read, and the edges of
//!   its workflow must be those that the sides intended: an edge that one side removed is gone, one that it added
//!   is there, and there is no other. It also starts where the side that changed the start wanted. Otherwise the
//!   order overlaps.
//! - What pflow notes after a run never overlaps: the values of the side with more runs count.
//! - Blank lines and line ends are layout. If one side has CR LF, the result has what the side has that changed it.
//! - The value of each parameter must be that of the side that changed it, as pflow reads the merged document.
//! - Each block of the merged document must be read as it was merged. If it is not, for example because an indented
//!   line of one side now continues a parameter of the other, the document overlaps as a whole.

mod block;
mod lines;
mod merger;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use block::{Block, Name, Nature};
use merger::{Merger, leaves};
use serde_json::Value;

use super::{
    Change, Clash, Fragment, Merge, Overlap, Path, Step, text_of,
    three::{Pick, Side, Three},
    whole,
};
use crate::document::{
    Document, Limits,
    markdown::{PflowMarkdown, parse},
};

/// A document that is to be merged: its text with uniform line ends, and what it says.
struct Version<'d> {
    text: Cow<'d, str>,
    workflow: PflowMarkdown,
}

impl<'d> Version<'d> {
    /// Reads a document, whose line ends become LF if all are CR LF. None if it is not a workflow, which
    /// cannot be: it was checked.
    fn read(document: &'d Document) -> Option<Self> {
        let text = text_of(document);
        let text = if is_crlf(text) { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
        let workflow = parse(&text).ok()?;
        Some(Self { text, workflow })
    }

    fn blocks(&self) -> Vec<Block<'_>> {
        Block::tree(&self.text, &self.workflow.outline)
    }

    fn edges(&self) -> BTreeSet<(&str, &str, &str)> {
        edges(&self.workflow)
    }

    fn first_step(&self) -> Option<&str> {
        self.workflow.steps.first().map(|step| step.id.as_str())
    }

    /// The count of runs and the time of the last rewrite, by which the side with more runs is found.
    fn runs(&self) -> (u64, String) {
        let noted = |key| self.workflow.front_matter.as_ref()?.get(key).map(|value| value.to_json());
        let count = noted("execution_count").and_then(|count| count.as_u64()).unwrap_or(0);
        (count, noted("updated_at").map(|at| at.to_string()).unwrap_or_default())
    }
}

/// Whether every line of the text ends in CR LF.
fn is_crlf(text: &str) -> bool {
    text.contains("\r\n") && text.matches("\r\n").count() == text.matches(['\r', '\n']).count() / 2
}

fn edges(workflow: &PflowMarkdown) -> BTreeSet<(&str, &str, &str)> {
    let edges = workflow.edges.iter();
    edges.map(|edge| (&*edge.from, &*edge.to, edge.action.as_deref().unwrap_or("default"))).collect()
}

/// Merges two documents that differ from each other and from `base`.
pub(super) fn merge(base: Option<&Document>, ours: &Document, theirs: &Document, limits: &Limits) -> Merge {
    let read = base.map(Version::read);
    let (Some(our), Some(their)) = (Version::read(ours), Version::read(theirs)) else {
        return whole::merge(base, ours, theirs);
    };
    let three = Three { base: read.flatten(), ours: Some(our), theirs: Some(their) };
    // The choice does not depend on which side is called ours.
    let leader = if ours.bytes() <= theirs.bytes() { Side::Ours } else { Side::Theirs };
    let runs = three.as_ref().map(|version| version.as_ref().map(Version::runs));
    let later = match runs.ours.cmp(&runs.theirs) {
        std::cmp::Ordering::Greater => Side::Ours,
        std::cmp::Ordering::Less => Side::Theirs,
        std::cmp::Ordering::Equal => leader,
    };
    let blocks = three.as_ref().map(|version| version.as_ref().map(Version::blocks));
    let lists = blocks.as_ref().map(Option::as_deref);
    let mut merger = Merger::new(leader, later, lists);
    merger.list(&Path::ROOT, lists, lists.base.is_some());
    if !merger.overlaps.is_empty() {
        return Merge::Overlapping(merger.overlaps);
    }
    let (text, intended) = merger.finish();
    let ends = Three { base, ours: Some(ours), theirs: Some(theirs) };
    let ends = ends.map(|document| document.map(text_of).is_some_and(is_crlf));
    let crlf = match ends.pick(base.is_some(), |a, b| a == b) {
        Pick::Only(side) => *ends.side(side),
        Pick::Same | Pick::Neither => *ends.side(leader),
    };
    let text = if crlf { text.replace('\n', "\r\n") } else { text };
    let same = [ours, theirs].into_iter().find(|side| side.bytes() == text.as_bytes());
    let merged = match same.map_or_else(|| ours.read_like_this(text, limits), |side| Ok(side.clone())) {
        Ok(merged) => merged,
        Err(refusal) => return Merge::Refused(refusal),
    };
    let Some(version) = Version::read(&merged) else { return whole::merge(base, ours, theirs) };
    let trimmed = |leaves: Vec<(Vec<Name>, String)>| -> Vec<(Vec<Name>, String)> {
        leaves.into_iter().map(|(place, text)| (place, text.trim_end_matches('\n').to_owned())).collect()
    };
    if trimmed(leaves(&version.blocks())) != trimmed(intended) {
        return whole::merge(base, ours, theirs);
    }
    let three = three.as_ref().map(Option::as_ref);
    let mut overlaps = contradictions(three, &version);
    overlaps.extend(misordered(three, &version));
    if overlaps.is_empty() { Merge::Clean(merged) } else { Merge::Overlapping(overlaps) }
}

/// The values of a workflow by their places, as pflow reads them.
fn values(version: &Version<'_>) -> BTreeMap<(&'static str, String, String), Value> {
    let workflow = &version.workflow;
    let mut values = BTreeMap::new();
    for (key, text) in [("title", &workflow.title), ("description", &workflow.description)] {
        if let Some(text) = text {
            values.insert(("", String::new(), key.to_owned()), Value::from(text.as_str()));
        }
    }
    let mut add = |group, id: &str, fields: serde_json::Map<String, Value>| {
        for (key, value) in fields {
            values.insert((group, id.to_owned(), key), value);
        }
    };
    for port in &workflow.inputs {
        add("inputs", &port.id, port.fields.to_json());
    }
    for port in &workflow.outputs {
        add("outputs", &port.id, port.fields.to_json());
    }
    for step in &workflow.steps {
        let mut fields = step.settings.to_json();
        fields.extend(step.params.to_json());
        fields.insert("type".to_owned(), step.kind.to_json());
        add("steps", &step.id, fields);
    }
    values
}

/// The values of the merged workflow that are not those of the side that changed them. Blocks alone do not show
/// them: of equal keys the last one counts, and one side may have added a second one.
fn contradictions(three: Three<Option<&Version<'_>>>, merged: &Version<'_>) -> Vec<Overlap> {
    let versions = three.map(|version| version.map(values).unwrap_or_default());
    let merged = values(merged);
    let places: BTreeSet<_> = [&versions.base, &versions.ours, &versions.theirs, &merged]
        .into_iter()
        .flat_map(|values| values.keys().cloned())
        .collect();
    let mut overlaps = Vec::new();
    for place in places {
        let at = versions.as_ref().map(|values| values.get(&place));
        let meant = match at.pick(three.base.is_some(), |a, b| a == b) {
            Pick::Only(side) => *at.side(side),
            Pick::Same => at.ours,
            // Lines of both.
            Pick::Neither => continue,
        };
        if merged.get(&place) != meant {
            let (group, id, key) = place;
            let path = match group {
                "" => Path::ROOT.key(key),
                group => Path::ROOT.key(group).join(Step::Node(id)).key(key),
            };
            let Three { base, ours, theirs } = at.map(|value| value.map(Fragment::written));
            overlaps.push(Overlap { path, clash: Clash::Value, base, ours, theirs });
        }
    }
    overlaps
}

/// Compares the edges and the start of the merged workflow with what the sides intended.
fn misordered(three: Three<Option<&Version<'_>>>, merged: &Version<'_>) -> Option<Overlap> {
    let edges = three.map(|version| version.map(Version::edges).unwrap_or_default());
    let starts = three.map(|version| version.and_then(Version::first_step));
    let added = |side: &BTreeSet<_>| side.difference(&edges.base).copied().collect::<Vec<_>>();
    let mut intended: BTreeSet<_> = edges.ours.intersection(&edges.theirs).copied().collect();
    intended.extend(added(&edges.ours));
    intended.extend(added(&edges.theirs));
    let start = match starts.pick(three.base.is_some(), |a, b| a == b) {
        Pick::Only(side) => *starts.side(side),
        Pick::Same => starts.ours,
        Pick::Neither => None,
    };
    if merged.edges() == intended && merged.first_step() == start {
        return None;
    }
    let order = |version: &Version<'_>| {
        Fragment::written(&version.workflow.steps.iter().map(|step| step.id.as_str()).collect())
    };
    let Three { base, ours, theirs } = three.map(|version| version.map(order));
    let path = Path::ROOT.key("steps").join(Step::Order);
    Some(Overlap { path, clash: Clash::Order, base, ours, theirs })
}

/// Lists the changes from one document to another one.
pub(super) fn changes(before: &Document, after: &Document) -> Vec<Change> {
    let (Some(old), Some(new)) = (Version::read(before), Version::read(after)) else {
        return whole::changes(before, after);
    };
    let mut changes = Vec::new();
    compare(&Path::ROOT, &old.blocks(), &new.blocks(), &mut changes);
    changes
}

/// Additions and changes come in the order of `new`, removals at the end of the list that they were in.
fn compare(path: &Path, old: &[Block<'_>], new: &[Block<'_>], changes: &mut Vec<Change>) {
    let find = |blocks: &'_ [Block<'_>], name: &Name| blocks.iter().position(|block| block.name == *name);
    for block in new {
        let path = block.name.path(path);
        match find(old, &block.name).and_then(|at| old.get(at)) {
            Some(before) if before.text == block.text => {}
            Some(before) if block.nature == Nature::Parts => {
                compare(&path, &before.parts, &block.parts, changes)
            }
            Some(before) if block.nature == Nature::Volatile || before.nature == Nature::Volatile => {}
            Some(before) => compare_leaves(&path, before, block, changes),
            None if block.nature == Nature::Volatile => {}
            None => changes.push(Change { path, before: None, after: Some(block.fragment()) }),
        }
    }
    let is_gone = |block: &&Block<'_>| find(new, &block.name).is_none() && block.nature != Nature::Volatile;
    for block in old.iter().filter(is_gone) {
        changes.push(Change { path: block.name.path(path), before: Some(block.fragment()), after: None });
    }
    let ids = |blocks: &[Block<'_>], others: &[Block<'_>]| -> Vec<String> {
        let common = blocks.iter().filter(|block| find(others, &block.name).is_some());
        let id = |block: &Block<'_>| match &block.name {
            Name::Item(id, _) => Some(id.clone()),
            _ => None,
        };
        common.filter_map(id).collect()
    };
    let (before, after) = (ids(old, new), ids(new, old));
    if before != after {
        let list = |ids: Vec<String>| Some(Fragment::written(&ids.into_iter().collect()));
        changes.push(Change { path: path.join(Step::Order), before: list(before), after: list(after) });
    }
}

/// The changed lines of a text, or the whole value.
fn compare_leaves(path: &Path, before: &Block<'_>, after: &Block<'_>, changes: &mut Vec<Change>) {
    let is_text = before.nature == Nature::Lines && after.nature == Nature::Lines;
    let (old, new) = (lines::lines(before.value()), lines::lines(after.value()));
    let hunks = lines::hunks(&old, &new).filter(|_| is_text && before.around() == after.around());
    // A text of one line is shown as a value.
    let Some(hunks) = hunks.filter(|_| old.len().max(new.len()) > 1) else {
        let (before, after) = (Some(before.fragment()), Some(after.fragment()));
        return changes.push(Change { path: path.clone(), before, after });
    };
    for hunk in hunks {
        let shown = |lines: &[&str], range: std::ops::Range<usize>| {
            let lines = lines.get(range).filter(|lines| !lines.is_empty())?;
            Some(Fragment::written(&serde_json::Value::String(lines.concat())))
        };
        let path = path.join(Step::Lines { first: hunk.new.start + 1 });
        let (before, after) = (shown(&old, hunk.old), shown(&new, hunk.new));
        changes.push(Change { path, before, after });
    }
}
