//! Classifies the versions of a workflow by how they relate to its head. Pure.
//!
//! Ancestry over all parents decides. Age does not: a clock, a file time or a pending record proves nothing
//! about a version.
//!
//! - **In the chain**: the version of the head or one of its ancestors. The caller knows these; they are not
//!   classified here.
//! - **Beside**: neither in the chain nor a descendant of the head's version. A lost race, another branch, or
//!   a head that was restored and then saved over leaves such versions. They block nothing.
//! - **Ahead**: the head's version is an ancestor. If the head has no version, every version is ahead. A
//!   version ahead has one of two statuses:
//!   - **Unconfirmed**: one commit ahead, on a storage whose batches are not atomic, and without a witness. A
//!     writer that stopped between writing the version and moving the head leaves this; a writer that is
//!     still at work looks the same.
//!   - **Hurt**: anything else. The head was once at this version or behind it, and was then removed or
//!     replaced by an older state. On a storage with atomic batches a version never exists before its head,
//!     so there every version ahead is a sign of a hurt head.
//!
//! A witness is an index entry or a line of the operation history (both are made from heads alone), a commit
//! that was built on the version, or a working copy with its content (it is written after the head).

use std::collections::{BTreeMap, BTreeSet};

use crate::document::ContentHash;
use crate::format::{StoredVersion, VersionId, VersionRecord, VersionRef};

/// Names a version within its workflow: generation and version id.
pub(crate) type VersionName = (u64, VersionId);

/// How a version outside of the chain lies relative to the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum VersionStatus {
    Beside,
    Unconfirmed,
    Hurt,
}

/// A version whose generation is higher than the head's.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) name: VersionName,
    /// The record and its hash; none if the version cannot be read.
    pub(crate) version: Option<(VersionRecord, ContentHash)>,
}

/// Additional evidence about the candidates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Witnesses {
    /// Versions that an index entry or a line of the operation history names.
    pub(crate) indexed: BTreeSet<VersionName>,
    /// The index has an entry for a workflow whose head has no version.
    pub(crate) head_is_lost: bool,
    /// The content of the working copy, if no version of the chain has that content.
    pub(crate) copy: Option<ContentHash>,
}

impl Candidate {
    pub(crate) fn of(version: StoredVersion) -> Self {
        let name = (version.record.generation, version.record.version_id);
        Self { name, version: Some((version.record, version.record_hash)) }
    }

    pub(crate) fn unreadable(name: VersionName) -> Self {
        Self { name, version: None }
    }

    pub(crate) fn record(&self) -> Option<&VersionRecord> {
        self.version.as_ref().map(|(record, _)| record)
    }

    /// The reference by which other records name this version.
    pub(crate) fn reference(&self) -> Option<VersionRef> {
        self.version.as_ref().map(|(record, record_hash)| VersionRef::to(record, *record_hash))
    }

    fn parents(&self) -> impl Iterator<Item = &VersionRef> {
        self.record().into_iter().flat_map(VersionRecord::older_parents)
    }
}

/// Returns the status of every candidate. `head` is the version of the head; none if there is no head, or if
/// it has no version.
pub(crate) fn classify(
    head: Option<&VersionRef>,
    candidates: &[Candidate],
    atomic_batch: bool,
    witnesses: &Witnesses,
) -> BTreeMap<VersionName, VersionStatus> {
    let mut candidates: Vec<&Candidate> = candidates.iter().collect();
    candidates.sort_by_key(|a| a.name);
    let ahead = ahead(head, &candidates);
    let commits = Commits::of(head, &candidates, &ahead);
    let confirmed = commits.confirmed(&candidates, witnesses);
    let status = |candidate: &Candidate| {
        if !ahead.contains_key(&candidate.name) {
            VersionStatus::Beside
        } else if atomic_batch
            || witnesses.head_is_lost
            || !commits.first.contains(&candidate.name)
            || confirmed.contains(&candidate.name)
        {
            VersionStatus::Hurt
        } else {
            VersionStatus::Unconfirmed
        }
    };
    candidates.iter().map(|candidate| (candidate.name, status(candidate))).collect()
}

