//! Merges and compares workflows in pflow's markdown.
//!
//! A document is a tree of named blocks: the keys of the front matter, the title and the text below it,
//! sections, the items of a section by their ids, and in an item its text and its parameters by their keys,
//! inline or as a fence. A block that only one side changed is taken from that side, byte for byte. If both
//! changed a block, its parts are merged; text, prompts and scripts are merged line by line, and everything
//! else overlaps.
//!
//! - The order of steps is the order in which pflow runs them. So the merged document is read, and the
//!   edges of its workflow must be those that the sides intended: an edge that one side removed is gone,
//!   one that it added is there, and there is no other. It also starts where the side that changed the
//!   start wanted. Otherwise the order overlaps.
//! - What pflow notes after a run never overlaps. If both sides noted something, all values of the side
//!   with more runs count.
//! - Blank lines between blocks, and the line end after the last one, are layout and never overlap. If
//!   every line of a document ends in CR LF, its line ends are layout too: the result has those of the side
//!   that changed them.
//! - Text is a block up to the next parameter, and is named by the parameter before it.
//! - The value of each parameter must be that of the side that changed it, as pflow reads the merged
//!   document.
//! - Each block of the merged document must be read as it was merged. If it is not, for example because an
//!   indented line of one side now continues a parameter of the other, the document overlaps as a whole.

mod block;
mod lines;
mod merger;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
};

use block::{Block, Name, Nature, crowded};
use lines::Budget;
use merger::{Merger, PlaceId, Places, ROOT};
use serde_json::Value;

use super::{
    Change, Clash, Fragment, Merge, Overlap, Path, Step, text_of,
    three::{Pick, Side, Three},
    whole,
};
use crate::document::{
    Document, Limits, is_volatile,
    markdown::{PflowMarkdown, SectionKind, parse},
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

    fn blocks(&self, crowded: &HashSet<String>) -> Vec<Block<'_>> {
        Block::tree(&self.text, &self.workflow.outline, crowded)
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
    text.contains("\r\n") && 2 * text.matches("\r\n").count() == text.matches(['\r', '\n']).count()
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
    let outlines = [&three.base, &three.ours, &three.theirs].into_iter().flatten();
    let crowded = crowded(outlines.map(|version| &version.workflow.outline));
    let blocks = three.as_ref().map(|version| version.as_ref().map(|version| version.blocks(&crowded)));
    let lists = blocks.as_ref().map(Option::as_deref);
    let mut merger = Merger::new(leader, later, lists);
    merger.list((&Path::ROOT, ROOT), lists, lists.base.is_some());
    if !merger.overlaps.is_empty() {
        return Merge::Overlapping(merger.overlaps);
    }
    let (text, intended, mut places, by_lines) = merger.finish();
    let ends = Three { base, ours: Some(ours), theirs: Some(theirs) };
    let ends = ends.map(|document| document.map(text_of).is_some_and(is_crlf));
    let crlf = match ends.pick(base.is_some(), |a, b| a == b) {
        Pick::Only(side) => *ends.side(side),
        Pick::Same | Pick::Neither => *ends.side(leader),
    };
    let text = if crlf { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text };
    let same = [ours, theirs].into_iter().find(|side| side.bytes() == text.as_bytes());
    let merged = match same.map_or_else(|| ours.read_like_this(text, limits), |side| Ok(side.clone())) {
        Ok(merged) => merged,
        Err(refusal) => return Merge::Refused(refusal),
    };
    let Some(version) = Version::read(&merged) else { return whole::merge(base, ours, theirs) };
    let found = version.blocks(&crowded);
    let found = places.leaves(&found).into_iter().map(|(place, block)| (place, block.text.to_owned()));
    // Blank lines before everything else are layout, and are told by no name.
    if found.collect::<Vec<_>>() != intended {
        return whole::merge(base, ours, theirs);
    }
    let three = three.as_ref().map(Option::as_ref);
    let lines = ByLines { places: &mut places, by_lines: &by_lines };
    let mut overlaps = contradictions(three, &version, lines);
    overlaps.extend(misordered(three, &version));
    if overlaps.is_empty() { Merge::Clean(merged) } else { Merge::Overlapping(overlaps) }
}

/// The text of a step among its values. No parameter has this name.
const PURPOSE: &str = "its text";

/// The place of a value: the group, the id of the item, the key.
type ValuePlace = (&'static str, String, String);

/// The values of a workflow by their places, as pflow reads them. Those that programs note are left out.
fn values(version: &Version<'_>) -> BTreeMap<ValuePlace, Value> {
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
    let front_matter = workflow.front_matter.as_ref().map(|map| map.to_json()).unwrap_or_default();
    add("front_matter", "", front_matter.into_iter().filter(|(key, _)| !is_volatile(key)).collect());
    if let Some(Value::Object(cache)) = workflow.to_ir().get("cache") {
        add("cache", "", cache.clone());
    }
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
        fields.insert(PURPOSE.to_owned(), Value::from(step.purpose.as_str()));
        add("steps", &step.id, fields);
    }
    values
}

/// The texts that have lines of both sides.
struct ByLines<'m> {
    places: &'m mut Places,
    by_lines: &'m HashSet<PlaceId>,
}

