//! Tasks that go on behind an answer, and waiting for them.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// The tasks that go on behind an answer. Clones count the same tasks.
///
/// They are counted in generations. [`rest`](Self::rest) closes the present generation for ever and waits for
/// it and for those before it; what begins meanwhile belongs to the next one.
///
/// Invariant: `rest` returns as soon as everything has ended that had begun when it was called, whatever
/// begins meanwhile, and however many callers rest at the same time. A tracker that was closed is never
/// opened again: a second caller that waits for it would then wait for ever.
#[derive(Debug, Clone, Default)]
pub(crate) struct Behind(Arc<Mutex<Generations>>);

#[derive(Debug, Default)]
struct Generations {
    present: TaskTracker,
    /// Closed, and not known to be empty.
    earlier: Vec<TaskTracker>,
}

impl Behind {
    /// Is waited for by every [`rest`](Self::rest) from now on, until it is dropped.
    pub(crate) fn token(&self) -> TaskTrackerToken {
        self.lock().present.token()
    }

    /// Runs `task` behind the caller. Panics outside of a tokio runtime.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.spawn_on(&Handle::current(), task)
    }

    /// The same on a runtime that the caller need not be a task of.
    pub(crate) fn spawn_on<T: Send + 'static>(
        &self,
        runtime: &Handle,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let token = self.token();
        runtime.spawn(async move {
            let result = task.await;
            drop(token);
            result
        })
    }

    /// Waits until everything has ended that has begun so far.
    pub(crate) async fn rest(&self) {
        for tracker in self.close() {
            tracker.wait().await;
        }
    }

    /// Begins a new generation. Those before it, all closed.
    fn close(&self) -> Vec<TaskTracker> {
        let mut generations = self.lock();
        let present = mem::take(&mut generations.present);
        present.close();
        generations.earlier.retain(|tracker| !tracker.is_empty());
        generations.earlier.push(present);
        generations.earlier.clone()
    }

    /// Never held across an await.
    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn rest_waits_for_what_began_before_it_alone() {
        let behind = Behind::default();
        let (end_first, first_ends) = oneshot::channel::<()>();
        let first = behind.spawn(first_ends);
        let mut one = pin!(behind.rest());
        assert!(poll!(&mut one).is_pending());
        let later = behind.token();
        let mut other = pin!(behind.rest());
        assert!(poll!(&mut other).is_pending());
        end_first.send(()).unwrap();
        first.await.unwrap().unwrap();
        assert!(poll!(&mut one).is_ready(), "what began later is not waited for");
        assert!(poll!(&mut other).is_pending());
        drop(later);
        assert!(poll!(&mut other).is_ready());
        assert!(poll!(pin!(behind.rest())).is_ready());
        assert_eq!(behind.lock().earlier.len(), 1, "empty generations are forgotten");
    }

    #[tokio::test]
    async fn rest_waits_for_generations_that_others_closed() {
        let behind = Behind::default();
        let token = behind.token();
        let mut one = Box::pin(behind.rest());
        assert!(poll!(&mut one).is_pending());
        drop(one);
        let mut other = pin!(behind.rest());
        assert!(poll!(&mut other).is_pending(), "the first caller gave up, the task goes on");
        drop(token);
        assert!(poll!(&mut other).is_ready());
    }
}
