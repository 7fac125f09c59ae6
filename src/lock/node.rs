use std::time::Duration;

use chrono::{DateTime, Utc};
use pflow_backend::{Batch, Commit, Durability, Environment, Operation, Outcome, Position, Precondition};

use super::{
    Grant, Locks,
    change::{LockChange, Wish},
    lockfile,
};
use crate::{
    Error, Result,
    conflict::Conflict,
    flow::{Action, Failure, Flow, GraphError, Node, Retry, Visit},
    operation::back_off,
    stored::{Head, Lease, Objects, StoredHead, WorkflowId, layout, unreadable},
};

/// How often a swap is tried again because the head changed in between.
const RACES: u32 = 100;
/// Where the head stands in the batch; behind it comes the mirror.
const SWAP: usize = 0;
/// How many unknown outcomes an operation takes before it reports one.
const UNKNOWN: u32 = 3;

/// The actions of the seed's `LockfileManagerNode`.
mod actions {
    use crate::flow::Action;

    pub(super) const SUCCESS: Action = Action::named("success");
    pub(super) const ALREADY_LOCKED: Action = Action::named("already_locked");
    pub(super) const CONFLICT: Action = Action::named("conflict");
    pub(super) const ERROR: Action = Action::named("error");
}

/// The lock flow: one node, which comes back to itself after a lost race.
pub(crate) fn lock_flow() -> Result<Flow<LockChange, Error>> {
    let mut flow = Flow::builder("lock");
    let manager = flow.node(LockfileManager);
    flow.start(manager)
        .connect(manager, Action::DEFAULT, manager)
        .end(manager, actions::SUCCESS, "Success")
        .end(manager, actions::ALREADY_LOCKED, "AlreadyLocked")
        .end(manager, actions::CONFLICT, "LockConflict")
        .end(manager, actions::ERROR, "LockError");
    flow.build().map_err(|defects: GraphError| Error::Internal(defects.to_string()))
}

/// The seed's `LockfileManagerNode`: reads the head, decides, and swaps it.
///
/// A swap whose reply got lost is decided by the lease that the next look finds: the id was fixed before the first attempt, so a lease of
/// that id is ours, and one that we gave back and that is gone is given back. While the head is still the old one, the next swap of it settles
/// the one before: only one of them can land.
pub(super) struct LockfileManager;

pub(super) struct Question {
    locks: Locks,
    id: WorkflowId,
    wish: Wish,
    lost_races: u32,
    unsettled: Option<Lease>,
}

#[derive(Debug)]
pub(super) enum Answer {
    Done {
        lease: Box<Lease>,
        already_held: bool,
    },
    Conflict(Conflict),
    LostRace,
    /// The swap that granted this lease or gave it back may be in place.
    Unsettled {
        lease: Box<Lease>,
        doubt: Option<pflow_backend::Error>,
    },
    Failed(Error),
}

/// The next state of the head and the lease that the caller gets or gave back.
#[derive(Debug)]
enum Decision {
    Swap { head: Box<Head>, lease: Box<Lease> },
    Answer(Answer),
}

impl Node<LockChange, Error> for LockfileManager {
    type Prep = Question;
    type Exec = Answer;

