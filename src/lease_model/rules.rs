//! The decisions of the actors, made by the functions that the program runs.

use std::{collections::HashMap, hash::BuildHasherDefault, sync::Arc, time::Duration};

use pflow_backend::Version;

use super::{
    Flaw,
    heads::{Heads, SKEW, UNIT, at, claim, document, id_of, version_id, workflow},
    quick::Quick,
    world::{Attempt, Doing, Doubt, Name, OPEN, Register, Role},
};
use crate::{
    conflict::{Conflict, Expect, Goal},
    format::{FieldChanges, Head, version::tests::next as above},
    lease::{Holder, Sight, Standing},
    lock::{
        change::{Act, Wish},
        decide::{Decider, LockDecision, decide as decide_lock, settle},
    },
    register::{ByHead, Fate, HeadSwap, Sign},
    repo::StoredHead,
    store::{
        change::{
            agreed::Agreed,
            decide::{Decision, decide},
            plan::Basis,
            request::Request,
            write::with_lease,
        },
        copy::CopyState,
    },
};

/// The input of a decision: what an actor sees when it reads the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Look {
    pub(super) by: Role,
    pub(super) doing: Doing,
    pub(super) register: Register,
    pub(super) doubts: [Option<Doubt>; OPEN],
    /// How many units its wall clock is ahead of the true time.
    pub(super) clock: i8,
    /// For how many units it has seen the lease unchanged, by its monotonic clock.
    pub(super) unchanged: u8,
}

/// The decision that follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    /// Swap in this register. These attempts stay in doubt.
    Swap(Register, [Option<Doubt>; OPEN]),
    /// Done: the lease was granted, released or broken before, or an attempt to save has landed.
    Done,
    /// Another client's lease is in the way.
    Locked,
    /// The lease that the actor relies on is lost.
    Lost,
    /// Unknown: an attempt may still land, and no other may be made.
    Unknown,
}

/// The program's rules, optionally with a flaw.
pub(super) struct Rules {
    pub(super) flaw: Option<Flaw>,
    heads: Heads,
    /// Cache: every decision is a function of its input, so each is made only once.
    made: HashMap<Look, Verdict, BuildHasherDefault<Quick>>,
}

impl Rules {
    pub(super) fn new(flaw: Option<Flaw>) -> Self {
        Self { flaw, heads: Heads::new(), made: HashMap::default() }
    }

