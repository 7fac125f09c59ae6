//! The merge of the blocks.

use std::collections::{HashMap, HashSet};

use super::{
    block::{Block, Name, Nature},
    lines,
};
use crate::merge::{
    Clash, Fragment, Overlap, Path, Step,
    order::order,
    three::{Pick, Side, Three},
};

/// Merges blocks, writes the merged text, and collects the overlaps. Where there is an overlap, the text has that
/// of one side; such a text is never returned to a caller.
pub(super) struct Merger {
    /// The side that decides where the edits do not determine the text: its layout, and the order of what both
    /// added. The choice must not depend on which side is called ours.
    pub(super) leader: Side,
    /// The side whose volatile values count if both changed one.
    pub(super) later: Side,
    pub(super) overlaps: Vec<Overlap>,
    pub(super) text: String,
    /// The leaves that were written, by their places and texts: what the merged text has to be read as.
    pub(super) leaves: Vec<(Vec<Name>, String)>,
    place: Vec<Name>,
    /// The blank lines after each leaf of each version.
    gaps: Three<HashMap<Vec<Name>, Gap>>,
}

/// The blank lines after a leaf and before it, and the leaf that follows; none at the end of the document.
#[derive(Debug)]
struct Gap {
    text: String,
    before: String,
    next: Option<Vec<Name>>,
}

/// A block in three versions.
type At<'b, 'd> = Three<Option<&'b Block<'d>>>;

