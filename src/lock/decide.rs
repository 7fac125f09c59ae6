//! What becomes of a wish about a lease, by what stands in the head. Pure, so that every case, and every
//! interleaving of cases, can be tried.

use pflow_backend::Identity;

use super::{
    LeaseRequest,
    change::{Act, LockAttempt, Wish},
};
use crate::{
    Error, Result,
    conflict::Conflict,
    format::{Ended, Head, Lease},
    lease::{Sight, Standing},
};

/// The next state of the head and the lease that the caller gets, gave back or took away.
#[derive(Debug)]
pub(crate) enum Decision {
    Swap { head: Box<Head>, lease: Box<Lease> },
    Answer(Answer),
}

#[derive(Debug)]
pub(crate) enum Answer {
    Done {
        lease: Box<Lease>,
        already_held: bool,
    },
    Conflict(Conflict),
    LostRace,
    /// The swap that granted this lease or gave it back may be in place.
    InDoubt {
        attempt: Box<LockAttempt>,
        doubt: Option<pflow_backend::Error>,
    },
    Failed(Error),
}

/// Who decides, and what it knows.
#[derive(Debug, Clone)]
pub(crate) struct Decider<'a> {
    pub(crate) identity: &'a Identity,
    /// What it sees of the lease in the head.
    pub(crate) sight: Sight,
    /// Never given before anywhere, for the next state of the head.
    pub(crate) nonce: String,
}

/// By the lease in the head alone: who has it, and whether it must be respected.
///
/// Invariants, whatever the wish and the sight: the fence never falls; it rises by one when a lease is
/// granted, broken or taken over, and only then; a lease is renewed, given back and broken by its id and,
/// where the caller knows it, its fence, whatever any clock says; nothing but lease, fence, nonce, revision
/// and the note of how a lease ended is changed.
pub(crate) fn decide(wish: &Wish, head: &Head, decider: Decider<'_>) -> Result<Decision> {
    match wish {
        Wish::Acquire(request) => acquire(request, head, decider),
        Wish::Of(named, act) => match head.lease.clone().filter(|held| named.is(held)) {
            Some(held) => Ok(apply(*act, held, head, decider)),
            None => {
                let lost = Conflict::lease_lost(named.id.clone(), head);
                Ok(Decision::Answer(Answer::Conflict(lost)))
            }
        },
    }
}

/// What an answer means for a wish that may have been granted already without anybody's hearing of it: `ours`
/// is what its swaps put there, `head` what is there, and `open` says that the head still is the one that
/// they name, so that they may happen yet.
///
/// That a lease is gone does not tell who took it away. Whoever takes one from its holder leaves a note of it
/// in the head. So the lease is gone because of us if and only if the last note is the one that our swap
/// leaves: its own after a break, the one that was there before after a release. If somebody else's lease was
/// taken away since, which leaves another note, nobody can tell any more, and the lease is reported lost.
pub(crate) fn settled(wish: &Wish, answer: Answer, ours: &LockAttempt, head: &Head, open: bool) -> Answer {
    match answer {
        // It was granted now, not before.
        Answer::Done { lease, .. } => Answer::Done { lease, already_held: false },
        // What we gave back or broke is gone, and nobody else did it.
        Answer::Conflict(Conflict::LeaseLost { lease_id, .. })
            if lease_id == ours.lease.id && wish.ends_lease() && head.ended == ours.swap.head.ended =>
        {
            Answer::Done { lease: Box::new(ours.lease.clone()), already_held: false }
        }
        // It was stale when we swapped, and is not any more: a clock was set back. Nobody may be refused what
        // may be granted yet.
        Answer::Conflict(conflict) if open => Answer::Failed(conflict.into()),
        other => other,
    }
}

