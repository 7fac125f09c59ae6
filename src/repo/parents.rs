//! The order in which all parents of a version are visited.

use std::collections::BTreeSet;

use super::VersionName;
use crate::format::{VersionRecord, VersionRef};

/// A walk along all parents. The caller reads each version that [`next`](Self::next) returns and passes its
/// record to [`go_on`](Self::go_on).
///
/// Invariant: first parents come first, the nearest first, and each version is returned once. So a version
/// that is an ancestor along the first parents is reported as such, even if other parents lead to it as well.
#[derive(Debug, Default)]
pub(crate) struct ParentWalk {
    /// The versions that were returned so far.
    pub(crate) seen: BTreeSet<VersionName>,
    next: Vec<(VersionRef, bool)>,
}

impl ParentWalk {
    /// Visits this version next. `is_first` says whether it is an ancestor along the first parents.
    pub(crate) fn add(&mut self, named: VersionRef, is_first: bool) {
        self.next.push((named, is_first));
    }

    /// Continues with the parents of a version, except those of the same or a higher generation: they are
    /// damage.
    pub(crate) fn go_on(&mut self, record: &VersionRecord, is_first: bool) {
        let first = record.parents.first();
        let next = record.older_parents().rev();
        self.next.extend(next.map(|parent| (parent.clone(), is_first && Some(parent) == first)));
    }

    /// Returns the next version, and whether it is an ancestor along the first parents; none at the end.
    pub(crate) fn next(&mut self) -> Option<(VersionRef, bool)> {
        while let Some((named, is_first)) = self.next.pop() {
            if self.seen.insert((named.generation, named.version_id)) {
                return Some((named, is_first));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::format::version::tests::record;
    use crate::{document::ContentHash, format::VersionId};

    fn named(generation: u64) -> VersionRef {
        let version_id = VersionId::parse(format!("{generation:026}")).unwrap();
        VersionRef::to(&VersionRecord { version_id, ..record(generation, b"") }, ContentHash::of(b"line"))
    }

    #[test]
    fn first_parents_come_first_if_several_paths_lead_to_them() {
        // 5 has merged 3 and 4, and 4 has merged 3 again.
        let parents: BTreeMap<u64, &[u64]> = [(5, &[3, 4][..]), (4, &[2, 3]), (3, &[1]), (2, &[1])].into();
        let mut walk = ParentWalk::default();
        walk.add(named(5), true);
        let mut told = Vec::new();
        while let Some((version, is_first)) = walk.next() {
            told.push((version.generation, is_first));
            let mut record = record(version.generation, b"{}");
            let of = parents.get(&version.generation).copied().unwrap_or_default();
            record.parents = of.iter().map(|generation| named(*generation)).collect();
            walk.go_on(&record, is_first);
        }
        assert_eq!(told, [(5, true), (3, true), (1, true), (4, false), (2, false)]);
    }
}