impl Merger {
    pub(super) fn new(leader: Side, later: Side, versions: Three<Option<&[Block<'_>]>>) -> Self {
        let (overlaps, text, leaves, place) = Default::default();
        let gaps = versions.map(|blocks| blocks.map(gaps).unwrap_or_default());
        Self { leader, later, overlaps, text, leaves, place, gaps }
    }

    /// Returns the merged text.
    pub(super) fn finish(mut self) -> (String, Vec<(Vec<Name>, String)>) {
        self.separate(None);
        (self.text, self.leaves)
    }

    /// Merges lists of blocks by their names.
    pub(super) fn list(&mut self, path: &Path, lists: Three<Option<&[Block<'_>]>>, base_is_known: bool) {
        let names =
            lists.map(|list| list.unwrap_or_default().iter().map(|block| &block.name).collect::<Vec<_>>());
        let found = lists.map(|list| {
            list.unwrap_or_default().iter().map(|block| (&block.name, block)).collect::<HashMap<_, _>>()
        });
        for name in self.order(path, &names, lists.base.is_some()) {
            let at = found.as_ref().map(|found| found.get(name).copied());
            self.place.push(name.clone());
            self.block(&name.path(path), at, base_is_known);
            self.place.pop();
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

    fn block(&mut self, path: &Path, at: At<'_, '_>, base_is_known: bool) {
        let pick = at.pick(base_is_known, |a, b| a.map(|block| block.text) == b.map(|block| block.text));
        let parted = at.map(|block| block.filter(|block| block.nature == Nature::Parts));
        match pick {
            Pick::Same => self.taken(*at.side(self.leader)),
            Pick::Only(side) => self.taken(*at.side(side)),
            Pick::Neither if parted.ours.is_some() && parted.theirs.is_some() => {
                // What both sides added has no ancestor.
                let base_is_known = base_is_known && parted.base.is_some();
                self.list(path, parted.map(|block| block.map(|block| &block.parts[..])), base_is_known);
            }
            Pick::Neither => self.clashing(path, at, base_is_known),
        }
    }

    /// Takes the block of one side, or nothing if that side has none.
    fn taken(&mut self, block: Option<&Block<'_>>) {
        let Some(block) = block else { return };
        if block.nature == Nature::Parts {
            for part in &block.parts {
                self.place.push(part.name.clone());
                self.taken(Some(part));
                self.place.pop();
            }
            return;
        }
        self.write(block.text);
    }

    /// Both sides changed the block, perhaps one of them by removing it.
    fn clashing(&mut self, path: &Path, at: At<'_, '_>, base_is_known: bool) {
        let (Some(ours), Some(theirs)) = (at.ours, at.theirs) else {
            if let Some(kept) = at.ours.or(at.theirs).filter(|block| block.nature == Nature::Volatile) {
                return self.taken(Some(kept));
            }
            self.overlap(path.clone(), at.map(|block| block.map(Block::fragment)));
            return self.taken(at.ours.or(at.theirs));
        };
        if ours.nature == Nature::Volatile {
            return self.taken(*at.side(self.later));
        }
        if let Some(base) = at.base.filter(|_| base_is_known)
            && let Some(text) = self.by_lines(path, Three { base, ours, theirs })
        {
            return self.write(&text);
        }
        self.overlap(path.clone(), at.map(|block| block.map(Block::fragment)));
        self.taken(*at.side(self.leader));
    }

    /// Merges a text line by line. None if it cannot be merged so, and then nothing is reported.
    fn by_lines(&mut self, path: &Path, at: Three<&Block<'_>>) -> Option<String> {
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
        match lines::merge(at.map(Block::value)) {
            Ok(text) => Some(format!("{before}{text}{after}")),
            Err(places) if places.is_empty() => None,
            Err(places) => {
                let texts = at.map(|block| lines::lines(block.value()));
                for place in places {
                    let shown = |lines: &Vec<&str>, range: &std::ops::Range<usize>| {
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
    fn write(&mut self, text: &str) {
        let place = self.place.clone();
        self.separate(Some(&place));
        self.text.push_str(text);
        self.leaves.push((place, text.to_owned()));
    }

    /// Writes the blank lines between the last leaf and the next one: those of the sides in which the two follow
    /// each other, else those that are before the next leaf in its side.
    fn separate(&mut self, next: Option<&Vec<Name>>) {
        let Some((last, _)) = self.leaves.last() else { return };
        let found = self.gaps.as_ref().map(|gaps| gaps.get(last));
        let follows = found.map(|gap| gap.filter(|gap| gap.next.as_ref() == next));
        let ahead = self.gaps.as_ref().map(|gaps| gaps.get(next?));
        let texts = match follows.ours.or(follows.theirs) {
            Some(_) => follows.map(|gap| gap.map(|gap| gap.text.as_str())),
            None => ahead.map(|gap| gap.map(|gap| gap.before.as_str())),
        };
        let side = match (texts.ours, texts.theirs) {
            (Some(_), Some(_)) => match texts.pick(texts.base.is_some(), |a, b| a == b) {
                Pick::Only(side) => side,
                Pick::Same | Pick::Neither => self.leader,
            },
            (Some(_), None) => Side::Ours,
            (None, _) => Side::Theirs,
        };
        let gap = *texts.side(side);
        // What ended a document has perhaps no line end.
        if next.is_some() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.text.push_str(gap.unwrap_or_default());
    }
}

/// The blank lines after each leaf of a version.
fn gaps(blocks: &[Block<'_>]) -> HashMap<Vec<Name>, Gap> {
    let mut leaves = Vec::new();
    collect(blocks, &mut Vec::new(), &mut leaves);
    let next = leaves.iter().skip(1).map(|(place, _)| Some(place.clone())).chain([None]).collect::<Vec<_>>();
    let mut before = String::new();
    let mut gaps = HashMap::new();
    for ((place, leaf), next) in leaves.into_iter().zip(next) {
        let text = leaf.gap.to_owned();
        let before = std::mem::replace(&mut before, text.clone());
        gaps.insert(place, Gap { text, before, next });
    }
    gaps
}

/// The ids of the items among these names.
fn items<'n>(names: &[&'n Name]) -> Vec<&'n str> {
    let id = |name: &&'n Name| match name {
        Name::Item(id, _) => Some(id.as_str()),
        _ => None,
    };
    names.iter().filter_map(id).collect()
}

/// The leaves of blocks, by their places and texts.
pub(super) fn leaves(blocks: &[Block<'_>]) -> Vec<(Vec<Name>, String)> {
    let mut leaves = Vec::new();
    collect(blocks, &mut Vec::new(), &mut leaves);
    leaves.into_iter().map(|(place, leaf)| (place, leaf.text.to_owned())).collect()
}

fn collect<'b, 'd>(
    blocks: &'b [Block<'d>],
    place: &mut Vec<Name>,
    leaves: &mut Vec<(Vec<Name>, &'b Block<'d>)>,
) {
    for block in blocks {
        place.push(block.name.clone());
        if block.nature == Nature::Parts {
            collect(&block.parts, place, leaves);
        } else {
            leaves.push((place.clone(), block));
        }
        place.pop();
    }
}
