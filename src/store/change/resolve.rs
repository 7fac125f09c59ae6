use std::{pin::pin, sync::Arc};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::{
    Change, actions,
    agreed::Agreed,
    answer::{Step, numbered, step},
    describe::describe,
    place::Place,
    request::Goal,
    state::{Doubts, Keeps, Met, Phase},
};
use crate::{
    Error, Result,
    conflict::{Case, Conflict, ConflictResolver, Expect, How, Obstacle, Question, Resolution},
    flow::{Action, Node, Visit},
    format::{Head, WorkflowId},
    register::back_off,
    store::Shared,
};

/// The maximum number of answers of a resolver to one change before the conflict is reported. It equals the
/// limit of races, because every merge that loses a race takes an answer too.
const ANSWERS: u32 = 100;

/// Decides how to handle a conflict: a lost race is retried on top of the current head, and for any other
/// conflict the resolver is called.
///
/// This node writes nothing. The answer is recorded and is valid only for the state that the resolver saw;
/// CheckConflicts decides again.
pub(super) struct ResolveConflict {
    /// Whether the change has a document that could be merged.
    pub(super) merges: bool,
}

/// The last action is present only if the flow can merge.
const ACTIONS: &[Action] = &[
    Action::DEFAULT,
    actions::REMOVE_LOCK,
    actions::WAIT_FOR_LOCK,
    actions::KEEP_EDIT,
    actions::TAKE_THEIRS,
    actions::CANCELLED,
    actions::MERGE,
];

pub(super) enum Doing {
    /// Only the head changed: retry.
    Retry {
        shared: Arc<Shared>,
        races: Option<u32>,
    },
    Ask {
        resolver: Arc<dyn ConflictResolver>,
        case: Box<Case>,
        cancel: CancellationToken,
        /// The place in the queue for the lock, in which the change may be first.
        place: Place,
    },
    /// The numbered id is taken: try the next number.
    Renumber,
    GiveUp(Option<Obstacle>),
}

pub(super) enum Answer {
    Retry,
    Given(Resolution),
    None,
}

impl Node<Change, Error> for ResolveConflict {
    type Prep = Doing;
    type Exec = Answer;

    fn name(&self) -> &str {
        "ResolveConflict"
    }

