//! Decides whether a change fits on top of what was read, and what it writes. Pure, so that tests can cover
//! every case.

use bytes::Bytes;
use pflow_backend::Identity;
use serde_json::{Map, Value};

use super::{
    Request,
    agreed::{Agreed, edited},
    describe::{Described, describe, describe_exactly},
    plan::{Basis, Draft, Joined, LeasePlan, Plan},
};
use crate::{
    Error, NoContent, Result,
    conflict::{ChangeKind, Conflict, ExpectedVersion, Found, Goal, Obstacle},
    format::{FieldChanges, Head, Lease, MAX_GENERATION, Operation, VersionRecord, keys},
    repo::unreadable,
    store::copy::{CopyState, EditedCopy},
};

#[derive(Debug)]
pub(crate) enum Decision {
    Write(Box<Plan>),
    Unchanged,
    Conflict(Conflict),
}

/// Checks in this order: the lease that the caller names must be in the head; a change that changes nothing,
/// and whose expectation holds, is done; a live lease of another client is respected; the expectation must
/// hold; a person's edit is not overwritten. A conflict that the resolver has consented to is skipped.
pub(crate) fn decide(
    request: &Request,
    goal: &Goal,
    agreed: &Agreed,
    basis: &Basis,
    identity: &Identity,
) -> Result<Decision> {
    let head = &basis.stored.head;
    if let Some(conflict) = lost_lease(request, head) {
        return Ok(Decision::Conflict(conflict));
    }
    // Only a newer program knows its content and its files, so nothing can be saved over it, merged with it,
    // or deleted.
    if let Some(current) = head.live() {
        current.record.media_type.known().map_err(|source| unreadable(&keys::head(&head.id), source))?;
    }
    let expectation = if agreed.covers(basis) { Ok(()) } else { request.expect.check(head) };
    if let (Goal::Merge(with), Some(Joined::Blocked(obstacle)), Ok(())) = (goal, &basis.joined, &expectation)
    {
        let (id, expected) = (head.id.clone(), ExpectedVersion::Id(with.version_id));
        let conflict = Box::new(Conflict::Version { id, expected, found: Found::new(head.current.as_ref()) });
        // No resolver is asked: the merge is one without a person's choice.
        return Err(Conflict::Unresolved { conflict, obstacle: obstacle.clone() }.into());
    }
    let author = identity.to_string();
    let Next { version, kept } = next(request, goal, agreed, basis, &author)?;
    let own = owns_lease(request, basis, identity);
    let wants_lease = request.hold.is_some() && !own;
    if version.is_none() && !wants_lease {
        // If two callers build on the same generation and reach the same content, one of them has lost the
        // race and must be told: a caller that counts must not see both succeed. Under the caller's own
        // lease, the caller itself wrote that content.
        if !own && let Err(conflict) = expectation {
            return Ok(Decision::Conflict(conflict));
        }
        let current = head.live().map(|current| Described::of(&current.record));
        return Ok(match conflicting_edit(basis, current.as_ref()) {
            // It would be wrong to report success while the file has other content.
            Some(conflict) if goal.kind() == ChangeKind::Save => Decision::Conflict(conflict),
            _ => Decision::Unchanged,
        });
    }
    let standing = basis.standing.filter(|standing| !own && standing.is_live());
    let live = head.lease.as_ref().zip(standing);
    if let Some((lease, standing)) = live
        && agreed.lease.as_ref() != Some(&lease.id)
    {
        let (id, lease) = (head.id.clone(), Box::new(lease.clone()));
        return Ok(Decision::Conflict(Conflict::Locked { id, lease, standing, now: basis.now }));
    }
    if let Err(conflict) = expectation {
        return Ok(Decision::Conflict(conflict));
    }
    if let Some(conflict) = two_edits(basis).filter(|_| version.is_some()) {
        return Err(conflict.into());
    }
    if kept.is_none()
        && let Some(draft) = &version
        && let Some(conflict) = conflicting_edit(basis, Some(&draft.described))
    {
        return Ok(Decision::Conflict(conflict));
    }
    if let Some(lost) = request.hold.as_ref().filter(|_| !own).and_then(|hold| hold.spent(head)) {
        return Ok(Decision::Conflict(lost));
    }
    let lease = match (&request.hold, &head.lease) {
        _ if own => LeasePlan::Keep,
        (Some(hold), _) => LeasePlan::Grant(hold.clone()),
        (None, Some(_)) => LeasePlan::Remove,
        (None, None) => LeasePlan::Keep,
    };
    let (stored, copy, breaks) =
        (basis.stored.clone(), basis.copy.clone(), live.map(|(lease, _)| lease.clone()));
    let target = basis.target.as_ref().map(|target| target.version.clone());
    Ok(Decision::Write(Box::new(Plan { stored, copy, target, kept, version, lease, breaks })))
}

