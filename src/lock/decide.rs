//! What becomes of a wish for a lease, by what stands in the head. Pure, so that every case can be tried.

use std::time::Duration;

use chrono::{DateTime, Utc};
use pflow_backend::Environment;

use super::{change::Wish, node::Answer};
use crate::{
    Result,
    conflict::Conflict,
    stored::{Head, Lease},
};

/// The next state of the head and the lease that the caller gets or gave back.
#[derive(Debug)]
pub(super) enum Decision {
    Swap { head: Box<Head>, lease: Box<Lease> },
    Answer(Answer),
}

/// By the lease in the head alone: who has it, and whether it is live.
pub(super) fn decide(
    wish: &Wish,
    head: &Head,
    environment: &dyn Environment,
    now: DateTime<Utc>,
    skew: Duration,
) -> Result<Decision> {
    let id = head.id.clone();
    match wish {
        Wish::Acquire(request) => {
            let current = head.current.as_ref().and_then(|current| current.record.hash);
            let hash = request.hash.or(current);
            if let Some(held) = &head.lease {
                let lease = Box::new(held.clone());
                if request.is_granted_by(held, environment.identity()) && held.is_live(now, skew) {
                    return Ok(Decision::Answer(Answer::Done { lease, already_held: true }));
                }
                if held.is_live(now, skew) {
                    let conflict = if hash.is_some() && held.hash == hash {
                        Conflict::AlreadyLocked { id, lease, now }
                    } else {
                        Conflict::Locked { id, lease, now }
                    };
                    return Ok(Decision::Answer(Answer::Conflict(conflict)));
                }
            }
            let fence = head.fence.saturating_add(1);
            let lease = request.grant(environment, fence, hash, now)?;
            let next = Head { fence, lease: Some(lease.clone()), ..head.next(environment.new_id()) };
            Ok(Decision::Swap { head: Box::new(next), lease: Box::new(lease) })
        }
        Wish::Release(lease_id) => match &head.lease {
            Some(held) if held.id == *lease_id => {
                let next = Head { lease: None, ..head.next(environment.new_id()) };
                Ok(Decision::Swap { head: Box::new(next), lease: Box::new(held.clone()) })
            }
            other => {
                let (lease_id, held) = (lease_id.clone(), other.clone().map(Box::new));
                let conflict = Conflict::LeaseLost { id, lease_id, held, fence: head.fence };
                Ok(Decision::Answer(Answer::Conflict(conflict)))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use pflow_backend::ManualEnvironment;

    use super::*;
    use crate::{
        document::ContentHash,
        lock::LeaseRequest,
        stored::{LeaseId, WorkflowId},
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
        decide(wish, head, &environment, environment.now() + passed, SKEW).unwrap()
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
            assert_eq!(after.revision, 7);
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
        let (after, lease) = swapped(decided_by(9, &again, &head(true), MINUTE * 10));
        assert_eq!(
            (after.fence, lease.fence, lease.id),
            (5, 5, lease_id("held")),
            "what has ended is granted anew"
        );
    }

    #[test]
    fn only_the_lease_that_is_there_can_be_given_back() {
        let release = |name: &str| Wish::Release(lease_id(name));
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
}
