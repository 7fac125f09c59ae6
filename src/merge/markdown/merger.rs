//! The merge of the blocks.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use super::{
    block::{Block, Name, Nature},
    lines::{self, Budget},
};
use crate::merge::{
    Clash, Fragment, Overlap, Path, Step,
    order::order,
    three::{Pick, Side, Three},
};

/// The number of a place in a document, which is the same in all versions.
pub(super) type PlaceId = usize;

/// The places of all blocks: the place of the parent, and the name there.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<(PlaceId, Name), PlaceId>);

/// The place of the document.
pub(super) const ROOT: PlaceId = 0;

/// A leaf: where it is, and its text.
pub(super) type Leaf<'d> = (PlaceId, &'d Block<'d>);

impl Places {
    pub(super) fn of(&mut self, parent: PlaceId, name: &Name) -> PlaceId {
        let next = self.0.len() + 1;
        *self.0.entry((parent, name.clone())).or_insert(next)
    }

    /// The leaves of blocks, in order.
    pub(super) fn leaves<'b>(&mut self, blocks: &'b [Block<'b>]) -> Vec<Leaf<'b>> {
        let mut leaves = Vec::new();
        self.collect(ROOT, blocks, &mut leaves);
        leaves
    }

    fn collect<'b>(&mut self, parent: PlaceId, blocks: &'b [Block<'b>], leaves: &mut Vec<Leaf<'b>>) {
        for block in blocks {
            let place = self.of(parent, &block.name);
            if block.nature == Nature::Parts {
                self.collect(place, &block.parts, leaves);
            } else {
                leaves.push((place, block));
            }
        }
    }
}

/// What is between a leaf and its neighbours.
#[derive(Debug)]
struct Gap<'d> {
    after: &'d str,
    before: &'d str,
    /// The leaf that follows; none at the end of the document.
    next: Option<PlaceId>,
}

/// Merges blocks, writes the merged text, and collects the overlaps. Where there is an overlap, the text
/// has that of one side; such a text is never returned to a caller.
pub(super) struct Merger<'d> {
    /// The side that decides where the edits do not determine the text: its layout, and the order of what
    /// both added. The choice must not depend on which side is called ours.
    leader: Side,
    /// The side whose noted values count, if both sides noted something.
    later: Option<Side>,
    pub(super) overlaps: Vec<Overlap>,
    pub(super) places: Places,
    /// The places whose texts have lines of both sides.
    pub(super) by_lines: HashSet<PlaceId>,
    text: String,
    /// The leaves that were written, with the ranges of their texts.
    leaves: Vec<(PlaceId, Range<usize>)>,
    gaps: Three<HashMap<PlaceId, Gap<'d>>>,
    budget: Budget,
}

/// A block in three versions.
type At<'d> = Three<Option<&'d Block<'d>>>;

