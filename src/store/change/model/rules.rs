//! What everybody decides: by the very functions that the program runs.

use std::{collections::HashMap, hash::BuildHasherDefault, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use pflow_backend::{Environment, Identity, ManualEnvironment, Version};
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use super::{
    Flaw,
    search::Quick,
    world::{Attempt, Doing, Doubt, Held, Name, OPEN, Register, Role},
};
use crate::{
    conflict::{Conflict, Expect, Policy},
    document::{ContentHash, Document, Limits, MediaType},
    lock::{
        self, Act, Answer, Decider, Decision as LockDecision, LeaseRequest, Wish, decide as decide_lock,
        settled,
    },
    store::{
        change::{
            Basis, Fields, Kind, Request,
            agreed::Agreed,
            decide::{Decision, decide},
            unsettled::{ByHead, Fate, Unsettled},
            write::with_lease,
        },
        copy::CopyState,
    },
    stored::{
        Current, Head, Holder, Lease, LeaseId, Operation, Sight, Standing, StoredHead, VersionId,
        VersionRecord, WorkflowId,
    },
};

/// How long a lease lasts and clocks may differ. Together they are less than a unit of the model's time.
const LEASE: Duration = Duration::from_secs(60);
const SKEW: Duration = Duration::from_secs(5);
const UNIT: Duration = Duration::from_secs(100);

/// What somebody sees when it looks at the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Look {
    pub(super) by: Role,
    pub(super) doing: Doing,
    pub(super) register: Register,
    pub(super) doubts: [Option<Doubt>; OPEN],
    /// By so many units its wall clock is ahead of the true time.
    pub(super) clock: i8,
    /// For so many units it has seen the lease as it is now, by its monotonic clock.
    pub(super) unchanged: u8,
}

/// What it makes of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    /// To swap this in, still in doubt about these attempts.
    Swap(Register, [Option<Doubt>; OPEN]),
    /// It is done: granted, given back or broken before, or saved by an attempt that has landed.
    Done,
    /// Somebody else's lease is in the way.
    Locked,
    /// The lease that it relies on is lost.
    Lost,
    /// It cannot be told whether it happened: an attempt may land yet, and no other one may be made.
    Unknown,
}

/// The program's rules, or with a flaw in them.
pub(super) struct Rules {
    pub(super) flaw: Option<Flaw>,
    identities: [Identity; 5],
    /// Every decision is a function of what was seen, so each is made once.
    made: HashMap<Look, Verdict, BuildHasherDefault<Quick>>,
}

impl Rules {
    pub(super) fn new(flaw: Option<Flaw>) -> Self {
        let identity = |role: Role| ManualEnvironment::new(role as u64).identity().clone();
        Self { flaw, identities: Role::ALL.map(identity), made: HashMap::default() }
    }

    /// How many decisions were made that differ in what was seen.
    pub(super) fn decisions(&self) -> usize {
        self.made.len()
    }

    pub(super) fn judge(&mut self, look: Look) -> Verdict {
        if let Some(made) = self.made.get(&look) {
            return *made;
        }
        let verdict = match look.doing {
            Doing::Settle => Verdict::Swap(look.register, look.doubts),
            Doing::Save => self.save(look, None),
            Doing::SaveUnder(name) => self.save(look, Some(name)),
            Doing::Acquire(name) => self.lock(look, Wish::Acquire(request(name)), name),
            Doing::Renew(name) => self.lock(look, Wish::Of(id_of(name).into(), Act::Renew(None)), name),
            Doing::Release(name) => self.lock(look, Wish::Of(id_of(name).into(), Act::Release), name),
            Doing::Break(name) => {
                let name = match look.register.held {
                    Some(held) if self.flaw == Some(Flaw::BreaksWhateverIsThere) => held.name,
                    _ => name,
                };
                self.lock(look, Wish::Of(id_of(name).into(), Act::Break), name)
            }
        };
        self.made.insert(look, verdict);
        verdict
    }

