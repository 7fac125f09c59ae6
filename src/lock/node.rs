use pflow_backend::{Batch, Operation};
use tokio_util::sync::CancellationToken;

use super::{
    Grant, Locks, broken,
    change::{Act, LockAttempt, LockChange, Wish},
    decide::{Answer, Decider, Decision, decide, settled},
    mirror::{MirrorUpdate, Pair, Seen},
};
use crate::{
    Error, Result,
    conflict::Conflict,
    flow::{Action, Failure, Flow, GraphError, Node, Retry, Visit},
    format::{Head, Lease, VersionId, WorkflowId},
    register::{Around, Derived, RETRY, Swapped, Unsettled, back_off, swap_head},
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
/// A swap whose reply got lost is decided by the lease that the next look finds: the id was fixed before the
/// first attempt, so a lease of that id is ours, and one that we gave back or broke and that is gone is gone;
/// a renewal is simply made once more. While the head is still the old one, the next swap of it settles the
/// one before: only one of them can land.
pub(super) struct LockfileManager;

pub(super) struct Question {
    locks: Locks,
    id: WorkflowId,
    wish: Wish,
    record: Option<VersionId>,
    abandoned: CancellationToken,
    lost_races: u32,
    attempt: Option<LockAttempt>,
}

impl Question {
    /// What records that `lease` was broken, where that is what was wished for. Every attempt has the same,
    /// so it is recorded once.
    fn record(&self, lease: &Lease) -> Result<Option<Operation>> {
        let record = |name| broken::record(&self.locks.objects, &self.id, lease, name);
        self.record.as_ref().map(record).transpose()
    }
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
        RETRY
    }

    fn is_retryable(&self, failure: &Failure<Error>) -> bool {
        matches!(failure, Failure::Error(error) if error.may_pass())
    }

    async fn prep(&self, change: &LockChange, _: Visit<'_>) -> Result<Question> {
        Ok(Question {
            locks: change.locks.clone(),
            id: change.id.clone(),
            wish: change.wish.clone(),
            record: change.record.clone(),
            abandoned: change.abandoned.clone(),
            lost_races: change.tries.lost(),
            attempt: change.attempt.clone(),
        })
    }

    async fn exec(&self, question: &Question, _: Visit<'_>) -> Result<Answer> {
        match answer(question).await {
            // Whoever renews in the background has a patience of its own, by the length of its lease.
            Err(error) if question.wish.is_renewal() => Ok(Answer::Failed(error)),
            other => other,
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
            Answer::InDoubt { attempt, doubt } => {
                change.attempt = Some(*attempt);
                if change.tries.doubt(doubt) && change.tries.lose() {
                    Action::DEFAULT
                } else {
                    change.failure = Some(Error::Internal("the outcome stayed unknown".to_owned()));
                    actions::ERROR
                }
            }
            Answer::LostRace if change.tries.lose() => Action::DEFAULT,
            Answer::LostRace => {
                // It says nothing of a swap that is in doubt, so it does not decide one.
                let busy = Conflict::Busy { id: change.id.clone(), attempts: change.tries.lost() };
                change.failure = Some(busy.into());
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

async fn answer(question: &Question) -> Result<Answer> {
    let Question { locks, id, wish, .. } = question;
    let Locks { objects, gate, index, observer, .. } = locks;
    if question.lost_races > 0 {
        back_off(objects.environment.as_ref(), question.lost_races).await;
    }
    let (stored, seen) = if objects.backend.capabilities().plain_files {
        // Where people edit files, what they did to the mirror is looked at before it is replaced.
        let pair = Pair::read(objects, id).await?;
        (pair.stored, Some(pair.seen))
    } else {
        (objects.head(id).await?, None)
    };
    if stored.version.is_none() {
        // A lock may be asked for before there is a version. But where the head was removed, the fences that
        // it granted are not known.
        futures::try_join!(gate.check_writer_again(), index.refuse_hurt(id, &[]))?;
    }
    let (identity, sight) = (objects.environment.identity(), observer.sight(&stored.head));
    let decider = Decider { identity, sight, nonce: objects.environment.new_id() };
    match decide(wish, &stored.head, decider)? {
        Decision::Answer(answer) => match &question.attempt {
            Some(ours) => {
                let answer = settled(wish, answer, ours, &stored.head, ours.swap.is_open(&stored));
                if matches!(answer, Answer::Done { .. }) {
                    follow_up(question, &stored.head, &ours.lease).await?;
                }
                Ok(answer)
            }
            None => Ok(answer),
        },
        // Nobody would hear of the grant. A swap in doubt is still settled, so that what it granted can be
        // given back.
        Decision::Swap { .. } if question.abandoned.is_cancelled() && question.attempt.is_none() => {
            Ok(Answer::Failed(Error::Cancelled))
        }
        Decision::Swap { head, lease } => swap(question, stored, *head, lease, seen).await,
    }
}

/// What belongs behind a swap that was found in place, and may be missing.
async fn follow_up(question: &Question, head: &Head, ours: &Lease) -> Result<()> {
    let objects = &question.locks.objects;
    let (keep, operation) = match question.wish {
        Wish::Acquire(_) => {
            let update = MirrorUpdate::of(objects, head, head).await?;
            (update.keep, update.write)
        }
        Wish::Of(_, Act::Break) => (None, question.record(ours)?),
        Wish::Of(_, Act::Renew(_) | Act::Release) => (None, None),
    };
    let Some(operation) = operation else { return Ok(()) };
    if let Err(error) = objects.backend.commit(Batch::new().stage(keep).stage([operation])).await {
        tracing::warn!(id = %head.id, %error, "what follows the change of the lease could not be written");
    }
    Ok(())
}

/// One batch: the head, which is what counts, then the mirror. A crash in between leaves a mirror that lags,
/// and after a break no record of it but the one in the head: an operation that is told and did not happen
/// would be worse.
async fn swap(
    question: &Question,
    stored: StoredHead,
    head: Head,
    lease: Box<Lease>,
    seen: Option<Seen>,
) -> Result<Answer> {
    let objects = &question.locks.objects;
    let mirror = match &seen {
        Some(seen) => seen.update(&head)?,
        None => MirrorUpdate::of(objects, &stored.head, &head).await?,
    };
    let after = mirror.write.into_iter().chain(question.record(&lease)?).collect();
    let around = Around { before: Vec::new(), beside: mirror.keep, after };
    match swap_head(objects, stored.version.as_ref(), &head, around).await? {
        Swapped::Landed(_, derived) => {
            if let Derived::Failed(error) = derived {
                tracing::warn!(id = %head.id, %error, "the mirror of the lease could not be refreshed");
            }
            Ok(Answer::Done { lease, already_held: false })
        }
        Swapped::Lost { .. } => Ok(Answer::LostRace),
        Swapped::InDoubt(doubt) => {
            let swap = Unsettled { named: stored.version, head, fresh: Vec::new(), after: Vec::new() };
            Ok(Answer::InDoubt { attempt: Box::new(LockAttempt { swap, lease: *lease }), doubt })
        }
        Swapped::Failed { error, .. } | Swapped::Unknown(error) => {
            Err(Error::of_commit(|| format!("the locking of {}", head.id), error))
        }
    }
}
