use std::sync::Arc;

use futures::future::try_join;
use pflow_backend::{Batch, Operation};

use super::{
    Grant, Locks, broken,
    change::{Act, Asked, LockAttempt, LockChange, LockPhase, Wish},
    decide::{Decider, LockDecision, decide, settle},
    mirror::{MirrorUpdate, Pair, SeenMirror},
};
use crate::{
    Error, Result,
    conflict::Conflict,
    flow::{Action, Failure, Flow, GraphError, Node, Retry, Visit},
    format::{Head, Lease},
    operation::{is_transient, own_error},
    register::{Around, Derived, EncodedHead, Fate, HeadSwap, RETRY, Sign, Swapped, back_off, swap_head},
    repo::StoredHead,
};

/// The actions of the seed's `LockfileManagerNode`.
mod actions {
    use crate::flow::Action;

    pub(super) const SUCCESS: Action = Action::named("success");
    pub(super) const ALREADY_LOCKED: Action = Action::named("already_locked");
    pub(super) const CONFLICT: Action = Action::named("conflict");
    pub(super) const ERROR: Action = Action::named("error");
}

/// Builds the lock flow: one node, which is entered again after a lost race.
pub(crate) fn lock_flow() -> Result<Flow<LockChange, Error>> {
    let mut flow = Flow::builder("lock");
    let manager = flow.node(LockfileManager);
    flow.start(manager)
        .connect(manager, Action::DEFAULT, manager)
        .end_as(manager, actions::SUCCESS, "Success")
        .end_as(manager, actions::ALREADY_LOCKED, "AlreadyLocked")
        .end_as(manager, actions::CONFLICT, "LockConflict")
        .end_as(manager, actions::ERROR, "LockError")
        .build()
        .map_err(|defects: GraphError| Error::Internal(defects.to_string()))
}

/// The seed's `LockfileManagerNode`: reads the head, decides, and swaps it.
///
/// The next read of the head settles a swap whose reply was lost. The id of the grant was fixed before the
/// first attempt, so a lease with that id is ours. Whether our swap ended a lease that is gone is decided by
/// [`settle`]. A renewal is repeated. While the head is still the one that the swap named, the next swap of
/// it settles the previous one, because only one of the two can land.
struct LockfileManager;

struct LockQuestion {
    asked: Arc<Asked>,
    lost_races: u32,
    in_doubt: Option<Arc<LockAttempt>>,
}

enum LockAnswer {
    Done(Grant),
    Refused(Conflict),
    LostRace,
    InDoubt { attempt: Arc<LockAttempt>, error: Option<pflow_backend::Error> },
    Failed(Error),
}

impl Node<LockChange, Error> for LockfileManager {
    type Prep = LockQuestion;
    type Exec = LockAnswer;

    fn name(&self) -> &str {
        "LockfileManager"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, actions::SUCCESS, actions::ALREADY_LOCKED, actions::CONFLICT, actions::ERROR] }
    }

    fn retry(&self) -> Retry {
        RETRY
    }

    fn is_retryable(&self, failure: &Failure<Error>) -> bool {
        is_transient(failure)
    }

    async fn prep(&self, change: &LockChange, _: Visit<'_>) -> Result<LockQuestion> {
        let (asked, in_doubt) = (Arc::clone(&change.asked), change.in_doubt.clone());
        Ok(LockQuestion { asked, lost_races: change.tries.lost(), in_doubt })
    }

    async fn exec(&self, question: &LockQuestion, _: Visit<'_>) -> Result<LockAnswer> {
        match question.answer().await {
            // The keeper of a guard retries by itself, at a rate that fits the duration of its lease.
            Err(error) if question.asked.wish.is_renewal() => Ok(LockAnswer::Failed(error)),
            other => other,
        }
    }

    async fn exec_fallback(
        &self,
        _: &LockQuestion,
        failure: Failure<Error>,
        _: Visit<'_>,
    ) -> std::result::Result<LockAnswer, Failure<Error>> {
        own_error(failure).map(LockAnswer::Failed)
    }

    async fn post(
        &self,
        change: &mut LockChange,
        _: LockQuestion,
        answer: LockAnswer,
        _: Visit<'_>,
    ) -> Result<Action> {
        let (phase, action) = match answer {
            LockAnswer::Done(grant) => (LockPhase::Done(grant), actions::SUCCESS),
            LockAnswer::Refused(conflict @ Conflict::AlreadyLocked { .. }) => {
                (LockPhase::Refused(conflict), actions::ALREADY_LOCKED)
            }
            LockAnswer::Refused(conflict) => (LockPhase::Refused(conflict), actions::CONFLICT),
            LockAnswer::LostRace if change.tries.lose() => (LockPhase::Open, Action::DEFAULT),
            LockAnswer::LostRace => (LockPhase::Open, actions::CONFLICT),
            LockAnswer::InDoubt { attempt, error } => {
                change.in_doubt = Some(attempt);
                let goes_on = change.tries.doubt(error) && change.tries.lose();
                (LockPhase::Open, if goes_on { Action::DEFAULT } else { actions::ERROR })
            }
            LockAnswer::Failed(error) => (LockPhase::Failed(error), actions::ERROR),
        };
        change.phase = phase;
        Ok(action)
    }
}

