use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Change, actions, place::Place, state::ChangePhase};
use crate::{
    Error, Result,
    conflict::Goal,
    flow::{Action, Node, Visit},
    format::{Lease, WorkflowId},
    lock::Turn,
    store::Shared,
};

/// Waits until the conflicting lock ends or changes hands, for as long as the resolver has said.
///
/// A waiting change shares one queue with the callers of this process that acquire the lock. It keeps its
/// place at the front until it has landed or failed ([`Place`]), so that the next caller waits at most for
/// one write. It leaves the queue before it waits for a resolver, which may lock the workflow itself.
pub(super) struct WaitForLock;

/// The number of handovers in one change that do not count as answers. That is days of a lock that is never
/// free, and stays within the step limit of a flow.
const HANDOVERS: u32 = 100_000;

pub(super) struct Watch {
    shared: Arc<Shared>,
    id: WorkflowId,
    goal: Goal,
    lease: Lease,
    /// The place for the wait itself, which may be retried.
    place: Place,
    limit: Duration,
    cancel: CancellationToken,
}

/// How long the wait took, and how it ended.
pub(super) struct Waited {
    time: Duration,
    end: End,
    turn: Option<Turn>,
}

enum End {
    /// The lock changed hands or was released.
    Changed,
    TimedOut,
    Cancelled,
}

impl Node<Change, Error> for WaitForLock {
    type Prep = Watch;
    type Exec = Waited;

    fn name(&self) -> &str {
        "WaitForLock"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, actions::CANCELLED] }
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<Watch> {
        change.input(self.name(), |phase| match phase {
            ChangePhase::Waiting { goal, lease, limit } => Some(Watch {
                shared: Arc::clone(&change.shared),
                id: change.request.id.clone(),
                goal: goal.clone(),
                lease: lease.as_ref().clone(),
                place: change.consent.place.moved(),
                limit: *limit,
                cancel: change.request.cancel.clone(),
            }),
            _ => None,
        })
    }

    async fn exec(&self, watch: &Watch, _: Visit<'_>) -> Result<Waited> {
        let environment = &watch.shared.objects.environment;
        let began = environment.monotonic();
        let waiting = watch.shared.locks.await_turn(&watch.id, &watch.lease, watch.place.take(), watch.limit);
        let waiting = watch.cancel.run_until_cancelled(waiting);
        let waited = watch.shared.gate.unless_shut(waiting).await?.transpose()?;
        let time = environment.monotonic().saturating_sub(began);
        let (end, turn) = match waited {
            None => (End::Cancelled, None),
            Some(Some(turn)) if time < watch.limit => (End::Changed, Some(turn)),
            // The place is given up when the time is over.
            Some(_) => (End::TimedOut, None),
        };
        Ok(Waited { time, end, turn })
    }

    async fn post(&self, change: &mut Change, watch: Watch, waited: Waited, _: Visit<'_>) -> Result<Action> {
        change.resolved.waited += waited.time;
        change.phase = ChangePhase::Open(watch.goal);
        match waited.end {
            // Another client made progress. Only a wait without a handover counts as an answer.
            End::Changed => {
                let consent = &mut change.consent;
                consent.place = Place::of(waited.turn);
                if consent.handovers < HANDOVERS {
                    consent.handovers += 1;
                    consent.answers = consent.answers.saturating_sub(1);
                }
            }
            End::TimedOut => {}
            End::Cancelled => {
                change.phase = ChangePhase::Failed(Error::Cancelled);
                return Ok(actions::CANCELLED);
            }
        }
        Ok(Action::DEFAULT)
    }
}