    fn lock(&self, look: Look, wish: Wish, name: Name) -> Verdict {
        let head = self.expand(look.register);
        let (identity, sight) = (self.identity(look.by), self.sight(look));
        let decider = Decider { identity, sight, nonce: "next".to_owned() };
        let answer = match decide_lock(&wish, &head, decider).unwrap() {
            LockDecision::Swap { head: mut next, .. } => {
                if self.flaw == Some(Flaw::TakeoverKeepsTheFence) && head.lease.is_some() {
                    next.fence = head.fence;
                    next.lease.as_mut().map(|lease| lease.fence = head.fence).unwrap_or_default();
                }
                return Verdict::Swap(self.compress(&next), look.doubts);
            }
            LockDecision::Answer(answer) if look.doubts == [None; OPEN] => answer,
            LockDecision::Answer(answer) => {
                let ours = Held { name, fence: look.register.fence, refreshed: 0 };
                let open = look.doubts.iter().flatten().any(|doubt| doubt.named_is_present);
                // Notes of how a lease ended are not modelled: the last one is ours.
                let (lease, ended) = (self.lease(ours), head.ended.clone());
                let ours = lock::Unsettled { lease, ended, named: None };
                settled(&wish, answer, &ours, &head, open)
            }
        };
        match answer {
            Answer::Done { .. } => Verdict::Done,
            Answer::Conflict(Conflict::LeaseLost { .. }) => Verdict::Lost,
            Answer::Conflict(Conflict::Locked { .. } | Conflict::AlreadyLocked { .. }) => Verdict::Locked,
            Answer::Failed(_) => Verdict::Unknown,
            other => panic!("{other:?}"),
        }
    }

    /// CheckConflicts and WriteAtomic up to the swap.
    fn save(&self, look: Look, under: Option<Name>) -> Verdict {
        let stored = self.stored(look.register);
        let mut doubts = [None; OPEN];
        for (at, doubt) in look.doubts.iter().enumerate() {
            match doubt.map(|doubt| self.fate(doubt, &stored)) {
                Some(Fate::Landed) => return Verdict::Done,
                Some(Fate::Open) => doubts[at] = *doubt,
                Some(Fate::Dead) | None => {}
            }
        }
        let sight = self.sight(look);
        let standing = stored.head.lease.as_ref().map(|lease| Standing::of(lease, &sight));
        let basis = Basis { stored, standing, copy: CopyState::Absent, restored: None, now: sight.now };
        let lease = match look.register.held {
            _ if self.flaw != Some(Flaw::SaveForgetsItsLease) => under,
            held => under.and(held.map(|held| held.name)),
        };
        let lease = lease.map(|name| id_of(name).into());
        let kind = Kind::Save { content: Bytes::new(), fields: Fields::default() };
        let id = workflow();
        let request = Request {
            id,
            kind,
            expect: Expect::Any,
            lease,
            hold: None,
            message: None,
            resolver: Arc::new(Policy::Fail),
            lock_timeout: None,
            cancel: CancellationToken::new(),
        };
        let identity = self.identity(look.by);
        let plan =
            match decide(&request, Some(&document(look.by)), &Agreed::default(), &basis, identity).unwrap() {
                Decision::Write(plan) => plan,
                Decision::Unchanged if self.flaw.is_some() => return Verdict::Done,
                Decision::Conflict(_) if doubts != [None; OPEN] => return Verdict::Unknown,
                Decision::Conflict(Conflict::LeaseLost { .. }) => return Verdict::Lost,
                Decision::Conflict(Conflict::Locked { .. }) => return Verdict::Locked,
                other => panic!("{other:?}"),
            };
        let mut next = plan.stored.head.next("next".to_owned());
        let (record, _) = plan.version.unwrap();
        let attempt = Attempt::Of(look.by, next_number(look.doubts));
        let record = VersionRecord { version_id: version_id(attempt), ..record };
        next.current = Some(Current::after(next.current.as_ref(), record, ContentHash::of(b"line")));
        if self.flaw != Some(Flaw::SaverLeavesAStaleLease) {
            next = with_lease(&plan.lease, plan.breaks.is_some(), next, identity, sight.now).unwrap();
        }
        Verdict::Swap(self.compress(&next), doubts)
    }

    fn fate(&self, doubt: Doubt, stored: &StoredHead) -> Fate {
        if self.flaw == Some(Flaw::LostReplyIsAFailure) {
            return Fate::Dead;
        }
        let mut register = Register { generation: doubt.generation, ..Register::new() };
        register.chain[usize::from(doubt.generation) - 1] = doubt.attempt;
        let head = Head { nonce: "ours".to_owned(), ..self.expand(register) };
        let named = if doubt.named_is_present { "present" } else { "past" };
        let fresh = vec![crate::stored::layout::head(&head.id)];
        let attempt = Unsettled { named: Some(Version::new(named)), head, fresh, copies: Vec::new() };
        match attempt.fate_by_head(stored) {
            ByHead::Decided(fate) => fate,
            further @ ByHead::Further { .. } => panic!("{further:?}"),
        }
    }

    fn identity(&self, role: Role) -> &Identity {
        &self.identities[role as usize]
    }

    fn sight(&self, look: Look) -> Sight {
        let unchanged = match self.flaw {
            Some(Flaw::TrustsEveryClock) => Duration::ZERO,
            _ => UNIT * u32::from(look.unchanged),
        };
        Sight { now: at(look.clock), skew: SKEW, unchanged, holder: Holder::OtherHost }
    }

