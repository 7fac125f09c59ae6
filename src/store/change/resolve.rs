use std::{pin::pin, sync::Arc, task::Poll};

use futures::poll;
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

/// How many answers a resolver gives about one change before the conflict is reported: as many as races,
/// since every merge that is overtaken is an answer too.
const ANSWERS: u32 = 100;

/// Decides what to do about a conflict: a lost race is tried again, on top of what is there now; about
/// anything else the resolver is asked.
///
/// It writes nothing. What was answered is noted, and holds for what was seen alone: CheckConflicts decides
/// again.
pub(super) struct ResolveConflict {
    /// Whether there is a document that could be merged.
    pub(super) merges: bool,
}

/// The last of them only where something can be merged.
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
    /// The ground moved, that is all.
    Retry {
        shared: Arc<Shared>,
        races: u32,
    },
    Ask {
        resolver: Arc<dyn ConflictResolver>,
        case: Box<Case>,
        cancel: CancellationToken,
        /// In the line for the lock, which the change may stand at the front of.
        place: Place,
    },
    /// The number behind the id is taken: the next one.
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
                let races = change.doubts.tries.lost() + 1;
                return Ok(Doing::Retry { shared: Arc::clone(&change.shared), races });
            }
            Phase::Conflict(met) => met,
            _ => return Err(change.misplaced(self.name())),
        };
        // IMPORTANT: an attempt that may land yet must not be answered by "theirs stands" or be made again
        // elsewhere.
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
                back_off(shared.objects.environment.as_ref(), *races).await;
                Ok(Answer::Retry)
            }
            Doing::Ask { resolver, case, cancel, place } => {
                let mut asking = pin!(cancel.run_until_cancelled(resolver.resolve(case)));
                let answer = match poll!(&mut asking) {
                    // A policy answers at once, and the change that waits on is still the first in line.
                    Poll::Ready(answer) => answer,
                    // IMPORTANT: what the resolver waits for may be a turn in this very line.
                    Poll::Pending => {
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

/// What there is to decide.
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

/// Notes what was answered to the conflict and says where that leads. The change is open again unless it says
/// otherwise.
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
                // Ours perhaps, by a program that died before it could say so.
                change.left_as_it_is(head);
                return Ok(actions::TAKE_THEIRS);
            }
            elsewhere(change, &head, named)?;
            Action::DEFAULT
        }
    })
}

/// Whether the very version that the change would create is there already: content, and what is known of it.
fn is_kept(change: &Change, there: &Head) -> bool {
    let Ok(Goal::Save { document, given }) = change.goal() else { return false };
    let created = describe(document, given, None);
    there.live().is_some_and(|current| created.says_the_same_as(&current.record))
}

/// Turns the change into the creation of another workflow, described as it would have been on top of `head`.
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
