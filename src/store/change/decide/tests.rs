//! Tests every case of a decision.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pflow_backend::{Environment, ManualEnvironment, Version};

use super::{
    super::agreed::{Instead, current_id},
    *,
};
use crate::{
    conflict::Expect,
    document::{ContentHash, Document, Limits, MediaType},
    format::{ContentPlace, LeaseId, StoredVersion, VersionId, WorkflowId, version::tests::next},
    lease::{Holder, Sight, Standing},
    lock::LeaseRequest,
    repo::StoredHead,
};

const SKEW: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);

fn id() -> WorkflowId {
    WorkflowId::parse("a").unwrap()
}

/// Returns the identity of the holder of these tests' leases.
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

/// A save of this document.
fn goal(text: &str) -> Goal {
    Goal::Save { document: std::sync::Arc::new(document(text)), fields: FieldChanges::default() }
}

/// An edit of the working copy with this content.
fn edit(content: &[u8]) -> EditedCopy {
    let key = keys::copy(&id(), MediaType::Json);
    EditedCopy::of(key, Some(MediaType::Json), &Bytes::copy_from_slice(content))
}

/// A basis at this generation with the content `old`, made an hour ago.
fn basis(generation: u64) -> Basis {
    let made = now() - TimeDelta::hours(1);
    let (described, content) =
        (describe(&document("old"), &FieldChanges::default(), None), document("old").bytes().clone());
    let (author, message) = ("before@host".to_owned(), None);
    let draft = Draft {
        derived: None,
        generation,
        described,
        content,
        created: made,
        modified: made,
        author,
        message,
    };
    let record = draft.record(&id(), VersionId::parse(format!("{generation:026}")).unwrap(), Vec::new());
    let current = next(None, record);
    let head = Head { current: (generation > 0).then_some(current), fence: 7, ..Head::new(id()) };
    let stored = StoredHead { head, version: Some(Version::new("read")) };
    Basis {
        stored,
        standing: None,
        copy: CopyState::Absent,
        target: None,
        restored: None,
        joined: None,
        now: now(),
    }
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
    Request::new(id(), expect)
}

fn under(name: &str) -> Request {
    Request { lease: Some(lease_id(name).into()), ..save(Expect::Any) }
}

fn holding(name: &str) -> Request {
    let claim = LeaseRequest::new("edit", MINUTE).id(lease_id(name)).claim(&ManualEnvironment::new(1));
    Request { hold: Some(claim.unwrap()), ..save(Expect::Any) }
}

fn decided(request: &Request, text: &str, basis: &Basis) -> Result<Decision> {
    decide(request, &goal(text), &Agreed::default(), basis, &me())
}

/// Returns the first word of the decision.
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