    fn name(&self) -> &str {
        "LockfileManager"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, actions::SUCCESS, actions::ALREADY_LOCKED, actions::CONFLICT, actions::ERROR] }
    }

    fn retry(&self) -> Retry {
        Retry::attempts(3).wait(Duration::from_secs(1)).jitter(0.5)
    }

    fn is_retryable(&self, failure: &Failure<Error>) -> bool {
        matches!(failure, Failure::Error(error) if error.may_pass())
    }

    async fn prep(&self, change: &LockChange, _: Visit<'_>) -> Result<Question> {
        Ok(Question {
            locks: change.locks.clone(),
            id: change.id.clone(),
            wish: change.wish.clone(),
            lost_races: change.lost_races,
            unsettled: change.unsettled.clone(),
        })
    }

    async fn exec(&self, question: &Question, _: Visit<'_>) -> Result<Answer> {
        if question.lost_races > 0 {
            back_off(question.locks.objects.environment.as_ref(), question.lost_races).await;
        }
        let Locks { objects, gate, skew, .. } = &question.locks;
        let stored = objects.head(&question.id).await?;
        if stored.version.is_none() {
            gate.check_writer_again().await?;
        }
        match decide(&question.wish, &stored.head, objects.environment.as_ref(), objects.now(), *skew)? {
            Decision::Answer(answer) => match &question.unsettled {
                Some(lease) => settled(objects, &stored.head, answer, lease).await,
                None => Ok(answer),
            },
            Decision::Swap { head, lease } => swap(objects, stored, *head, lease).await,
        }
    }

    async fn exec_fallback(
        &self,
        _: &Question,
        failure: Failure<Error>,
        _: Visit<'_>,
    ) -> std::result::Result<Answer, Failure<Error>> {
        match failure {
            Failure::Error(error) => Ok(Answer::Failed(error)),
            timeout @ Failure::Timeout(_) => Err(timeout),
        }
    }

    async fn post(
        &self,
        change: &mut LockChange,
        _: Question,
        answer: Answer,
        _: Visit<'_>,
    ) -> Result<Action> {
        Ok(match answer {
            Answer::Done { lease, already_held } => {
                change.grant = Some(Grant { lease: *lease, already_held });
                actions::SUCCESS
            }
            Answer::Unsettled { lease, doubt } => {
                change.unsettled = Some(*lease);
                change.unknown += u32::from(doubt.is_some());
                change.doubt = doubt.or(change.doubt.take());
                change.lost_races += 1;
                if change.unknown >= UNKNOWN || change.lost_races > RACES {
                    change.failure = Some(Error::Internal("the outcome stayed unknown".to_owned()));
                    actions::ERROR
                } else {
                    Action::DEFAULT
                }
            }
            Answer::LostRace if change.lost_races < RACES => {
                change.lost_races += 1;
                Action::DEFAULT
            }
            Answer::LostRace => {
                change.conflict = Some(Conflict::Busy { id: change.id.clone(), attempts: change.lost_races });
                actions::CONFLICT
            }
            Answer::Conflict(conflict) => {
                let already = matches!(conflict, Conflict::AlreadyLocked { .. });
                change.conflict = Some(conflict);
                if already { actions::ALREADY_LOCKED } else { actions::CONFLICT }
            }
            Answer::Failed(error) => {
                change.failure = Some(error);
                actions::ERROR
            }
        })
    }
}

fn decide(
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

/// What an answer means for whoever has swapped already without hearing of it.
async fn settled(objects: &Objects, head: &Head, answer: Answer, ours: &Lease) -> Result<Answer> {
    Ok(match answer {
        // It was granted now, not before.
        Answer::Done { lease, .. } => {
            let mirror = Operation::put(layout::lockfile(&head.id), lockfile(&head.id, &lease)?).copy();
            if let Err(error) = objects.backend.commit(Batch::new().stage([mirror])).await {
                tracing::warn!(id = %head.id, %error, "the mirror of the lease could not be refreshed");
            }
            Answer::Done { lease, already_held: false }
        }
        // What we gave back is gone.
        Answer::Conflict(Conflict::LeaseLost { lease_id, .. }) if lease_id == ours.id => {
            Answer::Done { lease: Box::new(ours.clone()), already_held: false }
        }
        other => other,
    })
}

/// One batch: the head, which is what counts, then the mirror. A crash in between leaves a mirror that lags.
async fn swap(objects: &Objects, stored: StoredHead, head: Head, lease: Box<Lease>) -> Result<Answer> {
    let key = layout::head(&head.id);
    let bytes = head.encode().map_err(|source| unreadable(&key, source))?;
    let when = stored.version.map_or(Precondition::Absent, Precondition::Is);
    let mirror_key = layout::lockfile(&head.id);
    let mirror = match &head.lease {
        Some(lease) => Operation::put(mirror_key, lockfile(&head.id, lease)?).copy(),
        None => Operation::delete(mirror_key),
    };
    let batch = Batch::new().stage([Operation::put(key, bytes).when(when)]).stage([mirror]);
    objects.forget_head(&head.id);
    match objects.backend.commit(batch).await {
        Ok(Commit::Committed(versions)) => {
            objects.remember_head(&head, versions.get(Position { stage: SWAP, operation: 0 }));
            Ok(Answer::Done { lease, already_held: false })
        }
        Ok(Commit::Conflict(conflict) | Commit::Overtaken(conflict)) if conflict.applied > SWAP => {
            Ok(Answer::Done { lease, already_held: false })
        }
        Ok(Commit::Conflict(_)) => Ok(Answer::LostRace),
        Ok(Commit::Overtaken(_)) => Ok(Answer::Unsettled { lease, doubt: None }),
        Err(error) => match error.outcome() {
            Outcome::NotApplied { applied } if applied > SWAP => {
                tracing::warn!(id = %head.id, %error, "the mirror of the lease could not be refreshed");
                Ok(Answer::Done { lease, already_held: false })
            }
            // What a disk shows after a failed sync may be gone after a crash, so there a look decides nothing.
            Outcome::Unknown if objects.backend.capabilities().durability != Durability::Power => {
                Ok(Answer::Unsettled { lease, doubt: Some(error) })
            }
            _ => Err(Error::of_commit(|| format!("the locking of {}", head.id), error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use pflow_backend::ManualEnvironment;

    use super::*;
    use crate::{document::ContentHash, lock::LeaseRequest, stored::LeaseId};

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
