use std::{pin::pin, sync::Arc};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::{
    Change, actions,
    agreed::Agreed,
    answer::{Step, numbered, step},
    describe::describe,
    place::Place,
    state::{ChangePhase, Consent, Doubts, Keeps, Met},
};
use crate::{
    Error, Result,
    conflict::{Case, Conflict, ConflictResolver, Expect, Goal, How, Obstacle, Question, Resolution},
    flow::{Action, Node, Visit},
    format::WorkflowId,
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
    Retry { shared: Arc<Shared>, goal: Goal, races: Option<u32> },
    Ask {
        shared: Arc<Shared>,
        met: Arc<Met>,
        resolver: Arc<dyn ConflictResolver>,
        case: Box<Case>,
        cancel: CancellationToken,
        /// The place in the queue for the lock, in which the change may be first.
        place: Place,
    },
    /// The resolver need not be asked.
    Follow(Arc<Met>, Resolution),
}

pub(super) enum Answer {
    Retry(Goal),
    Given(Arc<Met>, Resolution),
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
        change.input(self.name(), |phase| match phase {
            ChangePhase::LostRace(goal) | ChangePhase::InDoubt(goal) => {
                let (shared, races) = (Arc::clone(&change.shared), change.doubts.tries.next());
                Some(Doing::Retry { shared, goal: goal.clone(), races })
            }
            ChangePhase::Conflict(met) => Some(resolve(change, met)),
            _ => None,
        })
    }

    async fn exec(&self, doing: &Doing, _: Visit<'_>) -> Result<Answer> {
        match doing {
            Doing::Retry { shared, goal, races } => {
                if let Some(races) = races {
                    back_off(shared.objects.environment.as_ref(), *races).await;
                }
                Ok(Answer::Retry(goal.clone()))
            }
            Doing::Ask { shared, met, resolver, case, cancel, place } => {
                let asking = cancel.run_until_cancelled(resolver.resolve(case));
                let mut asking = pin!(shared.gate.unless_shut(asking));
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
                Ok(Answer::Given(Arc::clone(met), answer?.unwrap_or(Err(Error::Cancelled))?))
            }
            Doing::Follow(met, resolution) => Ok(Answer::Given(Arc::clone(met), resolution.clone())),
        }
    }

    async fn post(&self, change: &mut Change, doing: Doing, answer: Answer, _: Visit<'_>) -> Result<Action> {
        if let Doing::Ask { place, .. } = doing {
            change.consent.place = place;
        }
        match answer {
            Answer::Retry(goal) if change.doubts.tries.lose() => {
                change.phase = ChangePhase::Open(goal);
                Ok(Action::DEFAULT)
            }
            Answer::Retry(_) => Ok(actions::CANCELLED),
            Answer::Given(met, resolution) => follow(change, met, &resolution),
        }
    }
}

fn resolve(change: &Change, met: &Arc<Met>) -> Doing {
    let Consent { answers, ref keeps, ref place, .. } = change.consent;
    // IMPORTANT: an attempt that may still land must not be answered with "unchanged", and must not be repeated
    // under another id.
    if !change.doubts.open.is_empty() {
        return Doing::Follow(Arc::clone(met), Resolution::Cancel);
    }
    if answers >= ANSWERS {
        let obstacle = met.obstacle.clone().unwrap_or(Obstacle::Endless { answers });
        let met = Met { obstacle: Some(obstacle), ..met.as_ref().clone() };
        return Doing::Follow(Arc::new(met), Resolution::Cancel);
    }
    // The numbered id is taken: try the next number.
    if matches!((keeps, &met.conflict), (Keeps::Numbered { .. }, Conflict::Exists { .. })) {
        return Doing::Follow(Arc::clone(met), Resolution::KeepBoth { id: None });
    }
    let case = Box::new(Case::new(Arc::new(change.shared.objects.clone()), question(change, met)));
    let (resolver, cancel) = (Arc::clone(&change.request.resolver), change.request.cancel.clone());
    let (shared, met) = (Arc::clone(&change.shared), Arc::clone(met));
    Doing::Ask { shared, met, resolver, case, cancel, place: place.moved() }
}