/// Returns the versions ahead that a head can be moved to: those that no later version was built on. The flag
/// says whether the version was certainly current once.
///
/// A version without a witness may never have been current, so the version below it is returned as well.
pub(crate) fn tips(
    head: Option<&VersionRef>,
    candidates: &[Candidate],
    atomic_batch: bool,
    witnesses: &Witnesses,
) -> BTreeMap<VersionName, bool> {
    let mut candidates: Vec<&Candidate> = candidates.iter().collect();
    candidates.sort_by_key(|a| a.name);
    let ahead = ahead(head, &candidates);
    let commits = Commits::of(head, &candidates, &ahead);
    let confirmed = commits.confirmed(&candidates, witnesses);
    let is_confirmed = |name: &VersionName| atomic_batch || confirmed.contains(name);
    let candidates = || candidates.iter().filter(|it| ahead.contains_key(&it.name));
    let mut covered = BTreeSet::new();
    for candidate in candidates() {
        let names = candidate.parents().map(|parent| (parent.generation, parent.version_id));
        let partner = commits.partner.get(&candidate.name);
        covered.extend(names.filter(|name| is_confirmed(&candidate.name) || partner == Some(&name)));
    }
    let names = candidates().map(|it| &it.name).filter(|name| !covered.contains(*name));
    names.map(|name| (*name, is_confirmed(name))).collect()
}

type AheadVersions<'a> = BTreeMap<&'a VersionName, Option<VersionRef>>;

/// The candidates that descend from the head's version. The candidates are sorted by generation, so parents
/// come before their children.
fn ahead<'a>(head: Option<&VersionRef>, candidates: &[&'a Candidate]) -> AheadVersions<'a> {
    let mut ahead = AheadVersions::new();
    for candidate in candidates {
        let descends = match head {
            None => true,
            Some(head) => candidate.parents().any(|parent| parent == head || is_among(parent, &ahead)),
        };
        if descends {
            ahead.insert(&candidate.name, candidate.reference());
        }
    }
    ahead
}

fn is_among(named: &VersionRef, versions: &AheadVersions<'_>) -> bool {
    let name = (named.generation, named.version_id);
    versions.get(&name).is_some_and(|version| version.as_ref() == Some(named))
}

/// The versions ahead that one commit wrote directly on top of the head, and those that a later commit was
/// built on.
struct Commits<'a> {
    first: BTreeSet<&'a VersionName>,
    built_upon: BTreeSet<VersionName>,
    /// A commit that keeps a person's edit writes two versions; each is the partner of the other.
    partner: BTreeMap<&'a VersionName, &'a VersionName>,
}

impl<'a> Commits<'a> {
    fn of(head: Option<&VersionRef>, candidates: &[&'a Candidate], ahead: &AheadVersions<'a>) -> Self {
        let (mut first, mut built_upon, mut partner) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        let by_name: BTreeMap<&VersionName, &'a Candidate> =
            candidates.iter().map(|candidate| (&candidate.name, *candidate)).collect();
        for candidate in candidates {
            let Some(record) = candidate.record() else { continue };
            let mut is_first = ahead.contains_key(&candidate.name);
            for parent in candidate.parents() {
                let name = (parent.generation, parent.version_id);
                let kept = by_name.get(&name).filter(|below| {
                    below.reference().as_ref() == Some(parent)
                        && below.record().is_some_and(|below| below.is_kept_below(record))
                });
                match kept {
                    Some(below) => {
                        partner.insert(&candidate.name, &below.name);
                        partner.insert(&below.name, &candidate.name);
                        is_first &= first.contains(&below.name);
                    }
                    None => {
                        is_first &= match head {
                            None => false,
                            // A parent that is no candidate has a generation up to the head's, or is missing.
                            // If it is missing, its distance from the head is unknown.
                            Some(head) => {
                                !ahead.contains_key(&name)
                                    && (parent.generation <= head.generation || by_name.contains_key(&name))
                            }
                        };
                        built_upon.insert(name);
                    }
                }
            }
            if is_first {
                first.insert(&candidate.name);
            }
        }
        Self { first, built_upon, partner }
    }

    /// The candidates with a witness. A witness of one version of a commit confirms the whole commit.
    fn confirmed(&self, candidates: &[&'a Candidate], witnesses: &Witnesses) -> BTreeSet<&'a VersionName> {
        let is_witnessed = |candidate: &&&'a Candidate| {
            witnesses.indexed.contains(&candidate.name)
                || self.built_upon.contains(&candidate.name)
                || candidate.record().is_some_and(|it| it.hash.is_some() && it.hash == witnesses.copy)
        };
        let commit = |it: &&'a Candidate| self.partner.get(&it.name).copied().into_iter().chain([&it.name]);
        candidates.iter().filter(is_witnessed).flat_map(commit).collect()
    }
}

#[cfg(test)]
mod tests;
