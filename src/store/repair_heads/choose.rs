//! Chooses the version that a lost head is moved to.

use super::VersionTip;
use crate::{
    Result,
    format::{Current, VersionId, keys},
    index::Ancestry,
    repo::{Candidate, VersionStatus, Witnesses, tips},
};

/// What a repair may do with a head, given the versions ahead of it.
pub(super) enum Choice {
    /// The head is moved to this version.
    Take(Box<Candidate>),
    /// A person must choose one of `tips`, for the reason `why`.
    Ask { why: String, tips: Vec<VersionTip> },
    /// The head is not hurt: another client has saved or repaired it since it was verified.
    Nothing,
}

/// Chooses the version that a head is moved to. `witnesses` covers the whole operation history.
///
/// Invariant: without a person's choice, a head is moved only to a version that was certainly current once,
/// and never past a newer one. A newest version without a witness may be a leftover: its writer stopped
/// before it moved the head, or is still at work and deletes the version when its swap fails. A newest
/// version that cannot be read may have been acknowledged.
pub(super) fn choose(
    ancestry: &Ancestry,
    witnesses: &Witnesses,
    atomic_batch: bool,
    take: &[VersionId],
) -> Result<Choice> {
    let head = ancestry.stored.head.current.as_ref().map(Current::reference);
    let tips = tips(head.as_ref(), &ancestry.candidates, atomic_batch, witnesses);
    let listed: Vec<&Candidate> =
        ancestry.candidates.iter().filter(|it| it.version.is_some() && tips.contains_key(&it.name)).collect();
    // If only the operation history shows that the head is hurt, the versions that it names prove it.
    let says_hurt = |it: &Candidate| match ancestry.statuses.get(&it.name) {
        Some(VersionStatus::Hurt) => true,
        Some(VersionStatus::Unconfirmed) => witnesses.indexed.contains(&it.name),
        Some(VersionStatus::Beside) | None => false,
    };
    if !ancestry.candidates.iter().any(says_hurt) {
        return Ok(Choice::Nothing);
    }
    if let Some(taken) = listed.iter().find(|candidate| take.contains(&candidate.name.1)) {
        return Ok(Choice::Take(Box::new((*taken).clone())));
    }
    let contends = |it: &&Candidate| it.version.is_none() || says_hurt(it);
    let newest = ancestry.candidates.iter().filter(contends).map(|it| it.name.0).max();
    let newest: Vec<&Candidate> =
        ancestry.candidates.iter().filter(contends).filter(|it| Some(it.name.0) == newest).collect();
    let id = &ancestry.stored.head.id;
    let unreadable = newest.iter().find(|candidate| candidate.version.is_none());
    let why = match (unreadable, newest.as_slice()) {
        (Some(damaged), _) => {
            let key = keys::version(id, damaged.name.0, &damaged.name.1);
            format!("{key} cannot be read, and may have been the newest version")
        }
        (None, [only]) if tips.get(&only.name) == Some(&true) => {
            return Ok(Choice::Take(Box::new((*only).clone())));
        }
        (None, [only]) => {
            let (generation, version_id) = &only.name;
            format!(
                "nothing shows that generation {generation} ({version_id}) was ever current; take it only if the writer that made it has stopped"
            )
        }
        (None, _) => "it has several newest versions".to_owned(),
    };
    let tips = listed.iter().rev().map(|candidate| VersionTip::of(candidate)).collect::<Result<_>>()?;
    Ok(Choice::Ask { why, tips })
}
