use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::{Either, select};
use pflow_backend::Environment;
use tokio::sync::{Notify, OwnedMutexGuard};

use super::shared_by_key::SharedByKey;
use crate::format::WorkflowId;

/// The callers in this process that wait for the locks of one store: one queue per workflow.
///
/// Only the first caller in a queue polls the storage, so many waiters cost as much as one. A release wakes
/// one caller, which acquires the lock before the next one polls. This is an optimisation and not needed for
/// correctness: other processes do not take part in it.
#[derive(Debug, Default)]
pub(super) struct Lines(SharedByKey<WorkflowId, Line>);

#[derive(Debug, Default)]
pub(super) struct Line {
    /// Held by the first in line. Tokio's mutex is fair (first in, first out), and a caller that gives up
    /// leaves the queue.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Wakes the first in line after an event in this process. It stores one wake-up for the next waiter.
    wake: Notify,
}

/// The first place in a queue, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    line: Arc<Line>,
    _first: OwnedMutexGuard<()>,
}

impl Lines {
    /// Returns the queue for `id`.
    pub(super) fn of(&self, id: &WorkflowId) -> Arc<Line> {
        self.0.of(id.clone())
    }

    /// Wakes the first caller in the queue for `id`, if there is one.
    pub(super) fn wake(&self, id: &WorkflowId) {
        if let Some(line) = self.0.held(id) {
            line.wake.notify_one();
        }
    }
}

impl Line {
    /// Waits to become the first in line; none if that takes longer than `limit`.
    pub(super) async fn turn(
        self: &Arc<Self>,
        environment: &dyn Environment,
        limit: Duration,
    ) -> Option<Turn> {
        let mine = |first| Turn { line: Arc::clone(self), _first: first };
        if let Ok(first) = Arc::clone(&self.turn).try_lock_owned() {
            return Some(mine(first));
        }
        match select(pin!(Arc::clone(&self.turn).lock_owned()), pin!(environment.sleep(limit))).await {
            Either::Left((first, _)) => Some(mine(first)),
            Either::Right(_) => None,
        }
    }
}

impl Turn {
    /// Waits for `pause`, or until an event in this process. Returns whether there was an event.
    pub(super) async fn pause(&self, environment: &dyn Environment, pause: Duration) -> bool {
        match select(pin!(self.line.wake.notified()), pin!(environment.sleep(pause))).await {
            Either::Left(_) => true,
            Either::Right(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use pflow_backend::ManualEnvironment;

    use super::*;

    fn id(name: &str) -> WorkflowId {
        WorkflowId::parse(name).unwrap()
    }

    #[tokio::test]
    async fn queue_is_fifo_and_drops_waiters_that_give_up() {
        let environment = Arc::new(ManualEnvironment::new(1).stepped());
        let lines = Arc::new(Lines::default());
        let line = lines.of(&id("a"));
        let first = line.turn(environment.as_ref(), Duration::ZERO).await.unwrap();
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (n, limit) in [(0, 9), (1, 1), (2, 9)] {
            let (line, served, environment) = (lines.of(&id("a")), served.clone(), environment.clone());
            tasks.push(tokio::spawn(async move {
                let turn = line.turn(environment.as_ref(), Duration::from_secs(limit)).await;
                served.lock().unwrap().push((n, turn.is_some()));
            }));
            tokio::task::yield_now().await;
        }
        environment.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*served.lock().unwrap(), [(1, false), (0, true), (2, true)]);
    }

    #[tokio::test]
    async fn wake_up_is_kept_for_the_next_waiter() {
        let environment = ManualEnvironment::new(1).stepped();
        let lines = Lines::default();
        lines.wake(&id("a"));
        let line = lines.of(&id("a"));
        lines.wake(&id("b"));
        lines.wake(&id("a"));
        let turn = line.turn(&environment, Duration::ZERO).await.unwrap();
        assert!(turn.pause(&environment, Duration::from_secs(1)).await);
    }
}
