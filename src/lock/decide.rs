//! Decides how a lock request changes the head. The functions are pure, so that tests can cover every case
//! and every interleaving.

use pflow_backend::Identity;

use super::{
    change::{Act, Wish},
    request::LeaseClaim,
};
use crate::{
    conflict::Conflict,
    format::{Ended, Head, Lease},
    lease::{Sight, Standing},
    register::{ByHead, Fate, HeadSwap},
    repo::StoredHead,
};

/// The effect of a request on a head.
#[derive(Debug)]
pub(crate) enum LockDecision {
    /// Swap the head for this one. `lease` is the lease that is granted, renewed, released or broken.
    Swap {
        head: Box<Head>,
        lease: Box<Lease>,
    },
    /// The caller holds the lease: an earlier attempt acquired it and the reply was lost.
    Held(Box<Lease>),
    Refused(Conflict),
}

/// The deciding process and its knowledge.
#[derive(Debug, Clone)]
pub(crate) struct Decider<'a> {
    pub(crate) identity: &'a Identity,
    /// What the process knows about the lease in the head.
    pub(crate) sight: Sight,
    /// A nonce for the next state of the head. It must never have been used before.
    pub(crate) nonce: String,
}

/// Decides from the lease in the head alone: who holds it, and whether it must be respected.
///
/// Invariants, for every request and every sight:
/// - The fence never decreases. It rises by one when a lease is granted, broken or taken over, and at no
///   other time.
/// - A renewal, release or break names the lease by its id, and by its fence if the caller knows it. The
///   clock does not matter.
/// - Only the lease, the fence, the nonce, the revision and the record of how the last lease ended are
///   changed.
pub(crate) fn decide(wish: &Wish, head: &Head, decider: Decider<'_>) -> LockDecision {
    match wish {
        Wish::Acquire(claim) => acquire(claim, head, decider),
        Wish::Of(named, act) => match head.lease.clone().filter(|held| named.is(held)) {
            Some(held) => apply(*act, held, head, decider),
            None => LockDecision::Refused(Conflict::lease_lost(named.id.clone(), head)),
        },
    }
}

/// Settles `ours`, an earlier swap of a request that the head in `stored` refuses. The refusal is final unless
/// the swap landed, or may still land: the lease may have been stale when we swapped and be live now, because
/// our clock was set back since.
pub(crate) fn settle(wish: &Wish, ours: &HeadSwap, stored: &StoredHead) -> Fate {
    match ours.fate_by_head(stored) {
        // A grant that is refused now has ended meanwhile. It is reported as lost, not as granted.
        ByHead::Decided(Fate::Landed) if !wish.ends_lease() => Fate::Dead,
        ByHead::Decided(fate) => fate,
        // The swap of a lease makes no version, so no chain is read for it.
        ByHead::Further { .. } => Fate::Dead,
    }
}

fn acquire(claim: &LeaseClaim, head: &Head, decider: Decider<'_>) -> LockDecision {
    let Decider { identity, sight, nonce } = decider;
    let current = head.current.as_ref().and_then(|current| current.record.hash);
    let hash = claim.wanted_hash().or(current);
    if let Some(held) = &head.lease {
        let (id, lease, now) = (head.id.clone(), Box::new(held.clone()), sight.now);
        let standing = Standing::of(held, &sight);
        if standing.is_live() {
            return if claim.is_granted_by(held, identity) {
                LockDecision::Held(lease)
            } else if hash.is_some() && held.hash == hash {
                LockDecision::Refused(Conflict::AlreadyLocked { id, lease, standing, now })
            } else {
                LockDecision::Refused(Conflict::Locked { id, lease, standing, now })
            };
        }
    }
    if let Some(lost) = claim.spent(head) {
        return LockDecision::Refused(lost);
    }
    let lease = claim.grant(identity, head.fence.saturating_add(1), hash, sight.now);
    let next = head.next(nonce).with_lease(lease.clone(), Ended::TAKEN_OVER, identity.to_string(), sight.now);
    LockDecision::Swap { head: Box::new(next), lease: Box::new(lease) }
}