    /// Returns the number of decisions with different inputs.
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
            Doing::Acquire(name) => self.lock(look, Wish::Acquire(claim(name)), name),
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
        let head = self.heads.expand(look.register);
        let (identity, sight) = (self.heads.identity(look.by), self.sight(look));
        let decider = Decider { identity, sight, nonce: "next".to_owned() };
        let refusal = match decide_lock(&wish, &head, decider) {
            LockDecision::Swap { head: mut next, .. } => {
                if self.flaw == Some(Flaw::TakeoverKeepsTheFence) && head.lease.is_some() {
                    next.fence = head.fence;
                    next.lease.as_mut().map(|lease| lease.fence = head.fence).unwrap_or_default();
                }
                return Verdict::Swap(self.heads.compress(&next, look.register), look.doubts);
            }
            LockDecision::Held(_) => return Verdict::Done,
            LockDecision::Refused(refusal) if look.doubts == [None; OPEN] => refusal,
            LockDecision::Refused(refusal) => {
                let is_named = look.doubts.iter().flatten().any(|doubt| doubt.named_is_present);
                let named = Some(Version::new(if is_named { "present" } else { "past" }));
                // How a lease ended is not modelled: the recorded end is always ours.
                let head = Head { nonce: "ours".to_owned(), ..head };
                let sign = Some(match wish.ends_lease() {
                    true => Sign::LeaseGone(id_of(name)),
                    false => Sign::Lease(id_of(name)),
                });
                match settle(&wish, &HeadSwap { named, head, sign }, &self.stored(look.register)) {
                    Fate::Landed => return Verdict::Done,
                    Fate::Open => return Verdict::Unknown,
                    Fate::Dead | Fate::Superseded => refusal,
                }
            }
        };
        match refusal {
            Conflict::LeaseLost { .. } => Verdict::Lost,
            Conflict::Locked { .. } | Conflict::AlreadyLocked { .. } => Verdict::Locked,
            other => panic!("{other:?}"),
        }
    }

    /// Runs CheckConflicts, and WriteAtomic up to the swap.
    fn save(&self, look: Look, under: Option<Name>) -> Verdict {
        let stored = self.stored(look.register);
        let mut doubts = [None; OPEN];
        for (at, doubt) in look.doubts.iter().enumerate() {
            match doubt.map(|doubt| self.fate(doubt, look.register, &stored)) {
                Some(Fate::Landed) => return Verdict::Done,
                Some(Fate::Open) => doubts[at] = *doubt,
                Some(Fate::Dead | Fate::Superseded) | None => {}
            }
        }
        let sight = self.sight(look);
        let standing = stored.head.lease.as_ref().map(|lease| Standing::of(lease, &sight));
        let basis = Basis {
            stored,
            standing,
            copy: CopyState::Absent,
            target: None,
            restored: None,
            joined: None,
            now: sight.now,
        };
        let lease = match look.register.held {
            _ if self.flaw != Some(Flaw::SaveForgetsItsLease) => under,
            held => under.and(held.map(|held| held.name)),
        };
        let lease = lease.map(|name| id_of(name).into());
        let request = Request { lease, ..Request::new(workflow(), Expect::Any) };
        let goal = Goal::Save { document: Arc::new(document(look.by)), fields: FieldChanges::default() };
        let identity = self.heads.identity(look.by);
        let plan = match decide(&request, &goal, &Agreed::default(), &basis, identity).unwrap() {
            Decision::Write(plan) => plan,
            Decision::Unchanged if self.flaw.is_some() => return Verdict::Done,
            Decision::Conflict(_) if doubts != [None; OPEN] => return Verdict::Unknown,
            Decision::Conflict(Conflict::LeaseLost { .. }) => return Verdict::Lost,
            Decision::Conflict(Conflict::Locked { .. }) => return Verdict::Locked,
            other => panic!("{other:?}"),
        };
        let mut next = plan.stored.head.next("next".to_owned());
        let attempt = Attempt::Of(look.by, next_number(look.doubts));
        let record = plan.version.unwrap().record(&workflow(), version_id(attempt), Vec::new());
        next.current = Some(above(next.current.as_ref(), record));
        if self.flaw != Some(Flaw::SaverLeavesAStaleLease) {
            next = with_lease(&plan.lease, plan.breaks.is_some(), next, identity, sight.now);
        }
        Verdict::Swap(self.heads.compress(&next, look.register), doubts)
    }

    fn fate(&self, doubt: Doubt, present: Register, stored: &StoredHead) -> Fate {
        if self.flaw == Some(Flaw::LostReplyIsAFailure) {
            return Fate::Dead;
        }
        let mut register = Register { generation: doubt.generation, ..Register::new() };
        register.chain[usize::from(doubt.generation) - 1] = doubt.attempt;
        let head = Head { nonce: "ours".to_owned(), ..self.heads.expand(register) };
        let named = if doubt.named_is_present { "present" } else { "past" };
        let name = (u64::from(doubt.generation), version_id(doubt.attempt));
        let attempt = HeadSwap { named: Some(Version::new(named)), head, sign: Some(Sign::Version(name)) };
        let mut search = match attempt.fate_by_head(stored) {
            ByHead::Decided(fate) => return fate,
            ByHead::Further(search) => search,
        };
        let versions = self.heads.versions(present);
        while let Some(named) = search.next() {
            let read = &versions[usize::try_from(named.generation).unwrap() - 1].record;
            if search.read(read) {
                return Fate::Landed;
            }
        }
        search.end().unwrap()
    }

    fn sight(&self, look: Look) -> Sight {
        let unchanged = match self.flaw {
            Some(Flaw::TrustsEveryClock) => Duration::ZERO,
            _ => UNIT * u32::from(look.unchanged),
        };
        Sight { now: at(look.clock), skew: SKEW, unchanged, holder: Holder::OtherHost }
    }

    fn stored(&self, register: Register) -> StoredHead {
        StoredHead { head: self.heads.expand(register), version: Some(Version::new("present")) }
    }
}

/// Returns the number of the next attempt: one that no attempt in doubt has.
pub(super) fn next_number(doubts: [Option<Doubt>; OPEN]) -> u8 {
    let taken = |number: &u8| {
        doubts
            .iter()
            .flatten()
            .any(|doubt| matches!(doubt.attempt, Attempt::Of(_, other) if other == *number))
    };
    (0..).find(|number| !taken(number)).unwrap()
}