/// Compares the lease by its id, and by its fence if the caller names it, and by nothing else. Whether it has
/// expired does not matter as long as no other client took it over.
fn lost_lease(request: &Request, head: &Head) -> Option<Conflict> {
    let named = request.lease.as_ref()?;
    if head.lease.as_ref().is_some_and(|lease| named.is(lease)) {
        return None;
    }
    Some(Conflict::lease_lost(named.id.clone(), head))
}

/// Whether the lease in the head is the caller's: the one that it names, which was checked before, or the one
/// that it requests along with the change and was already granted by a save whose reply was lost.
fn owns_lease(request: &Request, basis: &Basis, identity: &Identity) -> bool {
    let granted = |lease: &Lease| {
        basis.standing.is_some_and(|standing| standing.is_live())
            && request.hold.as_ref().is_some_and(|hold| hold.is_granted_by(lease, identity))
    };
    request.lease.is_some() || basis.stored.head.lease.as_ref().is_some_and(granted)
}

/// Returns the conflict with a person's edit of the copy, unless the edit equals what the copy will contain.
fn conflicting_edit(basis: &Basis, next: Option<&Described>) -> Option<Conflict> {
    let found = edited(basis).filter(|found| !next.is_some_and(|next| next.is_in(found)))?;
    Some(modified_outside(&basis.stored.head, found))
}

fn modified_outside(head: &Head, found: &EditedCopy) -> Conflict {
    // A file under the next name of the copy holds no generation.
    let current = head.live().filter(|_| found.key == keys::copy_of(head));
    let generation = current.map(|current| current.record.generation);
    let (key, found) = (found.key.to_string(), found.hash);
    Conflict::ModifiedOutside { id: head.id.clone(), key, generation, found }
}

/// Returns the error if people edited the working copy and also put another file under its next name. A version
/// below the next one could keep only one of the two.
fn two_edits(basis: &Basis) -> Option<Conflict> {
    let (CopyState::Edited(_, copy), Some(target)) = (&basis.copy, &basis.target) else { return None };
    let conflict = Box::new(modified_outside(&basis.stored.head, &target.found));
    let obstacle = Obstacle::TwoEdits { other: copy.key.to_string() };
    Some(Conflict::Unresolved { conflict, obstacle })
}

/// The version that a change makes, none if nothing changes, and the version below it that keeps a person's
/// edit.
struct Next {
    version: Option<Draft>,
    kept: Option<Draft>,
}

