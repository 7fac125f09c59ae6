//! Whether a change fits on top of what was seen, and what it will be. Pure, so that every case can be tried.

use std::time::Duration;

use bytes::Bytes;

use super::{Basis, Fields, Kind, LeasePlan, Plan, Request};
use crate::{
    Error, Result,
    conflict::Conflict,
    document::Document,
    store::copy::CopyState,
    stored::{Current, Head, MAX_GENERATION, VersionRecord, layout},
};

#[derive(Debug)]
pub(super) enum Decision {
    Write(Box<Plan>),
    Unchanged,
    Conflict(Conflict),
}

/// In this order: a lease that the caller relies on must be its own; a change that changes nothing is done; somebody else's lease is
/// respected; the expectation must hold; a person's edit is not overwritten.
pub(super) fn decide(
    request: &Request,
    document: Option<&Document>,
    basis: &Basis,
    author: &str,
    skew: Duration,
) -> Result<Decision> {
    let head = &basis.stored.head;
    if let Some(conflict) = lost_lease(request, head) {
        return Ok(Decision::Conflict(conflict));
    }
    let version = next_version(request, document, basis, author)?;
    let own = owns_lease(request, head);
    let wants_lease = request.hold.is_some() && !own;
    if version.is_none() && !wants_lease {
        return Ok(Decision::Unchanged);
    }
    if let Some(lease) = &head.lease
        && !own
        && lease.is_live(basis.now, skew)
    {
        let (id, lease) = (head.id.clone(), Box::new(lease.clone()));
        return Ok(Decision::Conflict(Conflict::Locked { id, lease, now: basis.now }));
    }
    if let Err(conflict) = request.expect.check(head) {
        return Ok(Decision::Conflict(conflict));
    }
    if let (CopyState::Edited(_, found), Some((record, _))) = (&basis.copy, &version)
        && Some(*found) != record.hash
    {
        let key = layout::content(&head.id, record.media_type).to_string();
        let (id, generation, found) = (head.id.clone(), head.generation(), *found);
        return Ok(Decision::Conflict(Conflict::ModifiedOutside { id, key, generation, found }));
    }
    let lease = match (&request.hold, &head.lease) {
        _ if own => LeasePlan::Keep,
        (Some(hold), _) => LeasePlan::Grant(hold.clone()),
        (None, Some(_)) => LeasePlan::Remove,
        (None, None) => LeasePlan::Keep,
    };
    let (stored, copy) = (basis.stored.clone(), basis.copy.clone());
    Ok(Decision::Write(Box::new(Plan { stored, copy, version, lease })))
}

/// The lease is compared by its id alone. Whether it has expired by some clock does not matter as long as nobody else took over.
fn lost_lease(request: &Request, head: &Head) -> Option<Conflict> {
    let lease_id = request.lease.clone()?;
    if head.lease.as_ref().is_some_and(|lease| lease.id == lease_id) {
        return None;
    }
    let held = head.lease.clone().map(Box::new);
    Some(Conflict::LeaseLost { id: head.id.clone(), lease_id, held, fence: head.fence })
}

/// Whether the lease in the head is the caller's: the one that it names, which is not lost, or the one that it wants to take along and
/// was granted already, by a save whose reply got lost.
fn owns_lease(request: &Request, head: &Head) -> bool {
    let granted = |lease| request.hold.as_ref().is_some_and(|hold| hold.is_granted_by(lease));
    request.lease.is_some() || head.lease.as_ref().is_some_and(granted)
}

/// The version that the change makes; none if everything is that way already.
fn next_version(
    request: &Request,
    document: Option<&Document>,
    basis: &Basis,
    author: &str,
) -> Result<Option<(VersionRecord, Bytes)>> {
    let head = &basis.stored.head;
    let missing = || Error::WorkflowMissing { id: head.id.clone(), deleted: false };
    let changed = match &request.kind {
        Kind::Save { fields, .. } => {
            let document = document.ok_or_else(|| Error::Internal("a save without a document".to_owned()))?;
            let described = describe(document, fields, head.live());
            if head.live().is_some_and(|current| says_the_same(&current.record, &described)) {
                return Ok(None);
            }
            (described, document.bytes().clone())
        }
        Kind::Delete => {
            let current = head.current.as_ref().ok_or_else(missing)?;
            if current.record.deleted {
                return Ok(None);
            }
            (Described { hash: None, size: 0, deleted: true, ..current.record.clone() }, Bytes::new())
        }
        Kind::Undelete => {
            if head.current.as_ref().ok_or_else(missing)?.record.deleted {
                let restored = basis.restored.as_ref().ok_or_else(missing)?;
                let generation = restored.record.generation;
                let pruned = || Error::GenerationMissing { id: head.id.clone(), generation, pruned: true };
                (restored.record.clone(), restored.content.clone().ok_or_else(pruned)?)
            } else {
                return Ok(None);
            }
        }
    };
    let (described, content) = changed;
    let generation = head.generation() + 1;
    if generation > MAX_GENERATION {
        return Err(Error::Corrupt {
            key: layout::head(&head.id).to_string(),
            reason: format!("there is no generation after {MAX_GENERATION}"),
        });
    }
    let record = VersionRecord {
        generation,
        version_id: String::new(),
        parents: head.current.iter().map(Current::reference).collect(),
        created: head.current.as_ref().map_or(basis.now, |current| current.record.created),
        modified: basis.now,
        author: author.to_owned(),
        message: request.message.clone(),
        ..described
    };
    Ok(Some((record, content)))
}

/// A record of which only the description counts.
type Described = VersionRecord;

/// What is known of a document: what the caller says of it, else what it says itself, else what was known before.
fn describe(document: &Document, fields: &Fields, before: Option<&Current>) -> Described {
    let own = document.metadata().clone();
    let before = before.map(|current| &current.record);
    let name = fields.name.clone().or(own.name).or_else(|| before.and_then(|before| before.name.clone()));
    let description = fields
        .description
        .clone()
        .or(own.description)
        .or_else(|| before.and_then(|before| before.description.clone()));
    let own_tags = Some(own.tags).filter(|tags| !tags.is_empty());
    let tags = fields.tags.clone().or(own_tags).or_else(|| before.map(|before| before.tags.clone()));
    Described {
        generation: 0,
        version_id: String::new(),
        parents: Vec::new(),
        hash: Some(document.hash()),
        size: document.size(),
        media_type: document.media_type(),
        name,
        description,
        tags: tags.unwrap_or_default(),
        nodes: own.nodes,
        version: own.version,
        created: chrono::DateTime::UNIX_EPOCH,
        modified: chrono::DateTime::UNIX_EPOCH,
        author: String::new(),
        message: None,
        deleted: false,
    }
}

fn says_the_same(current: &VersionRecord, next: &Described) -> bool {
    let key = |record: &VersionRecord| {
        (record.hash, record.name.clone(), record.description.clone(), record.tags.clone(), record.media_type)
    };
    key(current) == key(next)
}