impl<'d> Merger<'d> {
    pub(super) fn new(leader: Side, later: Side, versions: Three<Option<&'d [Block<'d>]>>) -> Self {
        let mut places = Places::default();
        let gaps =
            versions.map(|blocks| blocks.map(|blocks| gaps(&places.leaves(blocks))).unwrap_or_default());
        let noted = versions.map(|blocks| noted(blocks.unwrap_or_default()));
        let is_noted = |side: &Vec<_>| versions.base.is_none() || *side != noted.base;
        let later = Some(later).filter(|_| is_noted(&noted.ours) && is_noted(&noted.theirs));
        let (overlaps, by_lines, text, leaves, budget) = Default::default();
        Self { leader, later, overlaps, places, by_lines, text, leaves, gaps, budget }
    }

    /// Returns the merged text, and its leaves with their texts.
    pub(super) fn finish(mut self) -> (String, Vec<(PlaceId, String)>, Places, HashSet<PlaceId>) {
        self.separate(None);
        let of = |range: &Range<usize>| self.text.get(range.clone()).unwrap_or_default().to_owned();
        let leaves = self.leaves.iter().map(|(place, range)| (*place, of(range))).collect();
        (self.text, leaves, self.places, self.by_lines)
    }

    /// Merges lists of blocks by their names.
    pub(super) fn list(
        &mut self,
        (path, parent): (&Path, PlaceId),
        lists: Three<Option<&'d [Block<'d>]>>,
        base_is_known: bool,
    ) {
        let names =
            lists.map(|list| list.unwrap_or_default().iter().map(|block| &block.name).collect::<Vec<_>>());
        let found = lists.map(|list| {
            list.unwrap_or_default().iter().map(|block| (&block.name, block)).collect::<HashMap<_, _>>()
        });
        for name in self.order(path, &names, lists.base.is_some()) {
            let at = found.as_ref().map(|found| found.get(name).copied());
            let place = self.places.of(parent, name);
            self.block((&name.path(path), place), at, base_is_known);
        }
    }

    /// The order of the names: that of the side that changed it. Only the order of items matters.
    fn order<'n>(&mut self, path: &Path, names: &Three<Vec<&'n Name>>, base_has_some: bool) -> Vec<&'n Name> {
        let sets = names.as_ref().map(|names| names.iter().copied().collect::<HashSet<_>>());
        let is_common = |name: &&&Name| {
            sets.ours.contains(*name)
                && sets.theirs.contains(*name)
                && (!base_has_some || sets.base.contains(*name))
        };
        let common = names.as_ref().map(|names| names.iter().filter(is_common).copied().collect::<Vec<_>>());
        let pick = common.pick(base_has_some, |a, b| a == b);
        let items = common.as_ref().map(|names| items(names));
        if pick == Pick::Neither && items.pick(base_has_some, |a, b| a == b) == Pick::Neither {
            let list = |items: &Vec<&str>| Fragment::written(&items.iter().copied().collect());
            let path = path.join(Step::Order);
            let base = base_has_some.then(|| list(&items.base));
            let (ours, theirs) = (Some(list(&items.ours)), Some(list(&items.theirs)));
            self.overlaps.push(Overlap { path, clash: Clash::Order, base, ours, theirs });
        }
        let lead = match pick {
            Pick::Only(side) => side,
            Pick::Same | Pick::Neither => self.leader,
        };
        let (lead, follow) = (names.side(lead), names.side(lead.other()));
        order(lead, follow).into_iter().copied().collect()
    }

    fn block(&mut self, (path, place): (&Path, PlaceId), at: At<'d>, base_is_known: bool) {
        let is = |nature| [at.ours, at.theirs].iter().flatten().any(|block| block.nature == nature);
        if let Some(later) = self.later.filter(|_| is(Nature::Volatile)) {
            return self.taken(place, *at.side(later));
        }
        let pick = at.pick(base_is_known, |a, b| a.map(|block| block.text) == b.map(|block| block.text));
        let parted = at.map(|block| block.filter(|block| block.nature == Nature::Parts));
        match pick {
            Pick::Same => self.taken(place, *at.side(self.leader)),
            Pick::Only(side) if self.later.is_none() || parted.side(side).is_none() => {
                self.taken(place, *at.side(side));
            }
            _ if parted.ours.is_some() && parted.theirs.is_some() => {
                // What both sides added has no ancestor.
                let base_is_known = base_is_known && parted.base.is_some();
                let lists = parted.map(|block| block.map(|block| &block.parts[..]));
                self.list((path, place), lists, base_is_known);
            }
            Pick::Only(side) => self.taken(place, *at.side(side)),
            Pick::Neither if is(Nature::Layout) => {
                self.taken(place, at.side(self.leader).or(*at.side(self.leader.other())));
            }
            Pick::Neither => self.clashing((path, place), at, base_is_known),
        }
    }

    /// Takes the block of one side, or nothing if that side has none.
    fn taken(&mut self, place: PlaceId, block: Option<&'d Block<'d>>) {
        let Some(block) = block else { return };
        if block.nature != Nature::Parts {
            return self.write(place, block.text);
        }
        for part in &block.parts {
            let place = self.places.of(place, &part.name);
            self.taken(place, Some(part));
        }
    }

    /// Both sides changed the block, perhaps one of them by removing it.
    fn clashing(&mut self, (path, place): (&Path, PlaceId), at: At<'d>, base_is_known: bool) {
        if let Three { base: Some(base), ours: Some(ours), theirs: Some(theirs) } = at
            && base_is_known
            && let Some(text) = self.by_lines((path, place), Three { base, ours, theirs })
        {
            return self.write(place, &text);
        }
        if let (Some(base), Some(kept), None) | (Some(base), None, Some(kept)) = (at.base, at.ours, at.theirs)
            && base_is_known
            && kept.is_but_noted(base)
        {
            return;
        }
        if at.ours.or(at.theirs).is_some_and(|block| block.nature == Nature::Volatile) {
            return self.taken(place, at.ours.or(at.theirs));
        }
        self.overlap(path.clone(), at.map(|block| block.map(Block::fragment)));
        self.taken(place, at.side(self.leader).or(*at.side(self.leader.other())));
    }

    /// Merges a text line by line. None if it cannot be merged so, and then nothing is reported.
    fn by_lines(&mut self, (path, place): (&Path, PlaceId), at: Three<&'d Block<'d>>) -> Option<String> {
        if [at.base, at.ours, at.theirs].iter().any(|block| block.nature != Nature::Lines) {
            return None;
        }
        // The first and the last line of a fence are merged as wholes.
        let pick = |of: fn(&Block<'_>) -> String| {
            let texts = at.map(of);
            match texts.pick(true, |a, b| a == b) {
                Pick::Only(side) => Some(texts.side(side).clone()),
                Pick::Same => Some(texts.ours.clone()),
                Pick::Neither => None,
            }
        };
        let before = pick(|block| block.around().0.to_owned())?;
        let after = pick(|block| block.around().1.to_owned())?;
        // The last line has a line end like all others, so that a line after it is no change of it.
        let ended = |block: &Block<'_>| match block.value() {
            value if value.ends_with('\n') || value.is_empty() => value.to_owned(),
            value => format!("{value}\n"),
        };
        let texts = at.map(ended);
        let is_closed = at.map(|block| block.value().ends_with('\n'));
        match lines::merge(texts.as_ref().map(String::as_str), &mut self.budget) {
            Ok(text) => {
                self.by_lines.insert(place);
                let text = match [is_closed.ours, is_closed.theirs] {
                    [false, false] => text.strip_suffix('\n').unwrap_or(&text),
                    _ => &text,
                };
                Some(format!("{before}{text}{after}"))
            }
            Err(places) if places.is_empty() => None,
            Err(places) => {
                let texts = texts.as_ref().map(|text| lines::lines(text));
                for place in places {
                    let shown = |lines: &Vec<&str>, range: &Range<usize>| {
                        let text = lines.get(range.clone()).unwrap_or_default().concat();
                        Some(Fragment::written(&serde_json::Value::String(text)))
                    };
                    let at = Three {
                        base: shown(&texts.base, &place.base),
                        ours: shown(&texts.ours, &place.ours),
                        theirs: shown(&texts.theirs, &place.theirs),
                    };
                    // Named by the lines of the ancestor, which both sides know.
                    self.overlap(path.join(Step::Lines { first: place.base.start + 1 }), at);
                }
                Some(String::new())
            }
        }
    }

    fn overlap(&mut self, path: Path, Three { base, ours, theirs }: Three<Option<Fragment>>) {
        self.overlaps.push(Overlap { path, clash: Clash::Value, base, ours, theirs });
    }

    /// Writes a leaf, after what separates it from the one before.
    fn write(&mut self, place: PlaceId, text: &str) {
        self.separate(Some(place));
        let start = self.text.len();
        self.text.push_str(text);
        self.leaves.push((place, start..self.text.len()));
    }

    /// Writes what is between the last leaf and the next one: the blank lines of the sides in which the two
    /// follow each other, else those that are before the next leaf in its side.
    fn separate(&mut self, next: Option<PlaceId>) {
        let Some((last, _)) = self.leaves.last() else { return };
        let found = self.gaps.as_ref().map(|gaps| gaps.get(last));
        let follows = found.map(|gap| gap.filter(|gap| gap.next == next).map(|gap| gap.after));
        let ahead = self.gaps.as_ref().map(|gaps| gaps.get(&next?)).map(|gap| gap.map(|gap| gap.before));
        let texts = if follows.ours.or(follows.theirs).is_some() { follows } else { ahead };
        let side = match (texts.ours, texts.theirs) {
            (Some(_), Some(_)) => match texts.pick(texts.base.is_some(), |a, b| a == b) {
                Pick::Only(side) => side,
                Pick::Same | Pick::Neither => self.leader,
            },
            (Some(_), None) => Side::Ours,
            (None, _) => Side::Theirs,
        };
        // Without a side at the end, the leaf ended no document before.
        let gap = texts.side(side).unwrap_or("\n");
        self.text.push_str(gap);
        if next.is_some() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

/// What is around each leaf of a version.
fn gaps<'d>(leaves: &[Leaf<'d>]) -> HashMap<PlaceId, Gap<'d>> {
    let mut before = "";
    let next = leaves.iter().skip(1).map(|(place, _)| Some(*place)).chain([None]);
    let gaps = leaves.iter().zip(next).map(|((place, leaf), next)| {
        let after = leaf.gap;
        (*place, Gap { after, before: std::mem::replace(&mut before, after), next })
    });
    gaps.collect()
}

/// What programs noted in a document.
fn noted<'d>(blocks: &'d [Block<'d>]) -> Vec<(&'d Name, &'d str)> {
    let front_matter = blocks.iter().filter(|block| block.name == Name::FrontMatter);
    let parts = front_matter.flat_map(|block| &block.parts);
    parts.filter(|part| part.nature == Nature::Volatile).map(|part| (&part.name, part.text)).collect()
}

/// The ids of the items among these names.
fn items<'n>(names: &[&'n Name]) -> Vec<&'n str> {
    let id = |name: &&'n Name| match name {
        Name::Item(id) => Some(id.as_str()),
        _ => None,
    };
    names.iter().filter_map(id).collect()
}
