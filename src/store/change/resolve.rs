use std::{pin::pin, sync::Arc, task::Poll};

use futures::poll;
use tokio_util::sync::CancellationToken;

use super::{
    Change, Keeps, Kind, Trouble, Written, actions,
    agreed::Agreed,
    answer::{Step, numbered, step},
    describe::{describe, says_the_same},
    wait::Place,
};
use crate::{
    Error, Result,
    conflict::{Case, Conflict, ConflictResolver, Expect, How, Obstacle, Question, Resolution, Wanted},
    flow::{Action, Node, Visit},
    format::Head,
    register::{Tries, back_off},
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
        let conflict = match &change.trouble {
            Some(Trouble::LostRace) => {
                return Ok(Doing::Retry {
                    shared: Arc::clone(&change.shared),
                    races: change.tries.lost() + 1,
                });
            }
            Some(Trouble::Conflict(conflict)) => conflict,
            _ => return Ok(Doing::GiveUp(None)),
        };
        // IMPORTANT: an attempt that may land yet must not be answered by "theirs stands" or be made again
        // elsewhere.
        if !change.unsettled.is_empty() {
            return Ok(Doing::GiveUp(None));
        }
        if change.answers >= ANSWERS {
            return Ok(Doing::GiveUp(Some(Obstacle::Endless { answers: change.answers })));
        }
        if matches!((&change.keeps, conflict), (Keeps::Numbered { .. }, Conflict::Exists { .. })) {
            return Ok(Doing::Renumber);
        }
        let question =
            question(change)?.ok_or_else(|| Error::Internal("a conflict with nothing".to_owned()))?;
        let case = Case::new(Arc::new(change.shared.objects.clone()), question);
        let (resolver, cancel) = (Arc::clone(&change.request.resolver), change.request.cancel.clone());
        Ok(Doing::Ask { resolver, case: Box::new(case), cancel, place: change.place.moved() })
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
                if !change.tries.lose() {
                    return Ok(actions::CANCELLED);
                }
                change.trouble = None;
                Ok(Action::DEFAULT)
            }
            (doing, Answer::Given(resolution)) => {
                if let Doing::Ask { place, .. } = doing {
                    change.place = place;
                }
                follow(change, &resolution)
            }
            (Doing::GiveUp(Some(obstacle)), _) => {
                change.obstacle.get_or_insert(obstacle);
                Ok(actions::CANCELLED)
            }
            _ => Ok(actions::CANCELLED),
        }
    }
}

/// What there is to decide; none if there is no conflict.
pub(super) fn question(change: &Change) -> Result<Option<Question>> {
    let (Some(Trouble::Conflict(conflict)), Some(basis)) = (&change.trouble, &change.basis) else {
        return Ok(None);
    };
    let wanted = match &change.request.kind {
        Kind::Save { .. } => Wanted::Save(
            change.document.clone().ok_or_else(|| Error::Internal("a save without a document".to_owned()))?,
        ),
        Kind::Delete => Wanted::Delete,
        Kind::Undelete => Wanted::Undelete,
    };
    Ok(Some(Question {
        conflict: conflict.clone(),
        obstacle: change.obstacle.clone(),
        head: basis.stored.head.clone(),
        expect: change.request.expect,
        wanted,
        answers: change.answers,
        waited: change.resolved.waited,
        lock_timeout: change.request.lock_timeout,
    }))
}

/// Notes what was answered and says where that leads.
fn follow(change: &mut Change, resolution: &Resolution) -> Result<Action> {
    let internal = || Error::Internal("an answer without a conflict".to_owned());
    let (Some(Trouble::Conflict(conflict)), Some(basis)) = (&change.trouble, &change.basis) else {
        return Err(internal());
    };
    let kind = change.kind();
    change.answers += 1;
    let step = match step(resolution, conflict, kind) {
        Ok(step) => step,
        Err(obstacle) => {
            change.obstacle = Some(obstacle);
            return Ok(actions::CANCELLED);
        }
    };
    let head = basis.stored.head.clone();
    Ok(match step {
        Step::GiveUp => actions::CANCELLED,
        Step::Wait(limit) => {
            change.wait = Some(limit);
            actions::WAIT_FOR_LOCK
        }
        Step::BreakLease(lease) => {
            change.agreed.lease = Some(lease);
            actions::REMOVE_LOCK
        }
        Step::BuildOnTheirs => {
            change.agreed = Agreed {
                on_top_of: Some(head.generation()),
                lease: change.agreed.lease.take(),
                ..Agreed::default()
            };
            change.resolved.how = Some(How::Ours);
            Action::DEFAULT
        }
        Step::KeepEdit | Step::TakeEdit => {
            change.takes_edit = step == Step::TakeEdit;
            actions::KEEP_EDIT
        }
        Step::Merge => actions::MERGE,
        Step::TakeTheirs => {
            if head.current.is_none() {
                return Err(internal());
            }
            change.written = Some(Written::unchanged(head));
            change.resolved.how = Some(How::Theirs);
            actions::TAKE_THEIRS
        }
        Step::KeepBoth(named) => {
            if matches!(change.keeps, Keeps::Numbered { .. }) && is_kept(change, &head) {
                // Ours perhaps, by a program that died before it could say so.
                change.written = Some(Written::unchanged(head));
                return Ok(actions::TAKE_THEIRS);
            }
            elsewhere(change, named)?;
            Action::DEFAULT
        }
    })
}

/// Whether the very version that the change would create is there already: content, and what is known of it.
fn is_kept(change: &Change, there: &Head) -> bool {
    let (Kind::Save { given, .. }, Some(document)) = (&change.request.kind, &change.document) else {
        return false;
    };
    let created = describe(document, given, None);
    there.live().is_some_and(|current| says_the_same(&current.record, &created))
}

/// Turns the change into the creation of another workflow, described as it would have been here.
fn elsewhere(change: &mut Change, named: Option<crate::format::WorkflowId>) -> Result<()> {
    let instead_of = match &change.keeps {
        Keeps::InPlace => change.request.id.clone(),
        Keeps::Named { instead_of } | Keeps::Numbered { instead_of, .. } => instead_of.clone(),
    };
    if change.keeps == Keeps::InPlace
        && let (Kind::Save { given, .. }, Some(document)) = (&mut change.request.kind, &change.document)
    {
        let before = change.basis.as_ref().and_then(|basis| basis.stored.head.live());
        *given = given.carried(document.metadata(), before.map(|current| &current.record.given));
    }
    (change.request.id, change.keeps) = match named {
        Some(id) => (id, Keeps::Named { instead_of: instead_of.clone() }),
        None => {
            let number = match change.keeps {
                Keeps::Numbered { number, .. } => number.saturating_add(1),
                _ => 1,
            };
            let id = numbered(&instead_of, number)?;
            (id, Keeps::Numbered { instead_of: instead_of.clone(), number })
        }
    };
    (change.request.expect, change.request.lease, change.request.hold) = (Expect::Absent, None, None);
    change.place.leave();
    (change.agreed, change.plan, change.tries) = (Agreed::default(), None, Tries::default());
    change.resolved.how = Some(How::KeptBoth { instead_of });
    Ok(())
}
