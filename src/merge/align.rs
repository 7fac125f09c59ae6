//! Matches the parts of several versions of an object or list, and orders them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::Fragment;
use super::path::{EdgeName, Step};
use super::value::{Part, Parts, Role, Value};

/// The name of a part among its siblings, equal in all versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key<'d> {
    Member(Cow<'d, str>),
    Node(Cow<'d, str>),
    Edge { from: Cow<'d, str>, action: Cow<'d, str>, to: Option<(Cow<'d, str>, usize)> },
    Tag(Cow<'d, str>, usize),
}

impl Key<'_> {
    pub(super) fn step(&self) -> Step {
        match self {
            Self::Member(key) => Step::Key(key.to_string()),
            Self::Node(id) => Step::Node(id.to_string()),
            Self::Edge { from, action, to } => Step::Edge(EdgeName {
                from: from.to_string(),
                action: action.to_string(),
                to: to.as_ref().map(|(to, nth)| (to.to_string(), *nth)),
            }),
            Self::Tag(tag, nth) => Step::Tag { tag: tag.to_string(), nth: *nth },
        }
    }
}

/// `N` versions of an object or list, aligned part by part. A missing version has no parts.
#[derive(Debug)]
pub(super) struct Aligned<'v, 'd, const N: usize> {
    /// The names of each version's parts, in that version's order.
    pub(super) keys: [Vec<Key<'d>>; N],
    found: HashMap<Key<'d>, [Option<&'v Part<'d>>; N]>,
}

impl<'v, 'd, const N: usize> Aligned<'v, 'd, N> {
    pub(super) fn new(versions: [Option<&'v Parts<'d>>; N]) -> Self {
        let keys = keys(versions);
        let mut found: HashMap<_, [Option<&Part<'_>>; N]> = HashMap::new();
        for (nth, (keys, version)) in keys.iter().zip(versions).enumerate() {
            for (key, part) in keys.iter().zip(version.iter().flat_map(|version| &version.parts)) {
                let versions = found.entry(key.clone()).or_insert([None; N]);
                if let Some(place) = versions.get_mut(nth) {
                    *place = Some(part);
                }
            }
        }
        Self { keys, found }
    }

    /// The part of that name in every version.
    pub(super) fn of(&self, key: &Key<'d>) -> [Option<&'v Part<'d>>; N] {
        self.found.get(key).copied().unwrap_or([None; N])
    }

    /// For each version, the names of the parts that all versions in `among` have, in that version's order.
    pub(super) fn common(&self, among: [bool; N]) -> [Vec<&Key<'d>>; N] {
        let is_common =
            |key: &&Key<'d>| self.of(key).iter().zip(among).all(|(part, counts)| part.is_some() || !counts);
        self.keys.each_ref().map(|keys| keys.iter().filter(is_common).collect())
    }
}

/// Names the parts of all versions.
fn keys<'d, const N: usize>(versions: [Option<&Parts<'d>>; N]) -> [Vec<Key<'d>>; N] {
    let Some(Parts { role, is_list, .. }) = versions.into_iter().flatten().next() else {
        return [const { Vec::new() }; N];
    };
    let parts = |version: Option<&Parts<'d>>, name: &mut dyn FnMut(&Part<'d>) -> Key<'d>| {
        version.iter().flat_map(|version| &version.parts).map(name).collect()
    };
    match role {
        Role::Edges if *is_list => {
            let crowded: HashSet<_> = versions.into_iter().flatten().flat_map(crowded).collect();
            versions.map(|version| {
                let mut seen = HashMap::new();
                parts(version, &mut |part| {
                    let (from, action) = leaves(&part.value);
                    let to = crowded.contains(&(from.clone(), action.clone())).then(|| {
                        let to = part.value.get("to").and_then(Value::string).unwrap_or_default();
                        let nth = count(&mut seen, (from.clone(), action.clone(), to.clone()));
                        (to, nth)
                    });
                    Key::Edge { from, action, to }
                })
            })
        }
        Role::Tags if *is_list => versions.map(|version| {
            let mut seen = HashMap::new();
            parts(version, &mut |part| Key::Tag(part.name.clone(), count(&mut seen, part.name.clone())))
        }),
        Role::Nodes if *is_list => {
            versions.map(|version| parts(version, &mut |part| Key::Node(part.name.clone())))
        }
        _ => versions.map(|version| parts(version, &mut |part| Key::Member(part.name.clone()))),
    }
}

/// The ids of nodes, as a list.
pub(super) fn ids(keys: &[&Key<'_>]) -> Fragment {
    let ids = keys.iter().filter_map(|key| match key {
        Key::Node(id) => Some(id.as_ref()),
        _ => None,
    });
    Fragment::written(&ids.collect())
}

/// The number of times that the key was counted before.
pub(super) fn count<K: Eq + Hash>(seen: &mut HashMap<K, usize>, key: K) -> usize {
    let count = seen.entry(key).or_insert(0);
    *count += 1;
    *count - 1
}

/// The pairs of node and action for which a version has several edges.
fn crowded<'d>(edges: &Parts<'d>) -> HashSet<(Cow<'d, str>, Cow<'d, str>)> {
    let mut seen = HashSet::new();
    let leaves = edges.parts.iter().map(|part| leaves(&part.value));
    leaves.filter(|edge| !seen.insert(edge.clone())).collect()
}

/// The node that an edge leaves and its action. A missing or empty action is `default`.
fn leaves<'d>(edge: &Value<'d>) -> (Cow<'d, str>, Cow<'d, str>) {
    let text = |key| edge.get(key).and_then(Value::string).filter(|text| !text.is_empty());
    let action = text("action").or_else(|| text("condition"));
    (text("from").unwrap_or_default(), action.unwrap_or(Cow::Borrowed("default")))
}