/// Builds the question for the resolver.
pub(super) fn question(change: &Change, met: &Met) -> Question {
    Question {
        conflict: met.conflict.clone(),
        obstacle: met.obstacle.clone(),
        head: met.basis.stored.head.clone(),
        expect: change.request.expect,
        goal: met.goal.clone(),
        answers: change.consent.answers,
        waited: change.resolved.waited,
        lock_timeout: change.request.lock_timeout,
    }
}

/// Records the answer to the conflict and returns the next action.
fn follow(change: &mut Change, met: Arc<Met>, resolution: &Resolution) -> Result<Action> {
    change.consent.answers += 1;
    let goal = met.goal.clone();
    let step = match step(resolution, &met.conflict, goal.kind()) {
        Ok(step) => step,
        Err(obstacle) => {
            change.phase = met.blocked(obstacle);
            return Ok(actions::CANCELLED);
        }
    };
    let (phase, action) = match step {
        Step::GiveUp => (ChangePhase::Conflict(met), actions::CANCELLED),
        Step::Wait { lease, limit } => (ChangePhase::Waiting { goal, lease, limit }, actions::WAIT_FOR_LOCK),
        Step::BreakLease(lease) => {
            change.consent.agreed.lease = Some(lease);
            (ChangePhase::Open(goal), actions::REMOVE_LOCK)
        }
        Step::BuildOnTheirs => {
            change.consent.agree_to(&met.basis, None, None);
            change.resolved.how = Some(How::Ours);
            (ChangePhase::Open(goal), Action::DEFAULT)
        }
        Step::KeepEdit => (ChangePhase::Keeping { met, takes: false }, actions::KEEP_EDIT),
        Step::TakeEdit => (ChangePhase::Keeping { met, takes: true }, actions::KEEP_EDIT),
        Step::Merge => (ChangePhase::Merging(met), actions::MERGE),
        Step::TakeTheirs => {
            change.resolved.how = Some(How::Theirs);
            (ChangePhase::unchanged(&met.basis), actions::TAKE_THEIRS)
        }
        // The version may be ours, from a program that died before it could report it.
        Step::KeepBoth(_) if is_kept(&change.consent.keeps, &met) => {
            (ChangePhase::unchanged(&met.basis), actions::TAKE_THEIRS)
        }
        Step::KeepBoth(named) => (ChangePhase::Open(elsewhere(change, &met, named)?), Action::DEFAULT),
    };
    change.phase = phase;
    Ok(action)
}

/// Whether the numbered workflow already has exactly the version that the change would create: content and
/// metadata.
fn is_kept(keeps: &Keeps, met: &Met) -> bool {
    let (Keeps::Numbered { .. }, Goal::Save { document, fields }) = (keeps, &met.goal) else { return false };
    let created = describe(document, fields, None);
    met.basis.stored.head.live().is_some_and(|current| created.says_the_same_as(&current.record))
}

/// Turns the change into the creation of another workflow, with the metadata that it would have had on top of
/// the state that was met. Returns its goal.
fn elsewhere(change: &mut Change, met: &Met, named: Option<WorkflowId>) -> Result<Goal> {
    let mut goal = met.goal.clone();
    let (instead_of, number) = match &change.consent.keeps {
        Keeps::InPlace => {
            if let Goal::Save { fields, .. } = &mut goal
                && let Some(current) = met.basis.stored.head.live()
            {
                *fields = fields.carrying(&current.record.sourced_fields());
            }
            (change.request.id.clone(), 0)
        }
        Keeps::Named { instead_of } => (instead_of.clone(), 0),
        Keeps::Numbered { instead_of, number } => (instead_of.clone(), *number),
    };
    (change.request.id, change.consent.keeps) = match named {
        Some(id) => (id, Keeps::Named { instead_of: instead_of.clone() }),
        None => {
            let number = number.saturating_add(1);
            (numbered(&instead_of, number)?, Keeps::Numbered { instead_of: instead_of.clone(), number })
        }
    };
    (change.request.expect, change.request.lease, change.request.hold) = (Expect::Absent, None, None);
    change.consent.place.leave();
    // IMPORTANT: the attempts were made on another workflow. They are not settled by the head of this one.
    (change.consent.agreed, change.doubts) = (Agreed::default(), Doubts::default());
    change.resolved.how = Some(How::KeptBoth { instead_of });
    Ok(goal)
}