/// Each case also has the defects of all later cases.
#[test]
fn first_matching_refusal_wins() {
    let mut basis = leased(basis(3), "theirs", TimeDelta::minutes(1));
    basis.copy = CopyState::Edited(Version::new("edit"), edit(b"edit"));
    assert_eq!(
        answer(
            &Request { lease: Some(lease_id("mine").into()), ..save(Expect::Generation(1)) },
            "old",
            &basis
        ),
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
fn lease_is_kept_removed_or_granted() {
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
    assert_eq!(
        answer(&holding("held"), "new", &leased(basis(1), "held", expired)),
        "lost",
        "an id is granted once"
    );
    assert_eq!(plan_of(&holding("new"), None), grant("new"));
    assert_eq!(plan_of(&holding("new"), Some(expired)), grant("new"));
    assert_eq!(answer(&holding("new"), "new", &leased(basis(1), "held", live)), "locked");
    assert_eq!(answer(&holding("held"), "old", &leased(basis(1), "held", live)), "unchanged");
    assert!(plan(&holding("new"), "old", &basis(1)).version.is_none(), "a lease alone is no version");
}

#[test]
fn next_version_builds_on_the_current_one() {
    let basis = basis(3);
    let request = Request { message: Some("why".to_owned()), ..save(Expect::Any) };
    let draft = plan(&request, "new", &basis).version.unwrap();
    let before = basis.stored.head.current.as_ref().unwrap();
    assert_eq!(draft.generation, 4);
    assert_eq!((draft.created, draft.modified), (before.record.created, now()));
    assert_eq!((draft.author.as_str(), draft.message.as_deref()), ("tester@host-9", Some("why")));
    let new = document("new");
    assert_eq!((draft.described.hash, &draft.content), (Some(new.hash()), new.bytes()));
}

/// Adds a person's edit of the copy with this content.
fn with_edit(mut basis: Basis, text: &str) -> Basis {
    basis.copy = CopyState::Edited(Version::new("edit"), edit(document(text).bytes()));
    basis
}

fn with(agreed: &Agreed, request: &Request, text: &str, basis: &Basis) -> Decision {
    decide(request, &goal(text), agreed, basis, &me()).unwrap()
}

#[track_caller]
fn planned(decision: Decision) -> Plan {
    match decision {
        Decision::Write(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

#[test]
fn consent_is_valid_for_one_generation() {
    let agreed = Agreed { on_top_of: Some(current_id(&basis(3))), ..Agreed::default() };
    for expect in [Expect::Generation(1), Expect::Generation(9), Expect::Absent] {
        let draft = planned(with(&agreed, &save(expect), "new", &basis(3))).version.unwrap();
        assert_eq!(draft.generation, 4);
        assert!(matches!(with(&agreed, &save(expect), "old", &basis(3)), Decision::Unchanged));
        let moved = with(&agreed, &save(expect), "new", &basis(4));
        assert!(matches!(moved, Decision::Conflict(_)), "{moved:?}");
    }
    let edited = with_edit(basis(3), "edit");
    let decision = with(&agreed, &save(Expect::Generation(1)), "new", &edited);
    assert!(matches!(decision, Decision::Conflict(Conflict::ModifiedOutside { .. })), "{decision:?}");
}

#[test]
fn consent_breaks_only_the_lease_that_was_shown() {
    let live = leased(basis(1), "held", TimeDelta::minutes(1));
    let agreed = |name: &str| Agreed { lease: Some(lease_id(name)), ..Agreed::default() };
    let plan = planned(with(&agreed("held"), &save(Expect::Any), "new", &live));
    assert_eq!((plan.lease, plan.breaks), (LeasePlan::Remove, live.stored.head.lease.clone()));
    let plan = planned(with(&agreed("held"), &holding("mine"), "new", &live));
    assert_eq!(plan.lease, LeasePlan::Grant(holding("mine").hold.unwrap()));
    assert!(plan.breaks.is_some());
    let next = with(&agreed("before"), &save(Expect::Any), "new", &live);
    assert!(matches!(next, Decision::Conflict(Conflict::Locked { .. })), "{next:?}");
    let lost = with(&agreed("held"), &under("mine"), "new", &live);
    assert!(matches!(lost, Decision::Conflict(Conflict::LeaseLost { .. })), "{lost:?}");
    let over = leased(basis(1), "held", TimeDelta::hours(-1));
    assert_eq!(planned(with(&agreed("held"), &save(Expect::Any), "new", &over)).breaks, None);
}

#[test]
fn kept_edit_becomes_the_version_below_the_new_one() {
    let agreed = Agreed { edit: Some(document("edit")), ..Agreed::default() };
    for text in ["new", "old"] {
        let edited = with_edit(basis(3), "edit");
        let plan = planned(with(&agreed, &save(Expect::Any), text, &edited));
        let (kept, version) = (plan.kept.unwrap(), plan.version.unwrap());
        assert_eq!((kept.generation, version.generation), (4, 5), "{text}");
        assert_eq!(
            (kept.described.operation, version.described.operation),
            (Operation::ADOPT, Operation::SAVE)
        );
        let edit = document("edit");
        assert_eq!((kept.described.hash, &kept.content), (Some(edit.hash()), edit.bytes()));
        assert_eq!(version.described.hash, Some(document(text).hash()));
    }
    // Saving the edit itself keeps it. Another edit has no consent.
    let plan = planned(with(&agreed, &save(Expect::Any), "edit", &with_edit(basis(3), "edit")));
    assert_eq!((plan.kept, plan.version.unwrap().generation), (None, 4));
    let other = with(&agreed, &save(Expect::Any), "new", &with_edit(basis(3), "other"));
    assert!(matches!(other, Decision::Conflict(Conflict::ModifiedOutside { .. })), "{other:?}");
    let edited = with_edit(basis(3), "edit");
    let plan = planned(decide(&save(Expect::Any), &Goal::Delete, &agreed, &edited, &me()).unwrap());
    let deleted = plan.version.unwrap().described.is_deletion();
    assert_eq!((plan.kept.unwrap().generation, deleted), (4, true));
}

#[test]
fn merge_is_valid_for_its_generation_and_edit() {
    let merged = |of_edit: Option<&str>| {
        let (document, of_edit) = (document("merged"), of_edit.map(|text| document(text).hash()));
        let instead = Instead { document, fields: None, operation: Operation::SAVE, of_edit };
        let edit = of_edit.map(|_| self::document("edit"));
        Agreed { on_top_of: Some(current_id(&basis(3))), instead: Some(instead), edit, lease: None }
    };
    let stale = save(Expect::Generation(1));
    let saved = |agreed: &Agreed, basis: &Basis| match with(agreed, &stale, "new", basis) {
        Decision::Write(plan) => plan.version.unwrap().described.hash,
        _ => None,
    };
    let hash = Some(document("merged").hash());
    assert_eq!(saved(&merged(None), &basis(3)), hash);
    assert_eq!(saved(&merged(None), &basis(4)), None, "the ground moved");
    assert_eq!(saved(&merged(Some("edit")), &with_edit(basis(3), "edit")), hash);
    assert_eq!(saved(&merged(Some("edit")), &with_edit(basis(3), "other")), None, "another edit");
    assert_eq!(saved(&merged(Some("edit")), &basis(3)), None, "the edit was taken back");
}

#[test]
fn maximum_generation_is_enforced() {
    let refused = decided(&save(Expect::Any), "new", &basis(MAX_GENERATION)).unwrap_err();
    assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
    assert_eq!(answer(&save(Expect::Any), "new", &basis(MAX_GENERATION - 1)), "write");
    let agreed = Agreed { edit: Some(document("edit")), ..Agreed::default() };
    let basis = with_edit(basis(MAX_GENERATION - 1), "edit");
    let refused = decide(&save(Expect::Any), &goal("new"), &agreed, &basis, &me());
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "the edit would need one too");
}

#[test]
fn pruned_content_cannot_be_undeleted() {
    let mut basis = basis(4);
    let record = basis.stored.head.current.as_ref().unwrap().record.clone();
    basis.stored.head.current.as_mut().unwrap().record.deleted = true;
    let undelete =
        |basis: &Basis| decide(&save(Expect::Any), &Goal::Undelete, &Agreed::default(), basis, &me());
    let restored = |content| {
        let record = VersionRecord { generation: 3, ..record.clone() };
        Some(StoredVersion {
            record,
            record_hash: ContentHash::of(b"line"),
            content,
            place: ContentPlace::Inline,
        })
    };
    basis.restored = restored(None);
    let refused = undelete(&basis).unwrap_err();
    assert!(
        matches!(refused, Error::GenerationMissing { generation: 3, why: NoContent::Pruned, .. }),
        "{refused}"
    );
    basis.restored = restored(Some(Bytes::from_static(b"{}")));
    let next = planned(undelete(&basis).unwrap()).version.unwrap();
    assert_eq!((next.generation, next.described.hash, &next.content[..]), (5, record.hash, &b"{}"[..]));
}
