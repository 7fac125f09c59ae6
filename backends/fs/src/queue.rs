//! Commits on their way: who waits, and whose turn it is.
//!
//! Whoever commits first while nobody is at work starts a run on a blocking thread; whoever comes meanwhile
//! is taken along in its next group. One hand-over to a thread per commit, or less.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pflow_backend::{Batch, Commit, Error, ErrorKind, Result};
use tokio::{runtime::Handle, sync::oneshot};

use crate::{lock::NextPlace, store::Store};

/// The first pause between two tries for the lock. Most commits take a few milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause: nobody is woken when the lock becomes free, so this is what a waiter loses at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// How long a busy holder leaves the lock to whoever is next, who looks about once in a millisecond.
const WAY: Duration = Duration::from_millis(4);

/// A batch that waits for its answer.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) batch: Batch,
    /// On the environment's monotonic clock: until then it waits for others to give the lock back.
    pub(crate) deadline: Duration,
    pub(crate) answer: oneshot::Sender<Result<Commit>>,
    /// Its place among all batches of this handle; the queue sets it.
    pub(crate) number: u64,
}

/// A caller that waits for the turn itself, to close.
#[derive(Debug)]
struct Closer {
    tell: oneshot::Sender<Turn>,
    /// The last batch that came before it.
    after: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Ticket>,
    /// IMPORTANT: a closer comes after every batch that came before it, so that nothing which was under way,
    /// perhaps with a dropped future, happens after the handle is closed; and before every later one, so that
    /// a handle in use can be closed.
    closers: VecDeque<Closer>,
    /// The number of the batch that came last.
    last: u64,
    taken: bool,
    pause: Option<Duration>,
    /// Groups so far, to see whether anything happened.
    groups: u64,
    following: bool,
}

/// The right to work on the journal through this handle. It moves from thread to thread; wherever it is
/// dropped, even by a runtime that shuts down, nobody waits for it in vain.
#[derive(Debug)]
pub(crate) struct Turn {
    store: Arc<Store>,
    ended: bool,
    /// While it waits for the lock.
    place: Option<NextPlace>,
    /// Left to a new run by one that was dropped. That happens once: a runtime that shuts down would drop it
    /// too.
    inherited: bool,
}

impl Queue {
    /// Adds a batch; the turn if nobody has it.
    pub(crate) fn push(&self, store: &Arc<Store>, ticket: Ticket) -> Option<Turn> {
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        state.waiting.push_back(Ticket { number, ..ticket });
        Self::take(&mut state, store)
    }

    /// The turn, if nobody has it.
    pub(crate) fn try_turn(&self, store: &Arc<Store>) -> Option<Turn> {
        Self::take(&mut self.state(), store)
    }

    /// The turn, as soon as it is free.
    pub(crate) async fn turn(&self, store: &Arc<Store>) -> Turn {
        loop {
            let told = {
                let mut state = self.state();
                if let Some(turn) = Self::take(&mut state, store) {
                    return turn;
                }
                let (tell, told) = oneshot::channel();
                let after = state.last;
                state.closers.push_back(Closer { tell, after });
                told
            };
            // An error: whoever had the turn is gone, and it is free again.
            if let Ok(turn) = told.await {
                return turn;
            }
        }
    }

    /// How many groups there have been, and whether somebody is at work.
    pub(crate) fn activity(&self) -> (u64, bool) {
        let state = self.state();
        (state.groups, state.taken)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state().waiting.is_empty()
    }

    /// Whether the caller is the one who sees to it that the files follow.
    pub(crate) fn begin_following(&self) -> bool {
        !std::mem::replace(&mut self.state().following, true)
    }

    pub(crate) fn end_following(&self) {
        self.state().following = false;
    }

