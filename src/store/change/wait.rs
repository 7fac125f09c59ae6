use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Change, Trouble, actions};
use crate::{
    Error, Result,
    conflict::Conflict,
    flow::{Action, Node, Visit},
    store::Shared,
    stored::{Lease, WorkflowId},
};

/// How long to wait between two looks at a lock.
const POLL: Duration = Duration::from_millis(50);

/// Waits until the lock that is in the way ends or changes hands, as long as the resolver has said.
pub(super) struct WaitForLock;

pub(super) struct Watch {
    shared: Arc<Shared>,
    id: WorkflowId,
    lease: Lease,
    limit: Duration,
    cancel: CancellationToken,
}

/// How long it took, and how it ended.
pub(super) struct Waited {
    time: Duration,
    end: End,
}

enum End {
    /// The lock is another one now, or gone.
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
        match (&change.trouble, change.wait) {
            (Some(Trouble::Conflict(Conflict::Locked { id, lease, .. })), Some(limit)) => Ok(Watch {
                shared: Arc::clone(&change.shared),
                id: id.clone(),
                lease: lease.as_ref().clone(),
                limit,
                cancel: change.request.cancel.clone(),
            }),
            _ => Err(Error::Internal("a wait for no lock".to_owned())),
        }
    }

    async fn exec(&self, watch: &Watch, _: Visit<'_>) -> Result<Waited> {
        let environment = &watch.shared.objects.environment;
        let began = environment.monotonic();
        let end = match watch.cancel.run_until_cancelled(changes(watch, began)).await.transpose()? {
            Some(true) => End::Changed,
            Some(false) => End::TimedOut,
            None => End::Cancelled,
        };
        Ok(Waited { time: environment.monotonic().saturating_sub(began), end })
    }

    async fn post(&self, change: &mut Change, _: Watch, waited: Waited, _: Visit<'_>) -> Result<Action> {
        change.resolved.waited += waited.time;
        change.wait = None;
        match waited.end {
            // Somebody else got on. Only a wait in vain uses up the resolver's answers.
            End::Changed => change.answers = change.answers.saturating_sub(1),
            End::TimedOut => {}
            End::Cancelled => {
                change.failure = Some(Error::Cancelled);
                return Ok(actions::CANCELLED);
            }
        }
        Ok(Action::DEFAULT)
    }
}

async fn changes(watch: &Watch, began: Duration) -> Result<bool> {
    let Watch { shared, id, lease, limit, .. } = watch;
    let environment = &shared.objects.environment;
    loop {
        let left = limit.saturating_sub(environment.monotonic().saturating_sub(began));
        if left.is_zero() {
            return Ok(false);
        }
        environment.sleep(left.min(POLL)).await;
        let state = shared.locks.state(id).await?;
        if !state.live || state.lease.as_ref().is_none_or(|now| now.id != lease.id) {
            return Ok(true);
        }
    }
}
