//! Whether a change fits on top of what was seen, and what it will be. Pure, so that every case can be tried.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use pflow_backend::Identity;
use serde_json::Map;

use super::{
    Basis, Fields, Kind, LeasePlan, Plan, Request,
    agreed::{Agreed, edited},
    describe::{Described, describe, says_the_same},
};
use crate::{
    Error, NoContent, Result,
    conflict::Conflict,
    document::{ContentHash, Document, MediaType},
    stored::{Head, Lease, MAX_GENERATION, Operation, VersionId, VersionRecord, layout},
};

/// What an edit says of itself that was kept because somebody saved over it.
const KEPT: &str = "edited in place, outside of the store";

#[derive(Debug)]
pub(super) enum Decision {
    Write(Box<Plan>),
    Unchanged,
    Conflict(Conflict),
}

/// In this order: a lease that the caller relies on must be its own; a change that changes nothing, where the expectation holds, is done;
/// somebody else's lease is respected; the expectation must hold; a person's edit is not overwritten. What a resolver has agreed to is no conflict
/// any more.
pub(super) fn decide(
    request: &Request,
    document: Option<&Document>,
    agreed: &Agreed,
    basis: &Basis,
    identity: &Identity,
    skew: Duration,
) -> Result<Decision> {
    let head = &basis.stored.head;
    if let Some(conflict) = lost_lease(request, head) {
        return Ok(Decision::Conflict(conflict));
    }
    let expectation = if agreed.covers(basis) { Ok(()) } else { request.expect.check(head) };
    let author = identity.to_string();
    let Next { version, kept } = next(request, document, agreed, basis, &author)?;
    let own = owns_lease(request, head, identity, basis.now, skew);
    let wants_lease = request.hold.is_some() && !own;
    if version.is_none() && !wants_lease {
        // Two who build on the same generation and come to the same content have both built on it, and one of them has lost: whoever
        // counts must not be told that both counted. Under a lease of the caller's own it was the caller who wrote it.
        if !own && let Err(conflict) = expectation {
            return Ok(Decision::Conflict(conflict));
        }
        return Ok(match edit_in_the_way(basis, head.live().and_then(|current| current.record.hash)) {
            // To say that all is well while the file says something else would be wrong.
            Some(conflict) if matches!(request.kind, Kind::Save { .. }) => Decision::Conflict(conflict),
            _ => Decision::Unchanged,
        });
    }
    let live = head.lease.as_ref().filter(|lease| !own && lease.is_live(basis.now, skew));
    if let Some(lease) = live
        && agreed.lease.as_ref() != Some(&lease.id)
    {
        let (id, lease) = (head.id.clone(), Box::new(lease.clone()));
        return Ok(Decision::Conflict(Conflict::Locked { id, lease, now: basis.now }));
    }
    if let Err(conflict) = expectation {
        return Ok(Decision::Conflict(conflict));
    }
    if kept.is_none()
        && let Some((record, _)) = &version
        && let Some(conflict) = edit_in_the_way(basis, record.hash)
    {
        return Ok(Decision::Conflict(conflict));
    }
    let lease = match (&request.hold, &head.lease) {
        _ if own => LeasePlan::Keep,
        (Some(hold), _) => LeasePlan::Grant(hold.clone()),
        (None, Some(_)) => LeasePlan::Remove,
        (None, None) => LeasePlan::Keep,
    };
    let (stored, copy, breaks) = (basis.stored.clone(), basis.copy.clone(), live.cloned());
    Ok(Decision::Write(Box::new(Plan { stored, copy, kept, version, lease, breaks })))
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
fn owns_lease(
    request: &Request,
    head: &Head,
    identity: &Identity,
    now: DateTime<Utc>,
    skew: Duration,
) -> bool {
    let granted = |lease: &Lease| {
        lease.is_live(now, skew)
            && request.hold.as_ref().is_some_and(|hold| hold.is_granted_by(lease, identity))
    };
    request.lease.is_some() || head.lease.as_ref().is_some_and(granted)
}

/// The conflict with a person's edit of the copy, unless the edit is just what the copy is going to hold.
fn edit_in_the_way(basis: &Basis, next: Option<ContentHash>) -> Option<Conflict> {
    let found = edited(basis).filter(|found| Some(*found) != next)?;
    let head = &basis.stored.head;
    let key = layout::content(&head.id, MediaType::Json).to_string();
    let generation = head.live().map(|current| current.record.generation);
    Some(Conflict::ModifiedOutside { id: head.id.clone(), key, generation, found })
}

/// The version that a change makes, none if everything is that way already, and the one that keeps a person's edit before it.
struct Next {
    version: Option<(VersionRecord, Bytes)>,
    kept: Option<(VersionRecord, Bytes)>,
}

/// Everything of the next version but its id and its parents, which each attempt has anew.
fn next(
    request: &Request,
    document: Option<&Document>,
    agreed: &Agreed,
    basis: &Basis,
    author: &str,
) -> Result<Next> {
    let head = &basis.stored.head;
    let before = head.live().map(|current| &current.record);
    let numbered = |described: Described, above: u64, message: Option<String>| {
        let generation = head.generation().saturating_add(above);
        if generation > MAX_GENERATION {
            let reason = format!("there is no generation after {MAX_GENERATION}");
            return Err(Error::Corrupt { key: layout::head(&head.id).to_string(), reason });
        }
        Ok(VersionRecord {
            generation,
            version_id: VersionId::unnamed(),
            extra: Map::new(),
            parents: Vec::new(),
            created: head.current.as_ref().map_or(basis.now, |current| current.record.created),
            modified: basis.now,
            author: author.to_owned(),
            message,
            ..described
        })
    };
    let wanted = wanted(request, document, agreed, basis)?;
    let of_edit = agreed.edit(basis);
    let hash = wanted
        .as_ref()
        .map_or_else(|| before.and_then(|before| before.hash), |(described, _)| described.hash);
    // What is saved is the edit itself: that keeps it.
    let Some(edit) = of_edit.filter(|edit| Some(edit.hash()) != hash) else {
        let version = wanted.map(|(described, content)| {
            Ok::<_, Error>((numbered(described, 1, request.message.clone())?, content))
        });
        return Ok(Next { version: version.transpose()?, kept: None });
    };
    // Over an edit even what the head says already is written again.
    let wanted = match wanted {
        None => saved(request, document, agreed, basis)?,
        some => some,
    };
    let Some((described, content)) = wanted else { return Ok(Next { version: None, kept: None }) };
    let adopted = Described { operation: Operation::ADOPT, ..describe(edit, &Fields::default(), before) };
    let kept = (numbered(adopted, 1, Some(KEPT.to_owned()))?, edit.bytes().clone());
    let version = (numbered(described, 2, request.message.clone())?, content);
    Ok(Next { version: Some(version), kept: Some(kept) })
}

type Content = (Described, Bytes);

/// What is to be there; none if it is there already.
fn wanted(
    request: &Request,
    document: Option<&Document>,
    agreed: &Agreed,
    basis: &Basis,
) -> Result<Option<Content>> {
    let head = &basis.stored.head;
    let missing = || Error::WorkflowMissing { id: head.id.clone(), deleted: false };
    if let Some(saved) = saved(request, document, agreed, basis)? {
        let same = head.live().is_some_and(|current| says_the_same(&current.record, &saved.0));
        return Ok((!same).then_some(saved));
    }
    let current = &head.current.as_ref().ok_or_else(missing)?.record;
    match (&request.kind, current.deleted) {
        (Kind::Delete, false) => {
            let described = Described {
                operation: Operation::DELETE,
                hash: None,
                size: 0,
                deleted: true,
                ..current.clone()
            };
            Ok(Some((described, Bytes::new())))
        }
        (Kind::Undelete, true) => {
            let restored = basis.restored.as_ref().ok_or_else(missing)?;
            let generation = restored.record.generation;
            let pruned =
                || Error::GenerationMissing { id: head.id.clone(), generation, why: NoContent::Pruned };
            let content = restored.content.clone().ok_or_else(pruned)?;
            Ok(Some((Described { operation: Operation::UNDELETE, ..restored.record.clone() }, content)))
        }
        _ => Ok(None),
    }
}

/// The document that is saved, if one is.
fn saved(
    request: &Request,
    document: Option<&Document>,
    agreed: &Agreed,
    basis: &Basis,
) -> Result<Option<Content>> {
    let before = basis.stored.head.live().map(|current| &current.record);
    if let Some(instead) = agreed.instead(basis) {
        let described = describe(&instead.document, &instead.fields, before);
        let described = Described { operation: instead.operation.clone(), ..described };
        return Ok(Some((described, instead.document.bytes().clone())));
    }
    let Kind::Save { fields, .. } = &request.kind else { return Ok(None) };
    let document = document.ok_or_else(|| Error::Internal("a save without a document".to_owned()))?;
    Ok(Some((describe(document, fields, before), document.bytes().clone())))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use pflow_backend::{Environment, ManualEnvironment, Version};

    use super::*;
    use crate::{
        conflict::Expect,
        document::Limits,
        lock::LeaseRequest,
        store::copy::CopyState,
        stored::{Current, LeaseId, StoredHead, StoredVersion, WorkflowId},
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
        Basis { stored, copy: CopyState::Absent, restored: None, now: now() }
    }

    fn leased(mut basis: Basis, name: &str, left: TimeDelta) -> Basis {
        let environment = ManualEnvironment::new(9);
        let granted = now() + left - TimeDelta::minutes(1);
        let identity = environment.identity();
        let lease = Lease::grant(lease_id(name), 7, "edit".to_owned(), None, identity, granted, MINUTE);
        basis.stored.head.lease = Some(lease);
        basis
    }

    fn save(expect: Expect) -> Request {
        let kind = Kind::Save { content: Bytes::new(), fields: Fields::default() };
        Request::new(id(), kind, expect)
    }

    fn under(name: &str) -> Request {
        Request { lease: Some(lease_id(name)), ..save(Expect::Any) }
    }

    fn holding(name: &str) -> Request {
        let hold = LeaseRequest::new("edit", MINUTE).id(lease_id(name));
        Request { hold: Some(hold), ..save(Expect::Any) }
    }

    fn decided(request: &Request, text: &str, basis: &Basis) -> Result<Decision> {
        decide(request, Some(&document(text)), &Agreed::default(), basis, &me(), SKEW)
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
        assert_eq!(record.generation, 4);
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
        let refused = decide(&undelete, None, &Agreed::default(), &basis, &me(), SKEW).unwrap_err();
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
