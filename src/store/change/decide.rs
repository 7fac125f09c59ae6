//! Whether a change fits on top of what was seen, and what it will be. Pure, so that every case can be tried.

use bytes::Bytes;
use pflow_backend::Identity;
use serde_json::Map;

use super::{Basis, Fields, Kind, LeasePlan, Plan, Request};
use crate::{
    Error, NoContent, Result,
    conflict::Conflict,
    document::{ContentHash, Document, MediaType},
    store::copy::CopyState,
    stored::{Current, Head, Lease, MAX_GENERATION, Operation, Standing, VersionId, VersionRecord, layout},
};

#[derive(Debug)]
pub(super) enum Decision {
    Write(Box<Plan>),
    Unchanged,
    Conflict(Conflict),
}

/// In this order: a lease that the caller relies on must be its own; a change that changes nothing, where the expectation holds, is done;
/// somebody else's lease is respected; the expectation must hold; a person's edit is not overwritten.
pub(super) fn decide(
    request: &Request,
    document: Option<&Document>,
    basis: &Basis,
    identity: &Identity,
) -> Result<Decision> {
    let head = &basis.stored.head;
    if let Some(conflict) = lost_lease(request, head) {
        return Ok(Decision::Conflict(conflict));
    }
    let version = next_version(request, document, basis, &identity.to_string())?;
    let own = owns_lease(request, basis, identity);
    let wants_lease = request.hold.is_some() && !own;
    if version.is_none() && !wants_lease {
        // Two who build on the same generation and come to the same content have both built on it, and one of them has lost: whoever
        // counts must not be told that both counted. Under a lease of the caller's own it was the caller who wrote it.
        if !own && let Err(conflict) = request.expect.check(head) {
            return Ok(Decision::Conflict(conflict));
        }
        return Ok(match edited(basis, head.live().and_then(|current| current.record.hash)) {
            // To say that all is well while the file says something else would be wrong.
            Some(conflict) if matches!(request.kind, Kind::Save { .. }) => Decision::Conflict(conflict),
            _ => Decision::Unchanged,
        });
    }
    if let Some(lease) = &head.lease
        && !own
        && let Some(standing) = basis.standing.filter(Standing::is_live)
    {
        let (id, lease) = (head.id.clone(), Box::new(lease.clone()));
        return Ok(Decision::Conflict(Conflict::Locked { id, lease, standing, now: basis.now }));
    }
    if let Err(conflict) = request.expect.check(head) {
        return Ok(Decision::Conflict(conflict));
    }
    if let Some((record, _)) = &version
        && let Some(conflict) = edited(basis, record.hash)
    {
        return Ok(Decision::Conflict(conflict));
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
    Some(Conflict::lease_lost(lease_id, head))
}

/// Whether the lease in the head is the caller's: the one that it names, which is not lost, or the one that it wants to take along and
/// was granted already, by a save whose reply got lost.
fn owns_lease(request: &Request, basis: &Basis, identity: &Identity) -> bool {
    let granted = |lease: &Lease| {
        basis.standing.is_some_and(|standing| standing.is_live())
            && request.hold.as_ref().is_some_and(|hold| hold.is_granted_by(lease, identity))
    };
    request.lease.is_some() || basis.stored.head.lease.as_ref().is_some_and(granted)
}

/// The conflict with a person's edit of the copy, unless the edit is just what the copy is going to hold.
fn edited(basis: &Basis, next: Option<ContentHash>) -> Option<Conflict> {
    let CopyState::Edited(_, found) = basis.copy else { return None };
    if Some(found) == next {
        return None;
    }
    let head = &basis.stored.head;
    let key = layout::content(&head.id, MediaType::Json).to_string();
    let generation = head.live().map(|current| current.record.generation);
    Some(Conflict::ModifiedOutside { id: head.id.clone(), key, generation, found })
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
                let pruned =
                    || Error::GenerationMissing { id: head.id.clone(), generation, why: NoContent::Pruned };
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
        version_id: VersionId::unnamed(),
        operation: match request.kind {
            Kind::Save { .. } => Operation::SAVE,
            Kind::Delete => Operation::DELETE,
            Kind::Undelete => Operation::UNDELETE,
        },
        extra: Map::new(),
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
        version_id: VersionId::unnamed(),
        operation: Operation::SAVE,
        extra: Map::new(),
        parents: Vec::new(),
        hash: Some(document.hash()),
        size: document.size(),
        media_type: document.media_type(),
        // An empty text takes away what was there.
        name: name.filter(|name| !name.is_empty()),
        description: description.filter(|description| !description.is_empty()),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, TimeDelta, Utc};
    use pflow_backend::{Environment, ManualEnvironment, Version};

    use super::*;
    use crate::{
        conflict::Expect,
        document::{ContentHash, Limits},
        lock::LeaseRequest,
        stored::{Holder, Lease, LeaseId, Sight, StoredHead, StoredVersion, WorkflowId},
    };

    const SKEW: Duration = Duration::from_secs(60);
    const MINUTE: Duration = Duration::from_secs(60);

    fn id() -> WorkflowId {
        WorkflowId::parse("a").unwrap()
    }

    /// Whoever holds the leases of these tests.
    fn me() -> Identity {
        ManualEnvironment::new(9).identity().clone()
    }

    fn lease_id(name: &str) -> LeaseId {
        LeaseId::parse(name).unwrap()
    }

    fn now() -> DateTime<Utc> {
        ManualEnvironment::new(1).now()
    }

    fn document(text: &str) -> Document {
        Document::parse(format!(r#"{{ "x": "{text}" }}"#), &Limits::default()).unwrap()
    }

    /// At this generation with the content `old`, made an hour ago.
    fn basis(generation: u64) -> Basis {
        let made = now() - TimeDelta::hours(1);
        let mut record = describe(&document("old"), &Fields::default(), None);
        (record.generation, record.version_id) = (generation, VersionId::parse("v".repeat(26)).unwrap());
        (record.created, record.modified, record.author) = (made, made, "before@host".to_owned());
        let current = Current::after(None, record, ContentHash::of(b"line"));
        let head = Head { current: (generation > 0).then_some(current), fence: 7, ..Head::new(id()) };
        let stored = StoredHead { head, version: Some(Version::new("read")) };
        Basis { stored, standing: None, copy: CopyState::Absent, restored: None, now: now() }
    }

    fn leased(mut basis: Basis, name: &str, left: TimeDelta) -> Basis {
        let environment = ManualEnvironment::new(9);
        let granted = now() + left - TimeDelta::minutes(1);
        let identity = environment.identity();
        let lease = Lease::grant(lease_id(name), 7, "edit".to_owned(), None, identity, granted, MINUTE);
        let (unchanged, holder) = (Duration::ZERO, Holder::Unknown);
        basis.standing = Some(Standing::of(&lease, &Sight { now: now(), skew: SKEW, unchanged, holder }));
        basis.stored.head.lease = Some(lease);
        basis
    }

    fn save(expect: Expect) -> Request {
        let kind = Kind::Save { content: Bytes::new(), fields: Fields::default() };
        Request { id: id(), kind, expect, lease: None, hold: None, message: None }
    }

    fn under(name: &str) -> Request {
        Request { lease: Some(lease_id(name)), ..save(Expect::Any) }
    }

    fn holding(name: &str) -> Request {
        let hold = LeaseRequest::new("edit", MINUTE).id(lease_id(name));
        Request { hold: Some(hold), ..save(Expect::Any) }
    }

    fn decided(request: &Request, text: &str, basis: &Basis) -> Result<Decision> {
        decide(request, Some(&document(text)), basis, &me())
    }

    /// The first word of the decision.
    fn answer(request: &Request, text: &str, basis: &Basis) -> &'static str {
        match decided(request, text, basis).unwrap() {
            Decision::Write(_) => "write",
            Decision::Unchanged => "unchanged",
            Decision::Conflict(Conflict::LeaseLost { .. }) => "lost",
            Decision::Conflict(Conflict::Locked { .. }) => "locked",
            Decision::Conflict(Conflict::Version { .. }) => "version",
            Decision::Conflict(Conflict::ModifiedOutside { .. }) => "edited",
            Decision::Conflict(other) => panic!("{other}"),
        }
    }

    fn plan(request: &Request, text: &str, basis: &Basis) -> Plan {
        match decided(request, text, basis).unwrap() {
            Decision::Write(plan) => *plan,
            other => panic!("{other:?}"),
        }
    }

    /// Each line has everything that is wrong with the lines behind it.
    #[test]
    fn the_first_reason_that_matters_is_told() {
        let mut basis = leased(basis(3), "theirs", TimeDelta::minutes(1));
        basis.copy = CopyState::Edited(Version::new("edit"), ContentHash::of(b"edit"));
        assert_eq!(
            answer(&Request { lease: Some(lease_id("mine")), ..save(Expect::Generation(1)) }, "old", &basis),
            "lost"
        );
        assert_eq!(answer(&save(Expect::Generation(1)), "old", &basis), "version");
        assert_eq!(answer(&save(Expect::Generation(3)), "old", &basis), "edited");
        assert_eq!(answer(&save(Expect::Generation(1)), "new", &basis), "locked");
        basis.stored.head.lease = None;
        assert_eq!(answer(&save(Expect::Generation(1)), "new", &basis), "version");
        assert_eq!(answer(&save(Expect::Generation(3)), "new", &basis), "edited");
        basis.copy = CopyState::Lagging(Version::new("old"));
        assert_eq!(answer(&save(Expect::Generation(3)), "new", &basis), "write");
    }

    #[test]
    fn a_lease_is_kept_removed_or_granted() {
        let (live, expired) = (TimeDelta::seconds(-60), TimeDelta::milliseconds(-60_001));
        let plan_of = |request: &Request, left: Option<TimeDelta>| {
            let basis = left.map_or_else(|| basis(1), |left| leased(basis(1), "held", left));
            plan(request, "new", &basis).lease
        };
        let grant = |name: &str| LeasePlan::Grant(holding(name).hold.unwrap());
        assert_eq!(plan_of(&save(Expect::Any), None), LeasePlan::Keep);
        assert_eq!(plan_of(&save(Expect::Any), Some(expired)), LeasePlan::Remove);
        for left in [live, expired] {
            assert_eq!(plan_of(&under("held"), Some(left)), LeasePlan::Keep, "its clock does not matter");
        }
        assert_eq!(plan_of(&holding("held"), Some(live)), LeasePlan::Keep, "granted already");
        assert_eq!(plan_of(&holding("held"), Some(expired)), grant("held"), "what has ended is granted anew");
        assert_eq!(plan_of(&holding("new"), None), grant("new"));
        assert_eq!(plan_of(&holding("new"), Some(expired)), grant("new"));
        assert_eq!(answer(&holding("new"), "new", &leased(basis(1), "held", live)), "locked");
        assert_eq!(answer(&holding("held"), "old", &leased(basis(1), "held", live)), "unchanged");
        assert!(plan(&holding("new"), "old", &basis(1)).version.is_none(), "a lease alone is no version");
    }

    #[test]
    fn the_next_version_stands_on_the_present_one() {
        let basis = basis(3);
        let request = Request { message: Some("why".to_owned()), ..save(Expect::Any) };
        let (record, content) = plan(&request, "new", &basis).version.unwrap();
        let before = basis.stored.head.current.as_ref().unwrap();
        assert_eq!((record.generation, &record.parents), (4, &vec![before.reference()]));
        assert_eq!((record.created, record.modified), (before.record.created, now()));
        assert_eq!((record.author.as_str(), record.message.as_deref()), ("tester@host-9", Some("why")));
        assert_eq!((record.hash, &content), (Some(document("new").hash()), document("new").bytes()));
    }

    #[test]
    fn there_is_no_generation_behind_the_last() {
        let refused = decided(&save(Expect::Any), "new", &basis(MAX_GENERATION)).unwrap_err();
        assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
        assert_eq!(answer(&save(Expect::Any), "new", &basis(MAX_GENERATION - 1)), "write");
    }

    #[test]
    fn a_pruned_content_cannot_be_brought_back() {
        let mut basis = basis(4);
        let record = basis.stored.head.current.as_ref().unwrap().record.clone();
        basis.stored.head.current.as_mut().unwrap().record.deleted = true;
        let undelete = Request { kind: Kind::Undelete, ..save(Expect::Any) };
        let restored = |content| {
            let record = VersionRecord { generation: 3, ..record.clone() };
            Some(StoredVersion { record, record_hash: ContentHash::of(b"line"), content })
        };
        basis.restored = restored(None);
        let refused = decide(&undelete, None, &basis, &me()).unwrap_err();
        assert!(
            matches!(refused, Error::GenerationMissing { generation: 3, why: NoContent::Pruned, .. }),
            "{refused}"
        );
        basis.restored = restored(Some(Bytes::from_static(b"{}")));
        let (next, content) = plan(&undelete, "", &basis).version.unwrap();
        assert_eq!(
            (next.generation, next.deleted, next.hash, &content[..]),
            (5, false, record.hash, &b"{}"[..])
        );
    }
}