/// Merges two lists into one order. The order is that of `lead`. An item that only `follow` has comes after
/// the item that it follows there, and after the items that only `lead` has at that position.
pub(super) fn order<'k, K: Eq + Hash>(lead: &'k [K], follow: &'k [K]) -> Vec<&'k K> {
    let leading: HashSet<&K> = lead.iter().collect();
    let mut first = Vec::new();
    let mut behind: HashMap<&K, Vec<&K>> = HashMap::new();
    let mut anchor = None;
    for key in follow {
        if leading.contains(key) {
            anchor = Some(key);
            behind.insert(key, Vec::new());
        } else {
            anchor.and_then(|anchor| behind.get_mut(anchor)).unwrap_or(&mut first).push(key);
        }
    }
    let mut order = Vec::with_capacity(lead.len() + follow.len());
    let mut waiting = first;
    for key in lead {
        if let Some(next) = behind.remove(key) {
            order.append(&mut waiting);
            waiting = next;
        }
        order.push(key);
    }
    order.append(&mut waiting);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_come_after_the_item_they_followed() {
        let ordered = |lead: &str, follow: &str| -> String {
            let (lead, follow): (Vec<_>, Vec<_>) = (lead.chars().collect(), follow.chars().collect());
            order(&lead, &follow).into_iter().collect()
        };
        for (lead, follow, expected) in [
            ("", "", ""),
            ("abc", "abc", "abc"),
            ("", "xy", "xy"),
            ("abc", "axbc", "axbc"),
            ("abc", "xabcy", "xabcy"),
            ("cba", "axbc", "cbax"),
            ("albc", "axbc", "alxbc"),
            ("labc", "xabc", "lxabc"),
            ("abcl", "abcxy", "abclxy"),
            ("ac", "abxc", "abxc"),
        ] {
            assert_eq!(ordered(lead, follow), expected, "{lead} {follow}");
        }
    }

    fn edges(text: &str) -> String {
        format!(r#"{{"edges": [{text}]}}"#)
    }

    #[test]
    fn edge_is_identified_by_its_action_unless_ambiguous() {
        let named = |versions: [&str; 2]| {
            let texts = versions.map(edges);
            let roots = texts.each_ref().map(|text| Value::read(text));
            let aligned = Aligned::new(roots.each_ref().map(|root| root.get("edges").and_then(Value::parts)));
            aligned.keys.map(|keys| {
                let steps = keys.iter().map(|key| super::super::Path::ROOT.join(key.step()).to_string());
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