fn apply(act: Act, held: Lease, head: &Head, decider: Decider<'_>) -> LockDecision {
    let Decider { identity, sight: Sight { now, .. }, nonce } = decider;
    let next = head.next(nonce);
    let (head, lease) = match act {
        Act::Renew(duration) => {
            let renewed = held.renewed(now, duration.unwrap_or(held.duration()));
            (Head { lease: Some(renewed.clone()), ..next }, renewed)
        }
        Act::Release => (Head { lease: None, ..next }, held),
        Act::Break => (next.without_lease(Ended::BROKEN, identity.to_string(), now), held),
    };
    LockDecision::Swap { head: Box::new(head), lease: Box::new(lease) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pflow_backend::{Environment, ManualEnvironment, Version};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        document::ContentHash,
        format::{LeaseId, LeaseRef, WorkflowId},
        lease::Holder,
        lock::LeaseRequest,
        register::Sign,
    };

    const MINUTE: Duration = Duration::from_secs(60);
    const SKEW: Duration = Duration::from_secs(5);

    fn lease_id(name: &str) -> LeaseId {
        LeaseId::parse(name).unwrap()
    }

    fn content() -> ContentHash {
        ContentHash::of(b"held")
    }

    fn wish(name: &str, hash: Option<ContentHash>) -> Wish {
        let request = LeaseRequest::new("edit", MINUTE).id(lease_id(name));
        let request = hash.into_iter().fold(request, LeaseRequest::hash);
        Wish::Acquire(request.claim(&ManualEnvironment::new(1)).unwrap())
    }

    /// Returns a head without a version, with or without a lease.
    fn head(locked: bool) -> Head {
        let environment = ManualEnvironment::new(9);
        let grant = || {
            let (identity, now) = (environment.identity(), environment.now());
            Lease::grant(lease_id("held"), 4, "edit".to_owned(), Some(content()), identity, now, MINUTE)
        };
        let id = WorkflowId::parse("a").unwrap();
        let nonce = "old".to_owned();
        Head { fence: 4, revision: 6, nonce, lease: locked.then(grant), ..Head::new(id) }
    }

    fn decided(wish: &Wish, head: &Head, passed: Duration) -> LockDecision {
        decided_by(1, wish, head, passed)
    }

    /// Decides as the machine with this seed. Machine 9 holds the lease of `head`.
    fn decided_by(seed: u64, wish: &Wish, head: &Head, passed: Duration) -> LockDecision {
        let environment = ManualEnvironment::new(seed);
        let (now, holder) = (environment.now() + passed, Holder::Unknown);
        let sight = Sight { now, skew: SKEW, unchanged: Duration::ZERO, holder };
        let decider = Decider { identity: environment.identity(), sight, nonce: environment.new_id() };
        decide(wish, head, decider)
    }

    #[track_caller]
    fn swapped(decision: LockDecision) -> (Head, Lease) {
        match decision {
            LockDecision::Swap { head, lease } => (*head, *lease),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn grant_raises_the_fence_and_rewrites_the_head() {
        for before in [head(false), Head { lease: None, ..head(true) }] {
            let (after, lease) = swapped(decided(&wish("mine", None), &before, Duration::ZERO));
            assert_eq!((after.fence, lease.fence, after.lease.as_ref()), (5, 5, Some(&lease)));
            assert_eq!((after.revision, &after.ended), (7, &None));
            assert_ne!(after.nonce, before.nonce);
            assert_eq!(Head { fence: 4, revision: 6, nonce: "old".to_owned(), lease: None, ..after }, before);
        }
    }

    #[test]
    fn live_lease_is_respected_until_the_clock_skew_has_passed() {
        let other = Some(ContentHash::of(b"other"));
        for (wish, passed, already) in [
            (wish("mine", Some(content())), Duration::ZERO, true),
            (wish("mine", other), MINUTE + SKEW, false),
        ] {
            match decided(&wish, &head(true), passed) {
                LockDecision::Refused(Conflict::AlreadyLocked { .. }) => assert!(already),
                LockDecision::Refused(Conflict::Locked { .. }) => assert!(!already),
                decision => panic!("{decision:?}"),
            }
        }
        let after = MINUTE + SKEW + Duration::from_millis(1);
        let (after, lease) = swapped(decided(&wish("mine", None), &head(true), after));
        assert_eq!((after.fence, lease.id), (5, lease_id("mine")));
    }

    #[test]
    fn acquire_is_idempotent_within_one_process() {
        let again = wish("held", Some(ContentHash::of(b"other")));
        match decided_by(9, &again, &head(true), MINUTE) {
            LockDecision::Held(lease) => assert_eq!(lease.fence, 4),
            decision => panic!("{decision:?}"),
        }
        match decided_by(1, &again, &head(true), MINUTE) {
            LockDecision::Refused(Conflict::Locked { .. }) => {}
            decision => panic!("the same id of another machine: {decision:?}"),
        }
        let another_process = ManualEnvironment::new(9).identity().pid + 1;
        let mut elsewhere = head(true);
        elsewhere.lease.as_mut().unwrap().pid = another_process;
        match decided_by(9, &again, &elsewhere, MINUTE) {
            LockDecision::Refused(Conflict::Locked { .. }) => {}
            decision => panic!("the same id of another process: {decision:?}"),
        }
    }

    #[test]
    fn lease_id_is_granted_once() {
        let again = wish("held", None);
        match decided_by(9, &again, &head(true), MINUTE * 10) {
            LockDecision::Refused(lost @ Conflict::LeaseLost { held: Some(_), .. }) => {
                assert!(lost.to_string().contains("each id is for one grant"), "{lost}");
            }
            decision => panic!("it has ended: {decision:?}"),
        }
        let broken = Wish::Of(lease_id("held").into(), Act::Break);
        let (broken, _) = swapped(decided(&broken, &head(true), Duration::ZERO));
        match decided_by(9, &again, &broken, Duration::ZERO) {
            LockDecision::Refused(lost @ Conflict::LeaseLost { held: None, .. }) => {
                assert!(lost.to_string().contains("it was broken by tester@host-1"), "{lost}");
            }
            decision => panic!("it was broken: {decision:?}"),
        }
    }

    #[test]
    fn fence_distinguishes_two_grants_of_one_lease_id() {
        for (fence, is) in [(Some(4), true), (None, true), (Some(3), false)] {
            for act in [Act::Renew(None), Act::Release, Act::Break] {
                let wish = Wish::Of(LeaseRef { id: lease_id("held"), fence }, act);
                let decision = decided(&wish, &head(true), Duration::ZERO);
                assert_eq!(matches!(decision, LockDecision::Swap { .. }), is, "{fence:?} {act:?}");
            }
        }
    }

    #[test]
    fn takeover_names_the_new_holder() {
        let (after, _) = swapped(decided(&wish("mine", None), &head(true), MINUTE * 10));
        let lost = decided(&Wish::Of(lease_id("held").into(), Act::Release), &after, Duration::ZERO);
        let LockDecision::Refused(lost) = lost else { panic!("{lost:?}") };
        let text = lost.to_string();
        assert!(
            text.contains("it was taken over by tester@host-1 at 2024-01-15T10:40:00Z, and tester@host-1"),
            "{text}"
        );
    }

    #[test]
    fn lost_reply_is_no_release_if_another_client_ended_the_lease() {
        for act in [Act::Break, Act::Release] {
            let wish = Wish::Of(lease_id("held").into(), act);
            let (ours, lease) = swapped(decided(&wish, &head(true), Duration::ZERO));
            let swap = sent(Sign::LeaseGone(lease.id), &ours);
            let broken = Wish::Of(lease_id("held").into(), Act::Break);
            let (theirs, _) = swapped(decided_by(2, &broken, &head(true), Duration::ZERO));
            let (taken, _) = swapped(decided_by(2, &self::wish("mine", None), &head(true), MINUTE * 10));
            // Another machine acquires the lock after we released or broke the lease.
            let (next, _) = swapped(decided_by(2, &self::wish("mine", None), &ours, Duration::ZERO));
            for (found, done) in [(ours, true), (next, true), (theirs, false), (taken, false)] {
                assert!(matches!(decided(&wish, &found, Duration::ZERO), LockDecision::Refused(_)));
                let fate = settle(&wish, &swap, &read(found));
                assert_eq!(fate, if done { Fate::Landed } else { Fate::Dead }, "{act:?}");
            }
        }
    }

    #[test]
    fn only_the_current_lease_can_be_released() {
        let release = |name: &str| Wish::Of(lease_id(name).into(), Act::Release);
        let (after, lease) = swapped(decided(&release("held"), &head(true), MINUTE * 10));
        assert_eq!((after.fence, after.lease, lease.id), (4, None, lease_id("held")));
        for (wish, head) in [(release("mine"), head(true)), (release("held"), head(false))] {
            let decision = decided(&wish, &head, Duration::ZERO);
            let LockDecision::Refused(Conflict::LeaseLost { held, fence: 4, .. }) = decision else {
                panic!("{decision:?}");
            };
            assert_eq!(held.as_deref(), head.lease.as_ref());
        }
    }

    #[test]
    fn renewal_goes_by_lease_id_and_ignores_the_clock() {
        let renew = |name: &str, duration| Wish::Of(lease_id(name).into(), Act::Renew(duration));
        let late = MINUTE * 10;
        let (after, lease) = swapped(decided(&renew("held", None), &head(true), late));
        let before = head(true).lease.unwrap();
        assert_eq!((after.fence, after.lease.as_ref()), (4, Some(&lease)));
        assert_eq!((lease.renewals, lease.expires), (1, before.expires + late));
        let (_, longer) = swapped(decided(&renew("held", Some(MINUTE * 2)), &head(true), Duration::ZERO));
        assert_eq!((longer.duration(), longer.expires), (MINUTE * 2, before.expires + MINUTE));
        for head in [head(true), head(false)] {
            let decision = decided(&renew("mine", None), &head, Duration::ZERO);
            assert!(matches!(decision, LockDecision::Refused(Conflict::LeaseLost { .. })), "{decision:?}");
        }
    }

    #[test]
    fn break_raises_the_fence_and_names_its_author() {
        let lease_break = |name: &str| Wish::Of(lease_id(name).into(), Act::Break);
        let (after, lease) = swapped(decided(&lease_break("held"), &head(true), Duration::ZERO));
        assert_eq!((after.fence, &after.lease, &lease.id), (5, &None, &lease_id("held")));
        let lost = decided(&Wish::Of(lease_id("held").into(), Act::Renew(None)), &after, Duration::ZERO);
        let LockDecision::Refused(lost) = lost else { panic!("{lost:?}") };
        let text = lost.to_string();
        assert!(text.contains("it was broken by tester@host-1 at 2024-01-15T10:30:00Z"), "{text}");
        let another = decided(&Wish::Of(lease_id("mine").into(), Act::Release), &after, Duration::ZERO);
        let LockDecision::Refused(another) = another else { panic!("{another:?}") };
        assert!(!another.to_string().contains("broken"), "that was not this lease: {another}");
    }

    #[test]
    fn refusal_is_not_final_while_a_swap_may_still_land() {
        let wish = wish("mine", None);
        let ours = sent(Sign::Lease(lease_id("mine")), &head(true));
        assert!(matches!(decided(&wish, &head(true), Duration::ZERO), LockDecision::Refused(_)));
        for (version, fate) in [("named", Fate::Open), ("later", Fate::Dead)] {
            let other = Head { nonce: "other".to_owned(), ..head(true) };
            let stored = StoredHead { version: Some(Version::new(version)), head: other };
            assert_eq!(settle(&wish, &ours, &stored), fate);
        }
    }

    #[test]
    fn grant_that_has_ended_meanwhile_is_not_reported() {
        let wish = wish("mine", None);
        let (ours, _) = swapped(decided(&wish, &head(false), Duration::ZERO));
        let decision = decided(&wish, &ours, MINUTE * 10);
        assert!(matches!(decision, LockDecision::Refused(Conflict::LeaseLost { .. })), "{decision:?}");
        let swap = sent(Sign::Lease(lease_id("mine")), &ours);
        assert_eq!(settle(&wish, &swap, &read(ours)), Fate::Dead);
    }

    /// Returns a swap to `head` that was sent.
    fn sent(sign: Sign, head: &Head) -> HeadSwap {
        HeadSwap { named: Some(Version::new("named")), head: head.clone(), sign: Some(sign) }
    }

    /// Returns a head as it was read after that.
    fn read(head: Head) -> StoredHead {
        StoredHead { head, version: Some(Version::new("later")) }
    }

    fn wishes() -> impl Strategy<Value = Wish> {
        let name = prop_oneof![Just("held"), Just("mine"), Just("other")];
        let act = prop_oneof![Just(Act::Renew(None)), Just(Act::Release), Just(Act::Break)];
        prop_oneof![
            name.clone().prop_map(|name| wish(name, None)),
            (name, act).prop_map(|(name, act)| Wish::Of(lease_id(name).into(), act)),
        ]
    }

    proptest! {
        /// Covers every request, at every time, by the holder and by another machine.
        #[test]
        fn the_fence_rises_with_every_change_of_the_holder(wish in wishes(), locked: bool, seconds in 0_u64..200, seed in 1_u64..3) {
            let before = head(locked);
            if let LockDecision::Swap { head: after, .. } = decided_by(seed, &wish, &before, Duration::from_secs(seconds)) {
                let id = |head: &Head| head.lease.as_ref().map(|lease| lease.id.clone());
                let given_back = matches!(wish, Wish::Of(_, Act::Release));
                let renewed = matches!(wish, Wish::Of(_, Act::Renew(_)));
                prop_assert_eq!(after.fence - before.fence, u64::from(!given_back && !renewed));
                prop_assert_eq!(after.revision, before.revision + 1);
                prop_assert_ne!(&after.nonce, &before.nonce);
                if renewed { prop_assert_eq!(id(&after), id(&before)); }
                if let Some(lease) = &after.lease { prop_assert_eq!(lease.fence, after.fence); }
            }
        }
    }
}