fn acquire(request: &LeaseRequest, head: &Head, decider: Decider<'_>) -> Result<Decision> {
    let Decider { identity, sight, nonce } = decider;
    let current = head.current.as_ref().and_then(|current| current.record.hash);
    let hash = request.wanted_hash().or(current);
    if let Some(held) = &head.lease {
        let (id, lease, now) = (head.id.clone(), Box::new(held.clone()), sight.now);
        let standing = Standing::of(held, &sight);
        if standing.is_live() {
            return Ok(Decision::Answer(if request.is_granted_by(held, identity) {
                Answer::Done { lease, already_held: true }
            } else if hash.is_some() && held.hash == hash {
                Answer::Conflict(Conflict::AlreadyLocked { id, lease, standing, now })
            } else {
                Answer::Conflict(Conflict::Locked { id, lease, standing, now })
            }));
        }
    }
    if let Some(lost) = request.spent(head) {
        return Ok(Decision::Answer(Answer::Conflict(lost)));
    }
    let fence = head.fence.saturating_add(1);
    let lease = request.grant(identity, fence, hash, sight.now)?;
    let next = head.next(nonce).with_lease(lease.clone(), Ended::TAKEN_OVER, identity.to_string(), sight.now);
    Ok(Decision::Swap { head: Box::new(next), lease: Box::new(lease) })
}

