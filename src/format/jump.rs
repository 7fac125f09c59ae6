//! How any ancestor of a version is reached in few reads.
//!
//! Beside its parents each version names one ancestor further back along the first parents: its jump. The
//! lengths of jumps follow the skew-binary numbers (E. W. Myers, "An applicative random-access stack",
//! Information Processing Letters 17, 1983): where the jump of the parent and the jump of that one are equally
//! long, a version jumps over both, and else to its parent.
//!
//! ```text
//! depth  1   2   3   4   5   6   7   8   9  10  11  12  13  14  15  16
//! jump   -   1   2   1   4   5   4   1   8   9   8  11  12  11   8   1
//! ```
//!
//! A head has the jump of its version, the jump of that, and so on to the first version. So the next version
//! is placed without a read. From a head of depth 10,000 every ancestor is found with at most 25 records, and
//! the first version with one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Current, VersionId, VersionRef, generation};
use crate::document::ContentHash;

/// A reference to an ancestor along the first parents of the same workflow. Two are equal if they name the
/// same version at the same depth, as with a [`VersionRef`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Jump {
    /// [`VersionRecord::depth`](super::VersionRecord::depth).
    pub depth: u64,
    /// [`VersionRecord::generation`](super::VersionRecord::generation).
    #[serde(deserialize_with = "generation")]
    pub generation: u64,
    /// [`VersionRecord::version_id`](super::VersionRecord::version_id).
    pub version_id: VersionId,
    /// The hash of the version's record.
    pub record_hash: ContentHash,
    /// Fields that a later program wrote.
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

impl PartialEq for Jump {
    fn eq(&self, other: &Self) -> bool {
        (self.depth, self.reference()) == (other.depth, other.reference())
    }
}

impl Eq for Jump {}

/// The place of the next version in its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChainPlace {
    pub(crate) depth: u64,
    /// [`VersionRecord::merges`](super::VersionRecord::merges).
    pub(crate) merges: u64,
    /// The jump of the version, the jump of that one, and so on.
    pub(crate) jumps: Vec<Jump>,
}

impl Jump {
    fn to(current: &Current) -> Self {
        let record = &current.record;
        let (generation, version_id) = (record.generation, record.version_id);
        let (depth, record_hash) = (record.depth, current.record_hash);
        Self { depth, generation, version_id, record_hash, extra: Map::new() }
    }

    /// The reference by which other records name this version.
    pub fn reference(&self) -> VersionRef {
        let (generation, version_id) = (self.generation, self.version_id);
        let (record_hash, extra) = (self.record_hash, self.extra.clone());
        VersionRef { workflow: None, generation, version_id, record_hash, extra }
    }
}

impl ChainPlace {
    /// The same place for a version that has a second parent.
    pub(crate) fn merging(self) -> Self {
        Self { merges: self.merges.saturating_add(1), ..self }
    }

    /// The place of the version that follows the one that was current `before`.
    pub(crate) fn above(before: Option<&Current>) -> Self {
        let Some(parent) = before.map(Jump::to) else {
            return Self { depth: 1, merges: 0, jumps: Vec::new() };
        };
        let depth = parent.depth.saturating_add(1);
        let mut jumps: Vec<Jump> = before.into_iter().flat_map(Current::chain).cloned().collect();
        match jumps.as_slice() {
            [first, second, ..]
                if parent.depth.saturating_sub(first.depth) == first.depth.saturating_sub(second.depth) =>
            {
                jumps.remove(0);
            }
            _ => jumps.insert(0, parent),
        }
        Self { depth, merges: before.map_or(0, |before| before.record.merges), jumps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::version::tests::record;

    /// Returns the versions of a chain, the first one first.
    fn chain(depth: u64) -> Vec<Current> {
        let mut chain: Vec<Current> = Vec::new();
        for generation in 1..=depth {
            let before = chain.last();
            let parents = before.map(Current::reference).into_iter().collect();
            let place = ChainPlace::above(before);
            let record = crate::format::VersionRecord { parents, ..record(generation, b"{}") }.placed(&place);
            let hash = ContentHash::of(generation.to_string().as_bytes());
            chain.push(Current::placed(record, hash, place));
        }
        chain
    }

    #[test]
    fn jumps_are_those_of_the_table_above() {
        let jumps: Vec<u64> =
            chain(16).iter().map(|it| it.record.jump.as_ref().map_or(0, |jump| jump.depth)).collect();
        assert_eq!(jumps, [0, 1, 2, 1, 4, 5, 4, 1, 8, 9, 8, 11, 12, 11, 8, 1]);
    }

    /// How many records are read on the way from a head to each generation.
    #[test]
    fn every_ancestor_of_ten_thousand_is_near() {
        const DEPTH: u64 = 10_000;
        let chain = chain(DEPTH);
        let record = |generation: u64| &chain[usize::try_from(generation).unwrap() - 1].record;
        let head = chain.last().unwrap();
        let mut most = 0;
        for sought in 1..DEPTH {
            let mut next = head.nearest(sought);
            let mut reads = 0;
            while let Some(named) = next {
                reads += 1;
                next = record(named.generation).towards(sought);
            }
            assert!(reads <= 25, "{sought}: {reads}");
            if sought == 1 {
                assert_eq!(reads, 1, "the head names the first version");
            }
            most = most.max(reads);
        }
        assert_eq!(most, 25);
        let longest = chain.iter().map(|it| it.chain().count()).max().unwrap();
        assert!((10..=13).contains(&longest), "{longest}");
        let all: usize = chain.iter().map(|it| it.chain().count()).sum();
        assert!(all / chain.len() < 8, "half of that on average");
    }
}