    fn actions(&self) -> &[Action] {
        if self.merges { ACTIONS } else { ACTIONS.split_last().map_or(ACTIONS, |(_merge, others)| others) }
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<Doing> {
        let met = match &change.phase {
            Phase::LostRace => {
                let races = change.doubts.tries.next();
                return Ok(Doing::Retry { shared: Arc::clone(&change.shared), races });
            }
            Phase::Conflict(met) => met,
            _ => return Err(change.misplaced(self.name())),
        };
        // IMPORTANT: an attempt that may still land must not be answered with "unchanged", and must not be
        // repeated under another id.
        if !change.doubts.open.is_empty() {
            return Ok(Doing::GiveUp(None));
        }
        let answers = change.consent.answers;
        if answers >= ANSWERS {
            return Ok(Doing::GiveUp(Some(Obstacle::Endless { answers })));
        }
        if matches!((&change.consent.keeps, &met.conflict), (Keeps::Numbered { .. }, Conflict::Exists { .. }))
        {
            return Ok(Doing::Renumber);
        }
        let case = Case::new(Arc::new(change.shared.objects.clone()), question(change, met)?);
        let (resolver, cancel) = (Arc::clone(&change.request.resolver), change.request.cancel.clone());
        Ok(Doing::Ask { resolver, case: Box::new(case), cancel, place: change.consent.place.moved() })
    }

    async fn exec(&self, doing: &Doing, _: Visit<'_>) -> Result<Answer> {
        match doing {
            Doing::Retry { shared, races } => {
                if let Some(races) = races {
                    back_off(shared.objects.environment.as_ref(), *races).await;
                }
                Ok(Answer::Retry)
            }
            Doing::Ask { resolver, case, cancel, place } => {
                let mut asking = pin!(cancel.run_until_cancelled(resolver.resolve(case)));
                let answer = match asking.as_mut().now_or_never() {
                    // A policy answers at once, so the waiting change keeps its place in the queue.
                    Some(answer) => answer,
                    // IMPORTANT: give up the place, because the resolver may itself wait for a turn in the
                    // same queue.
                    None => {
                        place.leave();
                        asking.await
                    }
                };
                answer.map_or(Err(Error::Cancelled), |answer| answer.map(Answer::Given))
            }
            Doing::Renumber => Ok(Answer::Given(Resolution::KeepBoth { id: None })),
            Doing::GiveUp(_) => Ok(Answer::None),
        }
    }

    async fn post(&self, change: &mut Change, doing: Doing, answer: Answer, _: Visit<'_>) -> Result<Action> {
        match (doing, answer) {
            (Doing::Retry { .. }, _) => {
                if !change.doubts.tries.lose() {
                    return Ok(actions::CANCELLED);
                }
                change.phase = Phase::Open;
                Ok(Action::DEFAULT)
            }
            (doing, Answer::Given(resolution)) => {
                if let Doing::Ask { place, .. } = doing {
                    change.consent.place = place;
                }
                match std::mem::replace(&mut change.phase, Phase::Open) {
                    Phase::Conflict(met) => follow(change, met, &resolution),
                    other => {
                        change.phase = other;
                        Err(change.misplaced(self.name()))
                    }
                }
            }
            (Doing::GiveUp(Some(obstacle)), _) => {
                if let Phase::Conflict(met) = &mut change.phase {
                    met.obstacle.get_or_insert(obstacle);
                }
                Ok(actions::CANCELLED)
            }
            _ => Ok(actions::CANCELLED),
        }
    }
}

/// Builds the question for the resolver.
pub(super) fn question(change: &Change, met: &Met) -> Result<Question> {
    Ok(Question {
        conflict: met.conflict.clone(),
        obstacle: met.obstacle.clone(),
        head: met.basis.stored.head.clone(),
        expect: change.request.expect,
        wanted: change.goal()?.wanted(),
        answers: change.consent.answers,
        waited: change.resolved.waited,
        lock_timeout: change.request.lock_timeout,
    })
}

/// Records the answer to the conflict and returns the next action. The phase is open again unless a step sets
/// another one.
fn follow(change: &mut Change, mut met: Box<Met>, resolution: &Resolution) -> Result<Action> {
    change.consent.answers += 1;
    let step = match step(resolution, &met.conflict, change.goal()?.kind()) {
        Ok(step) => step,
        Err(obstacle) => {
            met.obstacle = Some(obstacle);
            change.phase = Phase::Conflict(met);
            return Ok(actions::CANCELLED);
        }
    };
    Ok(match step {
        Step::GiveUp => {
            change.phase = Phase::Conflict(met);
            actions::CANCELLED
        }
        Step::Wait { lease, limit } => {
            change.phase = Phase::Waiting { lease, limit };
            actions::WAIT_FOR_LOCK
        }
        Step::BreakLease(lease) => {
            change.consent.agreed.lease = Some(lease);
            actions::REMOVE_LOCK
        }
        Step::BuildOnTheirs => {
            let (on_top_of, lease) =
                (Some(met.basis.stored.head.generation()), change.consent.agreed.lease.take());
            change.consent.agreed = Agreed { on_top_of, lease, ..Agreed::default() };
            change.resolved.how = Some(How::Ours);
            Action::DEFAULT
        }
        Step::KeepEdit | Step::TakeEdit => {
            change.phase = Phase::Keeping { met, takes: step == Step::TakeEdit };
            actions::KEEP_EDIT
        }
        Step::Merge => {
            change.phase = Phase::Merging(met);
            actions::MERGE
        }
        Step::TakeTheirs => {
            change.left_as_it_is(met.basis.stored.head);
            change.resolved.how = Some(How::Theirs);
            actions::TAKE_THEIRS
        }
        Step::KeepBoth(named) => {
            let head = met.basis.stored.head;
            if matches!(change.consent.keeps, Keeps::Numbered { .. }) && is_kept(change, &head) {
                // The version may be ours, from a program that died before it could report it.
                change.left_as_it_is(head);
                return Ok(actions::TAKE_THEIRS);
            }
            elsewhere(change, &head, named)?;
            Action::DEFAULT
        }
    })
}

/// Whether the workflow already has exactly the version that the change would create: content and metadata.
fn is_kept(change: &Change, there: &Head) -> bool {
    let Ok(Goal::Save { document, given }) = change.goal() else { return false };
    let created = describe(document, given, None);
    there.live().is_some_and(|current| created.says_the_same_as(&current.record))
}

/// Turns the change into the creation of another workflow, with the metadata that it would have had on top of
/// `head`.
fn elsewhere(change: &mut Change, head: &Head, named: Option<WorkflowId>) -> Result<()> {
    let instead_of = match &change.consent.keeps {
        Keeps::InPlace => change.request.id.clone(),
        Keeps::Named { instead_of } | Keeps::Numbered { instead_of, .. } => instead_of.clone(),
    };
    if change.consent.keeps == Keeps::InPlace
        && let Some((document, given)) = change.given_mut()
    {
        *given = given.carried(document.metadata(), head.live().map(|current| &current.record.given));
    }
    (change.request.id, change.consent.keeps) = match named {
        Some(id) => (id, Keeps::Named { instead_of: instead_of.clone() }),
        None => {
            let number = match change.consent.keeps {
                Keeps::Numbered { number, .. } => number.saturating_add(1),
                _ => 1,
            };
            let id = numbered(&instead_of, number)?;
            (id, Keeps::Numbered { instead_of: instead_of.clone(), number })
        }
    };
    (change.request.expect, change.request.lease, change.request.hold) = (Expect::Absent, None, None);
    change.consent.place.leave();
    (change.consent.agreed, change.doubts) = (Agreed::default(), Doubts::default());
    change.resolved.how = Some(How::KeptBoth { instead_of });
    Ok(())
}
