//! The calls of one storage, one after the other.
//!
//! A call is a job in a queue, and one run on a blocking thread works on the queue until it is empty. So a
//! call needs its future only for its answer: a future that its caller keeps without polling it holds no
//! other call up. A turn that is handed from future to future, as by a fair mutex, would wait for that one.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{runtime::Handle, sync::oneshot};

/// Calls the storage, or learns why it cannot.
type Job<S> = Box<dyn FnOnce(Result<&mut S, Failed>) + Send>;

/// Why a call has no answer of the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// It was not begun: there is no tokio runtime.
    NoRuntime,
    /// It was not begun: the runtime was shutting down.
    ShuttingDown,
    /// It was not begun: an earlier call panicked.
    Poisoned,
    /// It panicked.
    Panicked,
}

pub(super) struct Queue<S: Send + 'static> {
    state: Mutex<State<S>>,
}

struct State<S> {
    /// None while a run has it.
    storage: Option<S>,
    waiting: VecDeque<Job<S>>,
    is_poisoned: bool,
}

/// The work on the queue, with the storage. There is at most one, on a blocking thread.
struct Run<S: Send + 'static> {
    queue: Arc<Queue<S>>,
    /// None once it was given back.
    storage: Option<S>,
}

impl<S: Send + 'static> Queue<S> {
    pub(super) fn new(storage: S) -> Self {
        let state = State { storage: Some(storage), waiting: VecDeque::new(), is_poisoned: false };
        Self { state: Mutex::new(state) }
    }

    /// Calls the storage after the calls that came before. A call that is dropped while it waits does not
    /// happen.
    pub(super) async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, Failed> {
        let runtime = Handle::try_current().map_err(|_| Failed::NoRuntime)?;
        let (reply, answer) = oneshot::channel();
        let job = move |storage: Result<&mut S, Failed>| {
            if !reply.is_closed() {
                // The caller may drop its future at any moment.
                drop(reply.send(storage.map(call)));
            }
        };
        if let Some(run) = self.push(Box::new(job))? {
            // IMPORTANT: a run that the runtime drops before it begins answers all jobs; see its Drop.
            drop(runtime.spawn_blocking(move || run.work()));
        }
        // Only a panic drops a reply.
        answer.await.unwrap_or(Err(Failed::Panicked))
    }

    /// Adds a job. The run to start if there is none.
    fn push(self: &Arc<Self>, job: Job<S>) -> Result<Option<Run<S>>, Failed> {
        let mut state = self.state();
        if state.is_poisoned {
            return Err(Failed::Poisoned);
        }
        state.waiting.push_back(job);
        let storage = state.storage.take();
        Ok(storage.map(|storage| Run { queue: self.clone(), storage: Some(storage) }))
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Send + 'static> Drop for Queue<S> {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(storage) = state.storage.take() else { return };
        match Handle::try_current() {
            // To close a database is work that waits. A runtime that shuts down drops it at once.
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(storage))),
            Err(_) => drop(storage),
        }
    }
}

impl<S: Send + 'static> Run<S> {
    fn work(mut self) {
        while let Some(job) = self.next() {
            let Some(storage) = &mut self.storage else { return };
            // It is safe to go on after a panic, because the storage is not used again.
            if catch_unwind(AssertUnwindSafe(|| job(Ok(storage)))).is_err() {
                self.end(Failed::Poisoned);
                return;
            }
        }
    }

    /// The next job. Without one, it gives the storage back.
    fn next(&mut self) -> Option<Job<S>> {
        let mut state = self.queue.state();
        let job = state.waiting.pop_front();
        if job.is_none() {
            // IMPORTANT: under the same lock as the look at the queue, so that no job is left without a run.
            state.storage = self.storage.take();
        }
        job
    }

    /// Gives the storage back and answers the jobs that wait.
    fn end(&mut self, why: Failed) {
        let waiting = {
            let mut state = self.queue.state();
            state.is_poisoned |= why == Failed::Poisoned;
            state.storage = self.storage.take();
            std::mem::take(&mut state.waiting)
        };
        for job in waiting {
            job(Err(why));
        }
    }
}

impl<S: Send + 'static> Drop for Run<S> {
    fn drop(&mut self) {
        // A runtime that shuts down drops a run before it begins.
        if self.storage.is_some() {
            self.end(Failed::ShuttingDown);
        }
    }
}