    fn take(state: &mut State, store: &Arc<Store>) -> Option<Turn> {
        if std::mem::replace(&mut state.taken, true) {
            return None;
        }
        Some(Turn { store: store.clone(), ended: false, place: None, inherited: false })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The batches that go together next: at most so many bytes of them. None, and the turn is over, if there
    /// are none.
    pub(crate) fn next_group(self, most_bytes: usize) -> Option<(Self, Vec<Ticket>)> {
        let turn = self.end()?;
        let mut state = turn.store.queue.state();
        let mut bytes = 0;
        let mut group = Vec::new();
        while let Some(next) = state.waiting.front() {
            bytes += size(&next.batch);
            if !group.is_empty() && bytes > most_bytes {
                break;
            }
            group.extend(state.waiting.pop_front());
        }
        state.groups += 1;
        drop(state);
        Some((turn, group))
    }

    /// Gives the turn to the next that wants to close, unless an earlier batch waits, or ends it. If it is
    /// returned, batches wait, and its owner must run.
    pub(crate) fn end(self) -> Option<Self> {
        let mut turn = self;
        let store = turn.store.clone();
        let mut state = store.queue.state();
        let next = state.waiting.front().map_or(u64::MAX, |ticket| ticket.number);
        while state.closers.front().is_some_and(|closer| closer.after < next) {
            let Some(closer) = state.closers.pop_front() else { break };
            match closer.tell.send(turn) {
                Ok(()) => return None,
                Err(mine) => turn = mine,
            }
        }
        if !state.waiting.is_empty() {
            return Some(turn);
        }
        state.taken = false;
        turn.ended = true;
        None
    }

    /// The lock was taken: whoever waits next waits shortly first.
    pub(crate) fn got_through(&mut self) {
        self.place = None;
        self.store.queue.state().pause = None;
    }

    /// How long to leave the lock to others before the next group; none if nobody waits for it, or nobody
    /// here does.
    pub(crate) fn way_to_give(&self) -> Option<Duration> {
        (!self.store.queue.is_empty() && NextPlace::is_taken(&self.store.root)).then_some(WAY)
    }

    /// Puts back what could not have the lock, and answers who will not wait any longer. How long to wait
    /// before the next try; none if nobody waits any more.
    pub(crate) fn put_back(&mut self, group: Vec<Ticket>, holder: &str) -> Option<Duration> {
        if self.place.is_none() {
            self.place = NextPlace::try_take(&self.store.root);
        }
        let environment = &self.store.environment;
        let now = environment.monotonic();
        let mut state = self.store.queue.state();
        for ticket in group.into_iter().rev() {
            if ticket.deadline <= now {
                answer(ticket, Err(self.store.busy(holder)));
            } else {
                state.waiting.push_front(ticket);
            }
        }
        let left = state.waiting.iter().map(|ticket| ticket.deadline.saturating_sub(now)).min()?;
        // Whoever is next may find the lock free at any moment.
        let next = self.place.is_some();
        let pause = state.pause.filter(|_| !next).unwrap_or(FIRST_PAUSE);
        state.pause = Some((pause * 2).min(LONGEST_PAUSE));
        // Between half and one and a half of it, so that two waiters do not stay in step.
        Some(pause.mul_f64(0.5 + environment.jitter()).min(left))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Somebody gave up closing, or a panic, or a runtime that shuts down. Those in the group at work
        // learn it by their channel.
        let mut state = self.store.queue.state();
        state.closers.clear();
        if let Ok(runtime) = Handle::try_current()
            && !(self.inherited || std::thread::panicking() || state.waiting.is_empty())
        {
            drop(state);
            let turn = Self { store: self.store.clone(), ended: false, place: None, inherited: true };
            drop(runtime.spawn_blocking(move || Store::run(turn)));
            return;
        }
        state.taken = false;
        for ticket in state.waiting.drain(..) {
            answer(ticket, Err(shutting_down()));
        }
    }
}

/// Tells whoever waits, if it still does.
pub(crate) fn answer(ticket: Ticket, result: Result<Commit>) {
    if ticket.answer.send(result).is_err() {
        tracing::trace!("nobody waited for the answer");
    }
}

/// Roughly what a batch takes in the journal.
pub(crate) fn size(batch: &Batch) -> usize {
    use pflow_backend::Operation;
    const AROUND: usize = 256;
    let bytes = |operation: &Operation| match operation {
        Operation::Put { bytes, .. } => bytes.len(),
        Operation::Delete { .. } => 0,
    };
    batch.operations().map(|(_, operation)| AROUND + operation.key().as_str().len() + bytes(operation)).sum()
}

pub(crate) fn shutting_down() -> Error {
    Error::not_applied(ErrorKind::Unavailable, "The runtime is shutting down")
}