impl LockQuestion {
    async fn answer(&self) -> Result<LockAnswer> {
        let Asked { locks, id, wish, abandoned, .. } = &*self.asked;
        let Locks { objects, gate, index, observer, .. } = locks;
        if self.lost_races > 0 {
            back_off(objects.environment.as_ref(), self.lost_races).await;
        }
        let (stored, seen) = if objects.traits.plain_files {
            // People edit files, so the mirror's content is read before it is replaced.
            let pair = Pair::read(objects, id).await?;
            (pair.stored, Some(pair.seen))
        } else {
            (objects.head(id).await?, None)
        };
        if stored.version.is_none() {
            // A lock may be acquired before the first version. But if the head was lost, the fences that it
            // granted are unknown.
            try_join(gate.check_writer_again(), index.refuse_hurt(id, &[])).await?;
        }
        let (identity, sight) = (objects.environment.identity(), observer.sight(&stored.head));
        let decider = Decider { identity, sight, nonce: objects.environment.new_id() };
        match (decide(wish, &stored.head, decider), &self.in_doubt) {
            (LockDecision::Swap { .. }, None) if abandoned.is_cancelled() => {
                Ok(LockAnswer::Failed(Error::Cancelled))
            }
            // This swap is made even if the caller is gone, if an earlier swap is in doubt: it settles that
            // one, and a resulting grant is released.
            (LockDecision::Swap { head, lease }, _) => self.swap(stored, *head, *lease, seen).await,
            (LockDecision::Held(lease), None) => {
                Ok(LockAnswer::Done(Grant { lease: *lease, already_held: true }))
            }
            (LockDecision::Refused(conflict), None) => Ok(LockAnswer::Refused(conflict)),
            (LockDecision::Held(lease), Some(ours)) => self.finish(&stored.head, *lease, ours).await,
            (LockDecision::Refused(conflict), Some(ours)) => match settle(wish, &ours.swap, &stored) {
                Fate::Landed => self.finish(&stored.head, ours.lease.clone(), ours).await,
                Fate::Dead | Fate::Superseded => Ok(LockAnswer::Refused(conflict)),
                Fate::Open => Ok(LockAnswer::Failed(conflict.into())),
            },
        }
    }

    /// The swap in doubt has landed. Objects derived from it may be missing, so they are written again.
    async fn finish(&self, head: &Head, lease: Lease, ours: &LockAttempt) -> Result<LockAnswer> {
        let objects = &self.asked.locks.objects;
        let (keep, operation) = match self.asked.wish {
            Wish::Acquire(_) => {
                let update = MirrorUpdate::of(objects, head, head).await?;
                (update.keep, update.write)
            }
            Wish::Of(_, Act::Break) => (None, self.record(&ours.lease)?),
            Wish::Of(_, Act::Renew(_) | Act::Release) => (None, None),
        };
        if let Some(operation) = operation
            && let Err(error) = objects.backend.commit(Batch::new().stage(keep).stage([operation])).await
        {
            tracing::warn!(id = %head.id, %error, "what follows the change of the lease could not be written");
        }
        Ok(LockAnswer::Done(Grant { lease, already_held: false }))
    }

    /// Swaps the head and, in the same batch, writes what is derived from it: the mirror, and the record of a
    /// break. A crash in between leaves an outdated mirror, or a break that only the head shows. The reverse
    /// order could leave the record of a break that never happened.
    async fn swap(
        &self,
        stored: StoredHead,
        head: Head,
        lease: Lease,
        seen: Option<SeenMirror>,
    ) -> Result<LockAnswer> {
        let objects = &self.asked.locks.objects;
        let mirror = match &seen {
            Some(seen) => seen.update(&head)?,
            None => MirrorUpdate::of(objects, &stored.head, &head).await?,
        };
        let after = mirror.write.into_iter().chain(self.record(&lease)?).collect();
        let around = Around { before: Vec::new(), beside: mirror.keep, after };
        match swap_head(objects, stored.version.as_ref(), EncodedHead::of(&head)?, around).await {
            Swapped::Landed(_, derived) => {
                if let Derived::Failed(error) = derived {
                    tracing::warn!(id = %head.id, %error, "the mirror of the lease could not be refreshed");
                }
                Ok(LockAnswer::Done(Grant { lease, already_held: false }))
            }
            Swapped::Lost { .. } => Ok(LockAnswer::LostRace),
            Swapped::InDoubt(error) => {
                let sign = match &head.lease {
                    Some(lease) => Sign::Lease(lease.id.clone()),
                    None => Sign::LeaseGone(lease.id.clone()),
                };
                let swap = HeadSwap { named: stored.version, head, sign: Some(sign) };
                Ok(LockAnswer::InDoubt { attempt: Arc::new(LockAttempt { swap, lease }), error })
            }
            Swapped::Failed { error, .. } | Swapped::Unknown(error) => {
                Err(Error::of_commit(|| format!("the locking of {}", head.id), error))
            }
        }
    }

    /// Returns the record that `lease` was broken, if this is a break.
    fn record(&self, lease: &Lease) -> Result<Option<Operation>> {
        let Asked { locks, id, record, .. } = &*self.asked;
        record.as_ref().map(|name| broken::record(&locks.objects, id, lease, name)).transpose()
    }
}