impl ByLines<'_> {
    /// Whether the value is such a text, and nothing else in any version gives the value.
    fn has(&mut self, (group, id, key): &ValuePlace) -> bool {
        let section = match *group {
            "inputs" => SectionKind::Inputs,
            "outputs" => SectionKind::Outputs,
            "steps" => SectionKind::Steps,
            "cache" => SectionKind::Cache,
            // The text below the title.
            _ => return key == "description",
        };
        let section = self.places.of(ROOT, &Name::Section(section));
        let item = match id.as_str() {
            "" => section,
            id => self.places.of(section, &Name::Item(id.to_owned())),
        };
        let [first, second] = [0, 1].map(|nth| self.places.of(item, &Name::Key(key.clone(), nth)));
        match key.as_str() {
            // The chunks of the cache are one fence.
            "items" if *group == "cache" => true,
            _ if self.by_lines.contains(&first) => !self.by_lines.contains(&second),
            // The text of an item.
            "description" => *group != "steps",
            PURPOSE => true,
            _ => false,
        }
    }
}

/// The values of the merged workflow that are not those of the side that changed them. Blocks alone do not
/// show them: of equal keys the last one counts, and one side may have added a second one.
fn contradictions(
    three: Three<Option<&Version<'_>>>,
    merged: &Version<'_>,
    mut lines: ByLines<'_>,
) -> Vec<Overlap> {
    let versions = three.map(|version| version.map(values).unwrap_or_default());
    let merged = values(merged);
    let places: BTreeSet<_> = [&versions.base, &versions.ours, &versions.theirs, &merged]
        .into_iter()
        .flat_map(|values| values.keys().cloned())
        .collect();
    let mut overlaps = Vec::new();
    for place in places {
        let at = versions.as_ref().map(|values| values.get(&place));
        let is_meant = match at.pick(three.base.is_some(), |a, b| a == b) {
            Pick::Only(side) => merged.get(&place) == *at.side(side),
            Pick::Same => merged.get(&place) == at.ours,
            Pick::Neither => {
                [at.ours, at.theirs, merged.get(&place)].iter().all(Option::is_some) && lines.has(&place)
            }
        };
        if !is_meant {
            let (group, id, key) = place;
            let path = match (group, id) {
                ("", _) => Path::ROOT.key(key),
                (group, id) if id.is_empty() => Path::ROOT.key(group).key(key),
                (group, id) => Path::ROOT.key(group).join(Step::Node(id)).key(key),
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
    let crowded = crowded([&old.workflow.outline, &new.workflow.outline]);
    let mut changes = Vec::new();
    let mut budget = Budget::default();
    compare(&Path::ROOT, &old.blocks(&crowded), &new.blocks(&crowded), &mut budget, &mut changes);
    changes
}

/// Additions and changes come in the order of `new`, removals at the end of the list that they were in.
fn compare(
    path: &Path,
    old: &[Block<'_>],
    new: &[Block<'_>],
    budget: &mut Budget,
    changes: &mut Vec<Change>,
) {
    let [by_old, by_new] =
        [old, new].map(|blocks| blocks.iter().map(|block| (&block.name, block)).collect::<HashMap<_, _>>());
    let is_shown = |block: &Block<'_>| !matches!(block.nature, Nature::Volatile | Nature::Layout);
    for block in new.iter().filter(|block| is_shown(block)) {
        let path = block.name.path(path);
        match by_old.get(&block.name) {
            Some(before) if before.text == block.text => {}
            Some(before) if block.nature == Nature::Parts => {
                compare(&path, &before.parts, &block.parts, budget, changes);
            }
            Some(before) => compare_leaves(&path, before, block, budget, changes),
            None if block.parts.iter().any(|part| !is_shown(part)) => {
                compare(&path, &[], &block.parts, budget, changes);
            }
            None => changes.push(Change { path, before: None, after: Some(block.fragment()) }),
        }
    }
    for block in old.iter().filter(|block| is_shown(block) && !by_new.contains_key(&block.name)) {
        changes.push(Change { path: block.name.path(path), before: Some(block.fragment()), after: None });
    }
    let ids = |blocks: &[Block<'_>], others: &HashMap<&Name, &Block<'_>>| -> Vec<String> {
        let common = blocks.iter().filter(|block| others.contains_key(&block.name));
        let id = |block: &Block<'_>| match &block.name {
            Name::Item(id) => Some(id.clone()),
            _ => None,
        };
        common.filter_map(id).collect()
    };
    let (before, after) = (ids(old, &by_new), ids(new, &by_old));
    if before != after {
        let list = |ids: Vec<String>| Some(Fragment::written(&ids.into_iter().collect()));
        changes.push(Change { path: path.join(Step::Order), before: list(before), after: list(after) });
    }
}

/// The changed lines of a text, or the whole value.
fn compare_leaves(
    path: &Path,
    before: &Block<'_>,
    after: &Block<'_>,
    budget: &mut Budget,
    changes: &mut Vec<Change>,
) {
    let is_text = before.nature == Nature::Lines && after.nature == Nature::Lines;
    let (old, new) = (lines::lines(before.value()), lines::lines(after.value()));
    let is_text = is_text && before.around() == after.around();
    let hunks = is_text.then(|| lines::hunks(&old, &new, budget)).flatten();
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
