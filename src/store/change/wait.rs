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
        let waiting = watch.shared.locks.await_change(&watch.id, &watch.lease, watch.limit);
        let waited = watch.cancel.run_until_cancelled(waiting).await.transpose()?;
        let time = environment.monotonic().saturating_sub(began);
        let end = match waited {
            None => End::Cancelled,
            Some(()) if time < watch.limit => End::Changed,
            Some(()) => End::TimedOut,
        };
        Ok(Waited { time, end })
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
