//! Matches the parts of several versions of an object or list, and orders them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::text;
use super::value::{Parts, Role, Value};
use crate::merge::Fragment;
use crate::merge::order::count;
use crate::merge::path::{EdgeName, Step};

/// The name of a part among its siblings, equal in all versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::merge) enum Key<'d> {
    Member(Cow<'d, str>),
    Node(Cow<'d, str>),
    /// Boxed, so that the other ones stay small.
    Edge(Box<EdgeKey<'d>>),
    Tag(Cow<'d, str>, usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::merge) struct EdgeKey<'d> {
    from: Cow<'d, str>,
    action: Cow<'d, str>,
    to: Option<(Cow<'d, str>, usize)>,
}

impl Key<'_> {
    pub(super) fn step(&self) -> Step {
        match self {
            Self::Member(key) => Step::Key(key.to_string()),
            Self::Node(id) => Step::Node(id.to_string()),
            Self::Edge(edge) => Step::Edge(EdgeName {
                from: edge.from.to_string(),
                action: edge.action.to_string(),
                to: edge.to.as_ref().map(|(to, nth)| (to.to_string(), *nth)),
            }),
            Self::Tag(tag, nth) => Step::Tag { tag: tag.to_string(), nth: *nth },
        }
    }

    /// The name of the part that has this position among parts that are otherwise named alike.
    fn numbered(mut self, number: usize) -> Self {
        match &mut self {
            Self::Tag(_, nth) => *nth = number,
            Self::Edge(edge) => edge.to.iter_mut().for_each(|(_, nth)| *nth = number),
            Self::Member(_) | Self::Node(_) => {}
        }
        self
    }
}

/// `N` versions of an object or list, aligned part by part. A missing version has no parts.
#[derive(Debug)]
pub(in crate::merge) struct Aligned<'d, const N: usize> {
    pub(in crate::merge) versions: [Option<Parts<'d>>; N],
    names: Names<'d>,
    rows: Vec<Row<N>>,
    /// The rows of each version's parts, in that version's order.
    orders: [Vec<RowId>; N],
}

/// The number of a row.
pub(in crate::merge) type RowId = u32;

/// The parts of one name.
#[derive(Debug, Clone, Copy)]
struct Row<const N: usize> {
    /// The position of the part in every version, or [`ABSENT`].
    parts: [u32; N],
    /// See [`Key::numbered`].
    number: u32,
}

const ABSENT: u32 = u32::MAX;

impl<'d, const N: usize> Aligned<'d, N> {
    /// Parts of equal names at the beginning and at the end of all versions are aligned by their position, so
    /// that only the other names take memory.
    pub(super) fn new(versions: [Option<Parts<'d>>; N]) -> Self {
        let names = Names::of(&versions);
        let (first, last) = names.common_ends(&versions);
        let orders =
            versions.each_ref().map(|version| Vec::with_capacity(version.as_ref().map_or(0, Parts::len)));
        let mut aligned = Self { versions, names, rows: Vec::new(), orders };
        for nth in 0..first {
            aligned.add_row(|_| nth);
        }
        aligned.align_by_name(first, last);
        for back in (1..=last).rev() {
            aligned.add_row(|len| len - back);
        }
        aligned
    }

    /// Adds the row of the parts at one position of all versions. `position` gets the number of a version's
    /// parts.
    fn add_row(&mut self, position: impl Fn(usize) -> usize) {
        let row = id(self.rows.len());
        let mut parts = [ABSENT; N];
        for ((version, order), part) in self.versions.iter().zip(&mut self.orders).zip(&mut parts) {
            if let Some(version) = version {
                *part = id(position(version.len()));
                order.push(row);
            }
        }
        self.rows.push(Row { parts, number: 0 });
    }

    /// Aligns all parts but the `first` and the `last` ones of each version.
    fn align_by_name(&mut self, first: usize, last: usize) {
        let longest = self.versions.iter().flatten().map(Parts::len).max().unwrap_or(0);
        let mut found = HashMap::with_capacity(longest.saturating_sub(first + last));
        for (nth_version, (version, order)) in self.versions.iter().zip(&mut self.orders).enumerate() {
            let Some(version) = version else { continue };
            let mut seen = HashMap::new();
            for nth in first..version.len() - last {
                let mut key = self.names.key(version, nth);
                let mut number = 0;
                if self.names.are_counted {
                    number = count(&mut seen, key.clone());
                    key = key.numbered(number);
                }
                let row = *found.entry(key).or_insert_with(|| {
                    self.rows.push(Row { parts: [ABSENT; N], number: id(number) });
                    id(self.rows.len() - 1)
                });
                let parts = self.rows.get_mut(row as usize).map(|row| &mut row.parts);
                if let Some(part) = parts.and_then(|parts| parts.get_mut(nth_version)) {
                    *part = id(nth);
                }
                order.push(row);
            }
        }
    }

    /// The part of a row in every version: the version, and the position of the part in it.
    pub(super) fn parts(&self, row: RowId) -> [Option<(&Parts<'d>, usize)>; N] {
        let mut positions = self.rows.get(row as usize).map_or([ABSENT; N], |row| row.parts).into_iter();
        self.versions.each_ref().map(|version| {
            let position = positions.next().filter(|position| *position != ABSENT)?;
            Some((version.as_ref()?, position as usize))
        })
    }

    /// The value of a row in every version.
    pub(super) fn values(&self, row: RowId) -> [Option<Value<'d>>; N] {
        let parts = self.parts(row);
        let role = parts.iter().flatten().next().map_or(Role::Other, |(version, nth)| version.role_of(*nth));
        parts.map(|part| part.and_then(|(version, nth)| version.value_with(nth, role)))
    }

    /// The name of a row.
    pub(super) fn key(&self, row: RowId) -> Key<'d> {
        let number = self.rows.get(row as usize).map_or(0, |row| row.number);
        let part = self.parts(row).into_iter().flatten().next();
        // Every row has a part.
        let key = part.map_or(Key::Member(Cow::Borrowed("")), |(version, nth)| self.names.key(version, nth));
        key.numbered(number as usize)
    }

    /// All rows of a version, in its order.
    pub(super) fn order(&self, version: usize) -> &[RowId] {
        self.orders.get(version).map(Vec::as_slice).unwrap_or_default()
    }

    /// The rows that all versions in `among` have, in the order of one version.
    pub(super) fn common(&self, version: usize, among: [bool; N]) -> impl Iterator<Item = RowId> {
        let is_common = move |row: &RowId| {
            self.parts(*row).iter().zip(among).all(|(part, counts)| part.is_some() || !counts)
        };
        self.order(version).iter().copied().filter(is_common)
    }

    /// The ids of the nodes of [`common`](Self::common), as a list.
    pub(super) fn ids(&self, version: usize, among: [bool; N]) -> Fragment {
        let ids = self.common(version, among).filter_map(|row| match self.key(row) {
            Key::Node(id) => Some(id),
            _ => None,
        });
        Fragment::written(&ids.collect())
    }
}

/// The number of something in memory. There are fewer than bytes of text, which is less than 4 GiB.
fn id(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(ABSENT)
}

/// How the parts of some versions are named.
#[derive(Debug)]
struct Names<'d> {
    /// The edges that are also named by their target: those for which a version has several.
    crowded: HashSet<Leaves<'d>>,
    /// Whether parts of one version may be named alike, and are counted.
    are_counted: bool,
}

/// The node that an edge leaves, and its action.
type Leaves<'d> = (Cow<'d, str>, Cow<'d, str>);

impl<'d> Names<'d> {
    fn of(versions: &[Option<Parts<'d>>]) -> Self {
        let mut names = Self { crowded: HashSet::new(), are_counted: false };
        let kind = versions.iter().flatten().map(|parts| (parts.role(), parts.is_list)).next();
        if kind == Some((Role::Edges, true)) {
            names.crowded = versions.iter().flatten().flat_map(crowded).collect();
        }
        names.are_counted = kind == Some((Role::Tags, true)) || !names.crowded.is_empty();
        names
    }

    /// The name of a part, with the number 0.
    fn key(&self, parts: &Parts<'d>, nth: usize) -> Key<'d> {
        match parts.role() {
            Role::Edges if parts.is_list => {
                let Some(edge) = parts.value(nth) else { return Key::Member(Cow::Borrowed("")) };
                let leaves = leaves(edge);
                let is_crowded = self.are_counted && self.crowded.contains(&leaves);
                let to = || edge.get("to").and_then(Value::string).unwrap_or_default();
                let (from, action) = leaves;
                Key::Edge(Box::new(EdgeKey { from, action, to: is_crowded.then(|| (to(), 0)) }))
            }
            Role::Tags if parts.is_list => Key::Tag(parts.name(nth), 0),
            Role::Nodes if parts.is_list => Key::Node(parts.name(nth)),
            _ => Key::Member(parts.name(nth)),
        }
    }

    /// The number of parts at the beginning, and of those at the end, that are named alike in all versions.
    fn common_ends(&self, versions: &[Option<Parts<'d>>]) -> (usize, usize) {
        let shortest = versions.iter().flatten().map(Parts::len).min().unwrap_or(0);
        if self.are_counted {
            return (0, 0);
        }
        let is_common = |position: &dyn Fn(usize) -> usize| {
            let mut parts = versions.iter().flatten().map(|version| (version, position(version.len())));
            let Some((one, nth)) = parts.next() else { return false };
            parts.all(|(other, other_nth)| self.are_named_alike((one, nth), (other, other_nth)))
        };
        let first = (0..shortest).take_while(|nth| is_common(&|_| *nth)).count();
        let last = (1..=shortest - first).take_while(|back| is_common(&|len| len - back)).count();
        (first, last)
    }

    fn are_named_alike(&self, (a, a_nth): (&Parts<'d>, usize), (b, b_nth): (&Parts<'d>, usize)) -> bool {
        if a.is_list {
            a.element(a_nth) == b.element(b_nth) || self.key(a, a_nth) == self.key(b, b_nth)
        } else {
            text::same_strings(a.key(a_nth), b.key(b_nth))
        }
    }
}

/// The edges of a version of which it has several.
fn crowded<'d>(edges: &Parts<'d>) -> HashSet<Leaves<'d>> {
    let mut seen = HashSet::new();
    edges.values().map(leaves).filter(|edge| !seen.insert(edge.clone())).collect()
}

/// The node that an edge leaves and its action. A missing or empty action is `default`.
fn leaves(edge: Value<'_>) -> Leaves<'_> {
    let text = |key| edge.get(key).and_then(Value::string).filter(|text| !text.is_empty());
    let action = text("action").or_else(|| text("condition"));
    (text("from").unwrap_or_default(), action.unwrap_or(Cow::Borrowed("default")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::json::cursor::Source;

    fn edges(text: &str) -> String {
        format!(r#"{{"edges": [{text}]}}"#)
    }

    #[test]
    fn edge_is_identified_by_its_action_unless_ambiguous() {
        let named = |versions: [&str; 2]| {
            let texts = versions.map(edges);
            let sources = texts.each_ref().map(|text| Source::new(text));
            let roots = sources.each_ref().map(Value::root);
            let aligned = Aligned::new(roots.map(|root| root.get("edges").and_then(Value::parts)));
            aligned.orders.each_ref().map(|rows| {
                let keys = rows.iter().map(|row| aligned.key(*row));
                let steps = keys.map(|key| crate::merge::Path::ROOT.join(key.step()).to_string());
                steps.collect::<Vec<_>>().concat()
            })
        };
        assert_eq!(
            named([
                r#"{"from": "a", "to": "b"}"#,
                r#"{"from": "a", "to": "c", "action": "", "condition": null}"#
            ]),
            ["[from=a,action=default]"; 2]
        );
        let several =
            r#"{"from": "a", "to": "b", "condition": "x"}, {"from": "a", "to": "b", "action": "x"}"#;
        assert_eq!(
            named([several, r#"{"from": "a", "to": "c", "action": "x", "condition": "y"}"#]),
            ["[from=a,action=x,to=b][from=a,action=x,to=b #2]", "[from=a,action=x,to=c]"]
        );
    }
}