    fn stored(&self, register: Register) -> StoredHead {
        StoredHead { head: self.expand(register), version: Some(Version::new("present")) }
    }

    /// The head that a register stands for.
    fn expand(&self, register: Register) -> Head {
        let mut current = None;
        for (generation, attempt) in (1..).zip(register.chain()) {
            let record = self.record(generation, *attempt);
            current = Some(Current::after(current.as_ref(), record, ContentHash::of(b"line")));
        }
        let lease = register.held.map(|held| self.lease(held));
        let (fence, nonce) = (register.fence.into(), "now".to_owned());
        Head { current, fence, lease, nonce, ..Head::new(workflow()) }
    }

    /// What a register keeps of a head. What is not in it decides nothing: how often it was written, how often a lease was renewed, how one ended.
    fn compress(&self, head: &Head) -> Register {
        let held = head.lease.as_ref().map(|lease| Held {
            name: name_of(&lease.id),
            fence: lease.fence.try_into().unwrap(),
            refreshed: units(lease.refreshed()),
        });
        let generation = head.generation().try_into().unwrap();
        let mut register =
            Register { fence: head.fence.try_into().unwrap(), held, generation, ..Register::new() };
        for ancestor in head.current.iter().flat_map(Current::lineage) {
            register.chain[ancestor.generation as usize - 1] = attempt_of(&ancestor.version_id);
        }
        let again = self.expand(register);
        assert_eq!(again.current.as_ref().map(|it| &it.recent), head.current.as_ref().map(|it| &it.recent));
        assert_eq!(again.lease.as_ref().map(Lease::holder), head.lease.as_ref().map(Lease::holder));
        register
    }

    fn lease(&self, held: Held) -> Lease {
        let identity = self.identity(held.name.holder);
        request(held.name).grant(identity, held.fence.into(), None, at(held.refreshed)).unwrap()
    }

    fn record(&self, generation: u64, attempt: Attempt) -> VersionRecord {
        let hash = match attempt {
            Attempt::Anybodys => ContentHash::of(b"anybody's"),
            Attempt::Of(role, _) => document(role).hash(),
        };
        VersionRecord {
            generation,
            version_id: version_id(attempt),
            operation: Operation::SAVE,
            parents: Vec::new(),
            hash: Some(hash),
            size: 0,
            media_type: MediaType::Json,
            name: None,
            description: None,
            tags: Vec::new(),
            nodes: Vec::new(),
            version: None,
            created: at(0),
            modified: at(0),
            author: "somebody".to_owned(),
            message: None,
            deleted: false,
            extra: Map::new(),
        }
    }
}

/// The number of the next attempt: none that somebody is still in doubt about.
pub(super) fn next_number(doubts: [Option<Doubt>; OPEN]) -> u8 {
    let taken = |number: &u8| {
        doubts
            .iter()
            .flatten()
            .any(|doubt| matches!(doubt.attempt, Attempt::Of(_, other) if other == *number))
    };
    (0..).find(|number| !taken(number)).unwrap()
}

fn workflow() -> WorkflowId {
    WorkflowId::parse("a").unwrap()
}

/// What somebody saves.
fn document(role: Role) -> Document {
    Document::parse(format!(r#"{{ "by": "{role:?}" }}"#), &Limits::default()).unwrap()
}

fn request(name: Name) -> LeaseRequest {
    LeaseRequest::new("work", LEASE).id(id_of(name))
}

fn id_of(name: Name) -> LeaseId {
    LeaseId::parse(format!("{}-{}", name.holder as u8, name.wish)).unwrap()
}

fn name_of(id: &LeaseId) -> Name {
    let (holder, wish) = id.as_str().split_once('-').unwrap();
    Name { holder: Role::ALL[holder.parse::<usize>().unwrap()], wish: wish.parse().unwrap() }
}

fn version_id(attempt: Attempt) -> VersionId {
    let number = match attempt {
        Attempt::Anybodys => 0,
        Attempt::Of(role, number) => 1 + role as u64 + u64::from(number) * 10,
    };
    VersionId::parse(format!("{number:026}")).unwrap()
}

fn attempt_of(id: &VersionId) -> Attempt {
    match id.as_str().parse::<usize>().unwrap() {
        0 => Attempt::Anybodys,
        number => Attempt::Of(Role::ALL[number % 10 - 1], u8::try_from(number / 10).unwrap()),
    }
}

fn at(units: i8) -> DateTime<Utc> {
    ManualEnvironment::new(0).now() + TimeDelta::from_std(UNIT).unwrap() * i32::from(units)
}

fn units(moment: DateTime<Utc>) -> i8 {
    let passed =
        moment.signed_duration_since(at(0)).num_seconds() / TimeDelta::from_std(UNIT).unwrap().num_seconds();
    passed.try_into().unwrap()
}
