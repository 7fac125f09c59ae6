//! The merge itself: chooses the value of each place.

use super::align::{Aligned, Key, ids, order};
use super::merged::{Merged, MergedPart, What};
use super::path::{Path, Step};
use super::three::{Pick, Side, Three};
use super::value::{Part, Parts, Role, Value};
use super::{Clash, Fragment, Overlap};

/// Merges, and collects the overlaps. Where there is an overlap, the result has the value of one side; such a
/// result is never returned to a caller.
#[derive(Debug)]
pub(super) struct Merger {
    /// The side that decides the order if the edits do not determine it. The choice must not depend on which
    /// side is called ours.
    pub(super) leader: Side,
    pub(super) overlaps: Vec<Overlap>,
}

/// The place of a value: the path of its parent, and its name there.
#[derive(Debug, Clone, Copy)]
struct Place<'p, 'd>(&'p Path, &'p Key<'d>);

impl Place<'_, '_> {
    fn path(self) -> Path {
        self.0.join(self.1.step())
    }
}

impl Merger {
    /// Merges the roots, which are objects. Without a base every difference is an overlap.
    pub(super) fn root<'v, 'd>(&mut self, roots: Three<Option<&'v Value<'d>>>) -> Merged<'v, 'd> {
        let parts = roots.map(|root| root.and_then(Value::parts));
        self.parts(&Path::ROOT, Role::Document, parts, parts.base.is_some())
    }

    fn value<'v, 'd>(
        &mut self,
        place: Place<'_, 'd>,
        at: Three<Option<&'v Value<'d>>>,
        base_is_known: bool,
    ) -> Option<Merged<'v, 'd>> {
        let parts = at.map(|value| value.and_then(Value::parts));
        let role = [parts.ours, parts.theirs].into_iter().flatten().map(|parts| parts.role).next();
        if let Some(role) = role {
            if !role.is_graph()
                && let Some(untouched) = untouched(at, base_is_known)
            {
                return Some(untouched);
            }
            if let Some(base_is_known) = is_taken_apart(role, at, base_is_known) {
                return Some(self.parts(&place.path(), role, parts, base_is_known));
            }
        }
        self.whole(place, at, base_is_known)
    }

    /// Merges a value as a whole.
    fn whole<'v, 'd>(
        &mut self,
        place: Place<'_, 'd>,
        at: Three<Option<&'v Value<'d>>>,
        base_is_known: bool,
    ) -> Option<Merged<'v, 'd>> {
        let pick = at.pick(base_is_known, |a, b| match (a, b) {
            (Some(a), Some(b)) => a.same(b),
            (None, None) => true,
            _ => false,
        });
        let value = match pick {
            Pick::Only(side) => *at.side(side),
            // Equal values, perhaps with different spellings.
            Pick::Same => {
                let texts = at.map(|value| value.map(Value::text));
                *at.side(self.spelling(texts))
            }
            Pick::Neither => {
                self.overlap(place.path(), Clash::Value, at);
                at.side(self.leader).or(*at.side(self.leader.other()))
            }
        };
        value.map(|value| taken(value, at))
    }

    /// Merges an object or list part by part.
    fn parts<'v, 'd>(
        &mut self,
        path: &Path,
        role: Role,
        at: Three<Option<&'v Parts<'d>>>,
        base_is_known: bool,
    ) -> Merged<'v, 'd> {
        let aligned = Aligned::new([at.base, at.ours, at.theirs]);
        let keys = self.order(path, role, &aligned, at.base.is_some());
        let parts: Vec<_> = keys
            .into_iter()
            .filter_map(|key| {
                let from = Three::new(aligned.of(key));
                let values = from.map(|part| part.map(|part| &part.value));
                let value = self.value(Place(path, key), values, base_is_known)?;
                let keys = from.map(|part| part.map(|part| part.key));
                let written_key = keys.side(self.spelling(keys)).or(keys.ours).or(keys.theirs);
                Some(MergedPart {
                    key: key.clone(),
                    written_key: written_key.unwrap_or_default(),
                    from,
                    value,
                })
            })
            .collect();
        let spelled = Three {
            base: None,
            ours: spelled(Side::Ours, &at, &parts),
            theirs: spelled(Side::Theirs, &at, &parts),
        };
        let is_list = [at.ours, at.theirs].into_iter().flatten().any(|parts| parts.is_list);
        Merged { what: What::Built { is_list, parts }, spelled }
    }

    /// The order of all parts: that of the side that changed it. Without an ancestor, only equal orders count
    /// as unchanged.
    fn order<'k, 'd>(
        &mut self,
        path: &Path,
        role: Role,
        aligned: &'k Aligned<'_, 'd, 3>,
        base_has_one: bool,
    ) -> Vec<&'k Key<'d>> {
        let common = Three::new(aligned.common([base_has_one, true, true]));
        let pick = common.pick(base_has_one, |a, b| a == b);
        if pick == Pick::Neither && role == Role::Nodes {
            let Three { base, ours, theirs } = common.map(|keys| ids(&keys));
            let (path, base) = (path.join(Step::Order), base_has_one.then_some(base));
            let (ours, theirs) = (Some(ours), Some(theirs));
            self.overlaps.push(Overlap { path, clash: Clash::Order, base, ours, theirs });
        }
        let lead = match pick {
            Pick::Only(side) => side,
            Pick::Same | Pick::Neither => self.leader,
        };
        let [_, ours, theirs] = &aligned.keys;
        match lead {
            Side::Ours => order(ours, theirs),
            Side::Theirs => order(theirs, ours),
        }
    }

    pub(super) fn overlap(&mut self, path: Path, clash: Clash, at: Three<Option<&Value<'_>>>) {
        let Three { base, ours, theirs } = at.map(|value| value.map(|value| Fragment::of(value.text())));
        self.overlaps.push(Overlap { path, clash, base, ours, theirs });
    }

    /// The side whose spelling of equal values is taken: the side that changed the spelling.
    fn spelling(&self, texts: Three<Option<&str>>) -> Side {
        match texts.pick(true, |a, b| a == b) {
            Pick::Only(side) => side,
            Pick::Same | Pick::Neither => self.leader,
        }
    }
}

/// The value of one side if the other did not change it. This covers most of a document.
fn untouched<'v, 'd>(at: Three<Option<&'v Value<'d>>>, base_is_known: bool) -> Option<Merged<'v, 'd>> {
    let Three { base: Some(base), ours: Some(ours), theirs: Some(theirs) } = at else { return None };
    if base_is_known && base.text() == ours.text() {
        Some(taken(theirs, at))
    } else if base_is_known && base.text() == theirs.text() {
        Some(taken(ours, at))
    } else {
        None
    }
}

/// Whether a value is merged part by part. If so, returns whether the ancestor of the parts is known.
fn is_taken_apart(role: Role, at: Three<Option<&Value<'_>>>, base_is_known: bool) -> Option<bool> {
    let lists = at.map(|value| value.and_then(Value::parts).map(|parts| parts.is_list));
    let absent = at.map(|value| value.is_none_or(|value| role.may_be_absent() && value.is_null()));
    match lists {
        Three { ours: Some(ours), theirs: Some(theirs), base } if ours == theirs => {
            if !base_is_known || base == Some(ours) {
                Some(base_is_known)
            } else if absent.base {
                // A value that both sides added has no ancestor, unless an absent ancestor is equivalent to
                // an empty one.
                Some(role.may_be_absent())
            } else {
                None
            }
        }
        // The check of the graph must know which side each edge comes from.
        _ if role == Role::Edges && base_is_known && absent.base && (absent.ours || absent.theirs) => {
            Some(true)
        }
        _ => None,
    }
}

fn taken<'v, 'd>(value: &'v Value<'d>, at: Three<Option<&Value<'d>>>) -> Merged<'v, 'd> {
    let spelled = at.map(|other| other.map(Value::text).filter(|text| *text == value.text()));
    Merged { what: What::Taken(value), spelled }
}

/// The text of a side, if its parts are exactly these, in this order and with this spelling.
fn spelled<'d>(side: Side, at: &Three<Option<&Parts<'d>>>, parts: &[MergedPart<'_, 'd>]) -> Option<&'d str> {
    let version = at.side(side).as_ref()?;
    let alike = |(own, merged): (&Part<'_>, &MergedPart<'_, '_>)| {
        merged.from.side(side).is_some_and(|part| std::ptr::eq(part, own))
            && merged.written_key == own.key
            && merged.value.spelled.side(side).is_some()
    };
    let all = version.parts.len() == parts.len() && version.parts.iter().zip(parts).all(alike);
    all.then_some(version.text)
}
