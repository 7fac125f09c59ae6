//! The merge itself: chooses the value of each place.

use super::align::{Aligned, RowId};
use super::merged::{Built, Merged, MergedPart, What};
use super::pair::Pair;
use super::value::{Role, Value};
use crate::merge::order::order;
use crate::merge::path::{Path, Step};
use crate::merge::three::{Pick, Side, Three};
use crate::merge::{Clash, Fragment, Overlap};

/// Merges, and collects the overlaps. Where there is an overlap, the result has the value of one side; such a
/// result is never returned to a caller.
#[derive(Debug)]
pub(in crate::merge) struct Merger {
    /// The side that decides the order if the edits do not determine it. The choice must not depend on which
    /// side is called ours.
    pub(in crate::merge) leader: Side,
    pub(in crate::merge) overlaps: Vec<Overlap>,
    base_and_ours: Pair,
    base_and_theirs: Pair,
}

/// The place of a value: the path of its parent, and its row there.
#[derive(Debug, Clone, Copy)]
struct Place<'p, 'd>(&'p Path, &'p Aligned<'d, 3>, RowId);

impl Place<'_, '_> {
    fn path(self) -> Path {
        self.0.join(self.1.key(self.2).step())
    }
}

impl Merger {
    pub(in crate::merge) fn new(leader: Side) -> Self {
        let (base_and_ours, base_and_theirs) = Default::default();
        Self { leader, overlaps: Vec::new(), base_and_ours, base_and_theirs }
    }

    /// Merges the roots, which are objects. Without a base every difference is an overlap.
    pub(in crate::merge) fn root<'d>(&mut self, roots: Three<Option<Value<'d>>>) -> Merged<'d> {
        let is_object = |root: Option<Value<'_>>| root.and_then(Value::is_list).is_some();
        let role = roots.ours.map_or(Role::Document, |root| root.role);
        self.parts(&Path::ROOT, role, roots, is_object(roots.base))
    }

    fn value<'d>(
        &mut self,
        place: Place<'_, 'd>,
        at: Three<Option<Value<'d>>>,
        base_is_known: bool,
    ) -> Option<Merged<'d>> {
        let with_parts = |value: &Value<'_>| value.is_list().is_some();
        let role = [at.ours, at.theirs].into_iter().flatten().find(with_parts).map(|value| value.role);
        if let Some(role) = role {
            if !role.is_graph()
                && base_is_known
                && let Some(untouched) = self.untouched(at)
            {
                return Some(untouched);
            }
            if let Some(base_is_known) = is_taken_apart(role, at, base_is_known) {
                return Some(self.parts(&place.path(), role, at, base_is_known));
            }
        }
        self.whole(place, at, base_is_known)
    }

    /// The value of one side if the other did not change it. This covers most of a document.
    fn untouched<'d>(&mut self, at: Three<Option<Value<'d>>>) -> Option<Merged<'d>> {
        let Three { base: Some(base), ours: Some(ours), theirs: Some(theirs) } = at else { return None };
        if self.base_and_ours.is_equal(base.text(), ours.text()) {
            Some(taken(theirs, at))
        } else if self.base_and_theirs.is_equal(base.text(), theirs.text()) {
            Some(taken(ours, at))
        } else {
            None
        }
    }

    /// Merges a value as a whole.
    fn whole<'d>(
        &mut self,
        place: Place<'_, 'd>,
        at: Three<Option<Value<'d>>>,
        base_is_known: bool,
    ) -> Option<Merged<'d>> {
        let pick = at.pick(base_is_known, |a, b| match (a, b) {
            (Some(a), Some(b)) => a.same(*b),
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

    /// Merges an object or list part by part. This is the only place where one is split, so each is split
    /// once, and only if no side left it alone or the check of the graph needs its parts.
    fn parts<'d>(
        &mut self,
        path: &Path,
        role: Role,
        at: Three<Option<Value<'d>>>,
        base_is_known: bool,
    ) -> Merged<'d> {
        let Three { base, ours, theirs } = at.map(|value| value.and_then(Value::parts));
        let is_list = [&ours, &theirs].into_iter().flatten().any(|parts| parts.is_list);
        let base_has_one = base.is_some();
        let from = Aligned::new([base, ours, theirs]);
        let rows = self.order(path, role, &from, base_has_one);
        let mut parts = Vec::with_capacity(rows.len());
        for row in rows {
            let place = Place(path, &from, row);
            let Some(value) = self.value(place, Three::new(from.values(row)), base_is_known) else {
                continue;
            };
            let keys = Three::new(from.parts(row)).map(|part| part.map(|(version, nth)| version.key(nth)));
            let spelling = self.spelling(keys);
            let key = if keys.side(spelling).is_some() { spelling } else { spelling.other() };
            parts.push(MergedPart { row, key, value });
        }
        let built = Built { is_list, from, parts };
        let spelled = Three {
            base: false,
            ours: is_spelled(Side::Ours, &built),
            theirs: is_spelled(Side::Theirs, &built),
        };
        Merged { what: What::Built(Box::new(built)), spelled }
    }

    /// The order of all parts: that of the side that changed it. Without an ancestor, only equal orders count
    /// as unchanged.
    fn order(&mut self, path: &Path, role: Role, from: &Aligned<'_, 3>, base_has_one: bool) -> Vec<RowId> {
        let among = [base_has_one, true, true];
        let versions = Three { base: 0, ours: 1, theirs: 2 };
        let pick = versions.pick(base_has_one, |a, b| from.common(*a, among).eq(from.common(*b, among)));
        if pick == Pick::Neither && role == Role::Nodes {
            let Three { base, ours, theirs } = versions.map(|version| from.ids(version, among));
            let (path, base) = (path.join(Step::Order), base_has_one.then_some(base));
            let (ours, theirs) = (Some(ours), Some(theirs));
            self.overlaps.push(Overlap { path, clash: Clash::Order, base, ours, theirs });
        }
        let lead = match pick {
            Pick::Only(side) => side,
            Pick::Same | Pick::Neither => self.leader,
        };
        let (lead, follow) = (from.order(lead.version()), from.order(lead.other().version()));
        if lead == follow { lead.to_vec() } else { order(lead, follow).into_iter().copied().collect() }
    }

    pub(in crate::merge) fn overlap(&mut self, path: Path, clash: Clash, at: Three<Option<Value<'_>>>) {
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

/// Whether a value is merged part by part. If so, returns whether the ancestor of the parts is known.
fn is_taken_apart(role: Role, at: Three<Option<Value<'_>>>, base_is_known: bool) -> Option<bool> {
    let lists = at.map(|value| value.and_then(Value::is_list));
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

fn taken<'d>(value: Value<'d>, at: Three<Option<Value<'d>>>) -> Merged<'d> {
    let spelled = at.map(|other| other.is_some_and(|other| other.text() == value.text()));
    Merged { what: What::Taken(value), spelled }
}

/// Whether the parts of a side are exactly these, in this order and with this spelling.
fn is_spelled(side: Side, built: &Built<'_>) -> bool {
    let Some(version) = built.version(side) else { return false };
    let is_own = |(nth, part): (usize, &MergedPart<'_>)| {
        let own = *Three::new(built.from.parts(part.row)).side(side);
        own.is_some_and(|(_, own)| own == nth)
            && built.written_key(part) == version.key(nth)
            && *part.value.spelled.side(side)
    };
    version.len() == built.parts.len() && built.parts.iter().enumerate().all(is_own)
}
