//! Work that is under way, such as tasks that continue after an answer, and waiting for it.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{runtime::Handle, sync::watch, task::JoinHandle};

/// Tasks in the background, and other work that holds a [`Token`]. Clones count the same work.
///
/// The tasks are counted in generations. [`rest`](Self::rest) closes the present generation permanently, and
/// waits for it and for earlier ones; tasks that begin meanwhile belong to the next generation.
///
/// Invariant: `rest` returns as soon as every task has ended that had begun when it was called, whatever
/// begins meanwhile, and however many callers rest at the same time. A closed generation gets no new tasks:
/// a caller that waits for it would then wait forever.
#[derive(Debug, Clone, Default)]
pub(crate) struct Behind(Arc<Mutex<Generations>>);

#[derive(Debug, Default)]
struct Generations {
    present: Generation,
    /// Closed generations that may not be empty.
    earlier: Vec<Generation>,
}

/// Each task holds a receiver; the channel is closed while none exists. No value is ever sent.
type Generation = watch::Sender<()>;

/// Belongs to one generation, as long as it exists.
#[derive(Debug)]
pub(crate) struct Token(#[expect(dead_code, reason = "only its drop counts")] watch::Receiver<()>);

impl Behind {
    /// A token that every [`rest`](Self::rest) from now on waits for, until the token is dropped.
    pub(crate) fn token(&self) -> Token {
        Token(self.lock().present.subscribe())
    }

    /// Runs `task` in the background. Panics outside of a tokio runtime.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.spawn_on(&Handle::current(), task)
    }

    /// The same on a given runtime; the caller need not be one of its tasks.
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

    /// Waits for all tasks that have begun so far.
    pub(crate) async fn rest(&self) {
        for generation in self.close() {
            generation.closed().await;
        }
    }

    /// Begins a new generation. Returns the earlier ones, all closed.
    fn close(&self) -> Vec<Generation> {
        let mut generations = self.lock();
        let present = mem::take(&mut generations.present);
        generations.earlier.retain(|generation| !generation.is_closed());
        generations.earlier.push(present);
        generations.earlier.clone()
    }

    /// The lock is never held across an await.
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
    async fn rest_waits_only_for_tasks_that_began_before_it() {
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