fn apply(act: Act, held: Lease, head: &Head, decider: Decider<'_>) -> Decision {
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
    Decision::Swap { head: Box::new(head), lease: Box::new(lease) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pflow_backend::{Environment, ManualEnvironment};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        document::ContentHash,
        format::{LeaseId, LeaseRef, WorkflowId},
        lease::Holder,
        register::Unsettled,
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
        Wish::Acquire(hash.map_or_else(|| request.clone(), |hash| request.clone().hash(hash)))
    }

    /// A head without a version, and whether it is locked.
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

    fn decided(wish: &Wish, head: &Head, passed: Duration) -> Decision {
        decided_by(1, wish, head, passed)
    }

    /// By the machine of this seed. The lease of `head` is machine 9's.
    fn decided_by(seed: u64, wish: &Wish, head: &Head, passed: Duration) -> Decision {
        let environment = ManualEnvironment::new(seed);
        let (now, holder) = (environment.now() + passed, Holder::Unknown);
        let sight = Sight { now, skew: SKEW, unchanged: Duration::ZERO, holder };
        let decider = Decider { identity: environment.identity(), sight, nonce: environment.new_id() };
        decide(wish, head, decider).unwrap()
    }

    #[track_caller]
    fn swapped(decision: Decision) -> (Head, Lease) {
        match decision {
            Decision::Swap { head, lease } => (*head, *lease),
            Decision::Answer(answer) => panic!("{answer:?}"),
        }
    }

    #[test]
    fn a_grant_raises_the_fence_and_makes_a_new_state_of_the_head() {
        for before in [head(false), Head { lease: None, ..head(true) }] {
            let (after, lease) = swapped(decided(&wish("mine", None), &before, Duration::ZERO));
            assert_eq!((after.fence, lease.fence, after.lease.as_ref()), (5, 5, Some(&lease)));
            assert_eq!((after.revision, &after.ended), (7, &None));
            assert_ne!(after.nonce, before.nonce);
            assert_eq!(Head { fence: 4, revision: 6, nonce: "old".to_owned(), lease: None, ..after }, before);
        }
    }

    #[test]
    fn a_live_lease_is_respected_to_the_end_of_the_allowance() {
        let other = Some(ContentHash::of(b"other"));
        for (wish, passed, already) in [
            (wish("mine", Some(content())), Duration::ZERO, true),
            (wish("mine", other), MINUTE + SKEW, false),
        ] {
            match decided(&wish, &head(true), passed) {
                Decision::Answer(Answer::Conflict(Conflict::AlreadyLocked { .. })) => assert!(already),
                Decision::Answer(Answer::Conflict(Conflict::Locked { .. })) => assert!(!already),
                decision => panic!("{decision:?}"),
            }
        }
        let after = MINUTE + SKEW + Duration::from_millis(1);
        let (after, lease) = swapped(decided(&wish("mine", None), &head(true), after));
        assert_eq!((after.fence, lease.id), (5, lease_id("mine")));
    }

    #[test]
    fn the_own_grant_is_found_again() {
        let again = wish("held", Some(ContentHash::of(b"other")));
        match decided_by(9, &again, &head(true), MINUTE) {
            Decision::Answer(Answer::Done { lease, already_held: true }) => assert_eq!(lease.fence, 4),
            decision => panic!("{decision:?}"),
        }
        match decided_by(1, &again, &head(true), MINUTE) {
            Decision::Answer(Answer::Conflict(Conflict::Locked { .. })) => {}
            decision => panic!("the same id of somebody else: {decision:?}"),
        }
        let another_process = ManualEnvironment::new(9).identity().pid + 1;
        let mut elsewhere = head(true);
        elsewhere.lease.as_mut().unwrap().pid = another_process;
        match decided_by(9, &again, &elsewhere, MINUTE) {
            Decision::Answer(Answer::Conflict(Conflict::Locked { .. })) => {}
            decision => panic!("the same id of another process: {decision:?}"),
        }
    }

    #[test]
    fn an_id_is_granted_once() {
        let again = wish("held", None);
        match decided_by(9, &again, &head(true), MINUTE * 10) {
            Decision::Answer(Answer::Conflict(lost @ Conflict::LeaseLost { held: Some(_), .. })) => {
                assert!(lost.to_string().contains("each id is for one grant"), "{lost}");
            }
            decision => panic!("it has ended: {decision:?}"),
        }
        let broken = Wish::Of(lease_id("held").into(), Act::Break);
        let (broken, _) = swapped(decided(&broken, &head(true), Duration::ZERO));
        match decided_by(9, &again, &broken, Duration::ZERO) {
            Decision::Answer(Answer::Conflict(lost @ Conflict::LeaseLost { held: None, .. })) => {
                assert!(lost.to_string().contains("it was broken by tester@host-1"), "{lost}");
            }
            decision => panic!("it was broken: {decision:?}"),
        }
    }

    #[test]
    fn a_grant_is_told_from_another_one_of_its_id_by_its_fence() {
        for (fence, is) in [(Some(4), true), (None, true), (Some(3), false)] {
            for act in [Act::Renew(None), Act::Release, Act::Break] {
                let wish = Wish::Of(LeaseRef { id: lease_id("held"), fence }, act);
                let decision = decided(&wish, &head(true), Duration::ZERO);
                assert_eq!(matches!(decision, Decision::Swap { .. }), is, "{fence:?} {act:?}");
            }
        }
    }

    #[test]
    fn a_takeover_tells_the_holder_by_whom() {
        let (after, _) = swapped(decided(&wish("mine", None), &head(true), MINUTE * 10));
        let lost = decided(&Wish::Of(lease_id("held").into(), Act::Release), &after, Duration::ZERO);
        let Decision::Answer(Answer::Conflict(lost)) = lost else { panic!("{lost:?}") };
        let text = lost.to_string();
        assert!(
            text.contains("it was taken over by tester@host-1 at 2024-01-15T10:40:00Z, and tester@host-1"),
            "{text}"
        );
    }

    #[test]
    fn what_somebody_else_took_away_in_a_swap_in_doubt_was_not_us() {
        for act in [Act::Break, Act::Release] {
            let wish = Wish::Of(lease_id("held").into(), act);
            let (ours, lease) = swapped(decided(&wish, &head(true), Duration::ZERO));
            let put = attempt(lease, &ours);
            let broken = Wish::Of(lease_id("held").into(), Act::Break);
            let (theirs, _) = swapped(decided_by(2, &broken, &head(true), Duration::ZERO));
            let (taken, _) = swapped(decided_by(2, &self::wish("mine", None), &head(true), MINUTE * 10));
            // Somebody acquires it after we gave it back or broke it.
            let (next, _) = swapped(decided_by(2, &self::wish("mine", None), &ours, Duration::ZERO));
            for (found, done) in [(ours, true), (next, true), (theirs, false), (taken, false)] {
                let Decision::Answer(answer) = decided(&wish, &found, Duration::ZERO) else { panic!() };
                let answer = settled(&wish, answer, &put, &found, false);
                assert_eq!(matches!(answer, Answer::Done { .. }), done, "{act:?} {found:?}: {answer:?}");
            }
        }
    }

    #[test]
    fn only_the_lease_that_is_there_can_be_given_back() {
        let release = |name: &str| Wish::Of(lease_id(name).into(), Act::Release);
        let (after, lease) = swapped(decided(&release("held"), &head(true), MINUTE * 10));
        assert_eq!((after.fence, after.lease, lease.id), (4, None, lease_id("held")));
        for (wish, head) in [(release("mine"), head(true)), (release("held"), head(false))] {
            let decision = decided(&wish, &head, Duration::ZERO);
            let Decision::Answer(Answer::Conflict(Conflict::LeaseLost { held, fence: 4, .. })) = decision
            else {
                panic!("{decision:?}");
            };
            assert_eq!(held.as_deref(), head.lease.as_ref());
        }
    }

    #[test]
    fn a_lease_is_renewed_by_its_id_whatever_the_clock_says() {
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
            assert!(
                matches!(decision, Decision::Answer(Answer::Conflict(Conflict::LeaseLost { .. }))),
                "{decision:?}"
            );
        }
    }

    #[test]
    fn breaking_raises_the_fence_and_tells_the_holder_by_whom() {
        let lease_break = |name: &str| Wish::Of(lease_id(name).into(), Act::Break);
        let (after, lease) = swapped(decided(&lease_break("held"), &head(true), Duration::ZERO));
        assert_eq!((after.fence, &after.lease, &lease.id), (5, &None, &lease_id("held")));
        let lost = decided(&Wish::Of(lease_id("held").into(), Act::Renew(None)), &after, Duration::ZERO);
        let Decision::Answer(Answer::Conflict(lost)) = lost else { panic!("{lost:?}") };
        let text = lost.to_string();
        assert!(text.contains("it was broken by tester@host-1 at 2024-01-15T10:30:00Z"), "{text}");
        let another = decided(&Wish::Of(lease_id("mine").into(), Act::Release), &after, Duration::ZERO);
        let Decision::Answer(Answer::Conflict(another)) = another else { panic!("{another:?}") };
        assert!(!another.to_string().contains("broken"), "that was not this lease: {another}");
    }

    #[test]
    fn nobody_is_refused_what_a_swap_in_doubt_may_still_grant() {
        let wish = wish("mine", None);
        let lease = Lease { id: lease_id("mine"), ..head(true).lease.unwrap() };
        let ours = attempt(lease, &head(true));
        for (open, refused) in [(false, true), (true, false)] {
            let decision = decided(&wish, &head(true), Duration::ZERO);
            let Decision::Answer(answer) = decision else { panic!("{decision:?}") };
            let answer = settled(&wish, answer, &ours, &head(true), open);
            assert_eq!(matches!(answer, Answer::Conflict(Conflict::Locked { .. })), refused, "{answer:?}");
            assert_eq!(matches!(answer, Answer::Failed(_)), open, "{answer:?}");
        }
    }

    /// A swap in doubt that would put `head`.
    fn attempt(lease: Lease, head: &Head) -> LockAttempt {
        let (named, fresh, after) = (None, Vec::new(), Vec::new());
        LockAttempt { swap: Unsettled { named, head: head.clone(), fresh, after }, lease }
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
        /// Of every wish at every moment, whoever wishes.
        #[test]
        fn the_fence_tells_every_change_of_hands(wish in wishes(), locked: bool, seconds in 0_u64..200, seed in 1_u64..3) {
            let before = head(locked);
            if let Decision::Swap { head: after, .. } = decided_by(seed, &wish, &before, Duration::from_secs(seconds)) {
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
