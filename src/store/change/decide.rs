//! Whether a change fits on top of what was seen, and what it will be. Pure, so that every case can be tried.

use bytes::Bytes;
use pflow_backend::Identity;

use super::{
    Request,
    agreed::{Agreed, edited},
    describe::{Described, describe, describe_exactly},
    plan::{Basis, Draft, LeasePlan, Plan},
    request::Goal,
};
use crate::{
    Error, NoContent, Result,
    conflict::Conflict,
    document::{ContentHash, MediaType},
    format::{Given, Head, Lease, MAX_GENERATION, Operation, VersionRecord, keys},
    repo::unreadable,
};

#[derive(Debug)]
pub(crate) enum Decision {
    Write(Box<Plan>),
    Unchanged,
    Conflict(Conflict),
}

/// In this order: a lease that the caller relies on must be its own; a change that changes nothing, where the
/// expectation holds, is done; somebody else's lease is respected; the expectation must hold; a person's edit
/// is not overwritten. What a resolver has agreed to is no conflict any more.
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
    // Its content and its files are known to a newer program alone, so nothing can be saved over it, merged
    // with it or deleted.
    if let Some(current) = head.live() {
        current.record.media_type.known().map_err(|source| unreadable(&keys::head(&head.id), source))?;
    }
    let expectation = if agreed.covers(basis) { Ok(()) } else { request.expect.check(head) };
    let author = identity.to_string();
    let Next { version, kept } = next(request, goal, agreed, basis, &author)?;
    let own = owns_lease(request, basis, identity);
    let wants_lease = request.hold.is_some() && !own;
    if version.is_none() && !wants_lease {
        // Two who build on the same generation and come to the same content have both built on it, and one of
        // them has lost: whoever counts must not be told that both counted. Under a lease of the caller's own
        // it was the caller who wrote it.
        if !own && let Err(conflict) = expectation {
            return Ok(Decision::Conflict(conflict));
        }
        return Ok(match edit_in_the_way(basis, head.live().and_then(|current| current.record.hash)) {
            // To say that all is well while the file says something else would be wrong.
            Some(conflict) if goal.is_save() => Decision::Conflict(conflict),
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
    if kept.is_none()
        && let Some(draft) = &version
        && let Some(conflict) = edit_in_the_way(basis, draft.described.hash)
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
    Ok(Decision::Write(Box::new(Plan { stored, copy, kept, version, lease, breaks })))
}

/// The lease is compared by its id, and by its fence where the caller names that, and by nothing else.
/// Whether it has expired by some clock does not matter as long as nobody else took over.
fn lost_lease(request: &Request, head: &Head) -> Option<Conflict> {
    let named = request.lease.as_ref()?;
    if head.lease.as_ref().is_some_and(|lease| named.is(lease)) {
        return None;
    }
    Some(Conflict::lease_lost(named.id.clone(), head))
}

/// Whether the lease in the head is the caller's: the one that it names, which is not lost, or the one that
/// it wants to take along and was granted already, by a save whose reply got lost.
fn owns_lease(request: &Request, basis: &Basis, identity: &Identity) -> bool {
    let granted = |lease: &Lease| {
        basis.standing.is_some_and(|standing| standing.is_live())
            && request.hold.as_ref().is_some_and(|hold| hold.is_granted_by(lease, identity))
    };
    request.lease.is_some() || basis.stored.head.lease.as_ref().is_some_and(granted)
}

/// The conflict with a person's edit of the copy, unless the edit is just what the copy is going to hold.
fn edit_in_the_way(basis: &Basis, next: Option<ContentHash>) -> Option<Conflict> {
    let found = edited(basis).filter(|found| Some(*found) != next)?;
    let head = &basis.stored.head;
    let key = keys::content(&head.id, MediaType::Json).to_string();
    let generation = head.live().map(|current| current.record.generation);
    Some(Conflict::ModifiedOutside { id: head.id.clone(), key, generation, found })
}

/// The version that a change makes, none if everything is that way already, and the one that keeps a person's
/// edit before it.
struct Next {
    version: Option<Draft>,
    kept: Option<Draft>,
}

/// Everything of the next version but its id and its parents, which each attempt has anew.
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
            generation,
            described,
            content,
            created: head.current.as_ref().map_or(basis.now, |current| current.record.created),
            modified: basis.now,
            author: author.to_owned(),
            message,
        })
    };
    let wanted = wanted(goal, agreed, basis)?;
    let of_edit = agreed.edit(basis);
    let hash = wanted
        .as_ref()
        .map_or_else(|| before.and_then(|before| before.hash), |(described, _)| described.hash);
    // What is saved is the edit itself: that keeps it.
    let Some(edit) = of_edit.filter(|edit| Some(edit.hash()) != hash) else {
        let version = wanted.map(|wanted| draft(wanted, 1, request.message.clone())).transpose()?;
        return Ok(Next { version, kept: None });
    };
    // Over an edit even what the head says already is written again.
    let wanted = match wanted {
        None => saved(goal, agreed, basis),
        some => some,
    };
    let Some(wanted) = wanted else { return Ok(Next { version: None, kept: None }) };
    let given = before.map(|before| &before.given);
    let adopted = Described { operation: Operation::ADOPT, ..describe(edit, &Given::default(), given) };
    let kept = draft((adopted, edit.bytes().clone()), 1, Some(VersionRecord::KEPT.to_owned()))?;
    let version = draft(wanted, 2, request.message.clone())?;
    Ok(Next { version: Some(version), kept: Some(kept) })
}

type Content = (Described, Bytes);

/// What is to be there; none if it is there already.
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

/// The document that is saved, if one is.
fn saved(goal: &Goal, agreed: &Agreed, basis: &Basis) -> Option<Content> {
    let before = basis.stored.head.live().map(|current| &current.record.given);
    if let Some(instead) = agreed.instead(basis) {
        let described = match &instead.given {
            Some(given) => describe_exactly(&instead.document, given.clone()),
            None => describe(&instead.document, &Given::default(), before),
        };
        let described = Described { operation: instead.operation.clone(), ..described };
        return Some((described, instead.document.bytes().clone()));
    }
    match goal {
        Goal::Save { document, given } => Some((describe(document, given, before), document.bytes().clone())),
        Goal::Delete | Goal::Undelete => None,
    }
}

#[cfg(test)]
mod tests;