/// Returns the next version without its id and its parents, which each attempt sets itself.
fn next(request: &Request, goal: &Goal, agreed: &Agreed, basis: &Basis, author: &str) -> Result<Next> {
    let head = &basis.stored.head;
    let before = head.live().map(|current| &current.record);
    let draft = |(described, content): Content, above: u64, message: Option<String>| {
        let generation = head.generation().saturating_add(above);
        if generation > MAX_GENERATION {
            let reason = format!("there is no generation after {MAX_GENERATION}");
            return Err(Error::Corrupt { key: keys::head(&head.id).to_string(), reason });
        }
        Ok(Draft {
            derived: None,
            generation,
            described: with_statistics(described, basis),
            content,
            created: head.current.as_ref().map_or(basis.now, |current| current.record.created),
            modified: basis.now,
            author: author.to_owned(),
            message,
        })
    };
    if let Some(joined) = &basis.joined {
        let version = match joined {
            Joined::Merged(draft) => Some((**draft).clone()),
            Joined::Contained | Joined::Blocked(_) => None,
        };
        return Ok(Next { version, kept: None });
    }
    let wanted = wanted(goal, agreed, basis)?;
    let of_edit = agreed.edit(basis);
    let hash = wanted
        .as_ref()
        .map_or_else(|| before.and_then(|before| before.hash), |(described, _)| described.hash);
    // The edit itself is saved, which keeps it.
    let Some(edit) = of_edit.filter(|edit| Some(edit.hash()) != hash) else {
        let version = wanted.map(|wanted| draft(wanted, 1, request.message.clone())).transpose()?;
        return Ok(Next { version, kept: None });
    };
    // Over an edit, even the content that the head has already is written again.
    let wanted = match wanted {
        None => saved(goal, agreed, basis),
        some => some,
    };
    let Some(wanted) = wanted else { return Ok(Next { version: None, kept: None }) };
    let fields = before.map(VersionRecord::sourced_fields);
    let adopted = describe(edit, &FieldChanges::default(), fields.as_ref());
    let adopted = Described { operation: Operation::ADOPT, ..adopted };
    let kept = draft((adopted, edit.bytes().clone()), 1, Some(VersionRecord::KEPT.to_owned()))?;
    let version = draft(wanted, 2, request.message.clone())?;
    Ok(Next { version: Some(version), kept: Some(kept) })
}

/// Adds what programs noted in the working copy, if they noted more runs there than in the content itself.
fn with_statistics(described: Described, basis: &Basis) -> Described {
    let runs = |statistics: &Map<String, Value>| statistics.get("execution_count").and_then(Value::as_u64);
    match &basis.copy {
        CopyState::Noted(_, statistics) if runs(statistics) >= runs(&described.statistics) => {
            Described { statistics: statistics.clone(), ..described }
        }
        _ => described,
    }
}

type Content = (Described, Bytes);

/// Returns the content to write; none if the head has it already.
fn wanted(goal: &Goal, agreed: &Agreed, basis: &Basis) -> Result<Option<Content>> {
    let head = &basis.stored.head;
    let missing = || Error::WorkflowMissing { id: head.id.clone(), deleted: false };
    if let Some(saved) = saved(goal, agreed, basis) {
        let same = head.live().is_some_and(|current| saved.0.says_the_same_as(&current.record));
        return Ok((!same).then_some(saved));
    }
    let current = &head.current.as_ref().ok_or_else(missing)?.record;
    match (goal, current.deleted) {
        (Goal::Delete, false) => Ok(Some((Described::of(current).deletion(), Bytes::new()))),
        (Goal::Undelete, true) => {
            let restored = basis.restored.as_ref().ok_or_else(missing)?;
            let generation = restored.record.generation;
            restored.record.media_type.known().map_err(|source| {
                unreadable(&keys::version(&head.id, generation, &restored.record.version_id), source)
            })?;
            let pruned =
                || Error::GenerationMissing { id: head.id.clone(), generation, why: NoContent::Pruned };
            let content = restored.content.clone().ok_or_else(pruned)?;
            let restored = Described::of(&restored.record);
            Ok(Some((Described { operation: Operation::UNDELETE, ..restored }, content)))
        }
        _ => Ok(None),
    }
}

/// Returns the document to save, if the change saves one.
fn saved(goal: &Goal, agreed: &Agreed, basis: &Basis) -> Option<Content> {
    let before = basis.stored.head.live().map(|current| current.record.sourced_fields());
    if let Some(instead) = agreed.instead(basis) {
        let described = match &instead.fields {
            Some(fields) => describe_exactly(&instead.document, fields.clone()),
            None => describe(&instead.document, &FieldChanges::default(), before.as_ref()),
        };
        let described = Described { operation: instead.operation.clone(), ..described };
        return Some((described, instead.document.bytes().clone()));
    }
    match goal {
        Goal::Save { document, fields } => {
            Some((describe(document, fields, before.as_ref()), document.bytes().clone()))
        }
        Goal::Delete | Goal::Undelete | Goal::Merge(_) => None,
    }
}

#[cfg(test)]
mod tests;
