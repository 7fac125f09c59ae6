//! Reads on their way: many tasks that read at the same time share a thread, and one look at the journal's
//! state.
//!
//! A hand-over to a thread costs more than reading a small file, and so does every look at whether somebody
//! has committed meanwhile.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pflow_backend::{Key, Result};
use tokio::{sync::oneshot, task::coop::consume_budget};

use crate::{
    current::{Look, Read, look, read_at_once, stands},
    error::again,
    queue::shutting_down,
    store::Store,
};

/// How many threads read for one handle at most.
const MOST_RUNNERS: usize = 4;
/// How many reads one thread takes at a time, so that others are left for the next one.
const MOST_AT_ONCE: usize = 16;

/// A read that waits. Called once the view is caught up, or with why it is not; what it brings must be
/// checked once the view is caught up again, if it is.
type Job = Box<dyn FnOnce(&Store, Result<()>) -> Option<Check> + Send>;
type Check = Box<dyn FnOnce(&Store, bool)>;

#[derive(Default)]
pub(crate) struct Reads(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    runners: usize,
}

/// One of the threads that read. Wherever it is dropped, even by a runtime that shuts down, the next read
/// starts another one.
struct Runner {
    store: Arc<Store>,
    counted_out: bool,
}

/// Reads what is under a key.
pub(crate) async fn read<R: Read>(store: &Arc<Store>, key: &Key, how: R) -> Result<Option<R::Seen>> {
    if let Some(seen) = read_at_once(&store.root, &store.view, key, &how) {
        // So that a task which does nothing but read leaves room for others.
        consume_budget().await;
        return Ok(seen);
    }
    let key = key.clone();
    let (answer, told) = oneshot::channel();
    let runner = {
        let mut state = store.reads.state();
        state.waiting.push_back(job(key, how, answer));
        let more = state.runners == 0 || state.waiting.len() > MOST_AT_ONCE && state.runners < MOST_RUNNERS;
        state.runners += usize::from(more);
        more.then(|| Runner { store: store.clone(), counted_out: false })
    };
    if let Some(runner) = runner {
        drop(tokio::task::spawn_blocking(move || runner.run()));
    }
    told.await.unwrap_or_else(|_| Err(shutting_down()))
}

fn job<R: Read>(key: Key, how: R, answer: oneshot::Sender<Result<Option<R::Seen>>>) -> Job {
    let tell = |answer: oneshot::Sender<_>, result| {
        if answer.send(result).is_err() {
            tracing::trace!("nobody waited for what was read");
        }
    };
    Box::new(move |store, caught_up| {
        match caught_up.and_then(|()| look(&store.root, &store.view, &key, &how)) {
            Ok(Look::Known(seen)) => tell(answer, Ok(seen)),
            Ok(Look::Again) => tell(answer, store.read(&key, &how)),
            Err(error) => tell(answer, Err(error)),
            Ok(Look::File(seen, basis)) => {
                return Some(Box::new(move |store, caught_up| {
                    let stands = caught_up && stands(&store.view, &key, &basis);
                    tell(answer, if stands { Ok(seen) } else { store.read(&key, &how) });
                }));
            }
        }
        None
    })
}

impl Runner {
    fn run(mut self) {
        loop {
            let jobs: Vec<Job> = {
                let mut state = self.store.reads.state();
                if state.waiting.is_empty() {
                    // In the same breath: whoever comes next starts another one.
                    state.runners -= 1;
                    self.counted_out = true;
                    return;
                }
                let count = state.waiting.len().min(MOST_AT_ONCE);
                state.waiting.drain(..count).collect()
            };
            serve(&self.store, jobs);
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if self.counted_out {
            return;
        }
        let mut state = self.store.reads.state();
        state.runners -= 1;
        if state.runners == 0 {
            // Those who wait learn it by their channel.
            state.waiting.clear();
        }
    }
}

fn serve(store: &Store, jobs: Vec<Job>) {
    let caught_up = || store.root.check_in_place().and_then(|()| store.catch_up());
    let first = caught_up();
    let of_each = || first.as_ref().copied().map_err(again);
    let checks: Vec<Check> = jobs.into_iter().filter_map(|job| job(store, of_each())).collect();
    if checks.is_empty() {
        return;
    }
    // Where that fails each of them looks for itself, and learns why.
    let again = caught_up().is_ok();
    checks.into_iter().for_each(|check| check(store, again));
}

impl Reads {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Reads")
            .field("waiting", &state.waiting.len())
            .field("runners", &state.runners)
            .finish()
    }
}
