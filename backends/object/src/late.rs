//! Copies that are written after their commit has answered.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pflow_backend::{Bytes, Error, ErrorKind, Key, Precondition, Prefix, Result, Version, WriteKind};
use tokio::{runtime::Handle, sync::Notify, task::JoinSet};

use crate::{
    client::Client,
    put::{self, Written},
};

/// As many keys may wait at once; whoever brings one more waits for a place.
const MOST_KEYS: usize = 64;
/// As many bytes may wait at once, or one object of any size.
const MOST_BYTES: usize = 32 << 20;

/// The copies under way. There is one task for each key, so that a key's copies are written one after the
/// other; of those that wait, the newest is written and the others are not.
///
/// Dropping it ends the tasks where they are: what they write is derived from something else, and readers
/// notice what lags.
#[derive(Debug)]
pub(crate) struct Late {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Shared {
    client: Arc<Client>,
    state: Mutex<State>,
    /// Rings whenever a copy was written.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// How many copies were put so far.
    put: u64,
    /// The keys under way. A key is here exactly while its task runs.
    keys: BTreeMap<Key, Slot>,
    /// What could not be written, unless a later copy could.
    failed: BTreeMap<Key, Error>,
    /// From now on copies are written before the answer.
    closed: bool,
}

/// The copies of one key. A copy that is replaced by a newer one before it is written is in place when
/// that one is.
#[derive(Debug, Default)]
struct Slot {
    /// The newest bytes that are not being written yet, and the number of the oldest put that waits for them.
    next: Option<(Bytes, u64)>,
    /// How many bytes the task writes just now, and the number of the oldest put that waits for them.
    writing: Option<(usize, u64)>,
}

impl Slot {
    /// Whether one of the first `put` copies is not in place yet.
    fn has_one_of(&self, put: u64) -> bool {
        let is_one = |number: u64| number <= put;
        self.next.as_ref().is_some_and(|(_, number)| is_one(*number))
            || self.writing.is_some_and(|(_, number)| is_one(number))
    }

    fn bytes(&self) -> usize {
        let next = self.next.as_ref().map_or(0, |(bytes, _)| bytes.len());
        next + self.writing.map_or(0, |(length, _)| length)
    }
}

impl State {
    fn has_room(&self, bytes: &Bytes) -> bool {
        let total: usize = self.keys.values().map(Slot::bytes).sum();
        self.keys.is_empty() || self.keys.len() < MOST_KEYS && total + bytes.len() <= MOST_BYTES
    }
}

impl Late {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        let shared = Shared { client, state: Mutex::default(), changed: Notify::new() };
        Self { shared: Arc::new(shared), tasks: Mutex::default() }
    }

    /// Has the copy written, soon, or at once where nothing may run in the background: only then it has a
    /// version.
    pub(crate) async fn put(&self, key: &Key, bytes: &Bytes) -> Option<Version> {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            {
                let mut state = self.shared.lock();
                if state.closed || Handle::try_current().is_err() {
                    break;
                }
                let number = state.put + 1;
                let is_new = !state.keys.contains_key(key);
                if !is_new || state.has_room(bytes) {
                    let slot = state.keys.entry(key.clone()).or_default();
                    let oldest = slot.next.as_ref().map_or(number, |(_, oldest)| *oldest);
                    slot.next = Some((bytes.clone(), oldest));
                    state.put = number;
                    if is_new {
                        self.spawn(key.clone());
                    }
                    return None;
                }
            }
            changed.await;
        }
        self.settled(key).await;
        self.shared.write(key, bytes).await
    }

    fn spawn(&self, key: Key) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        let task = Task { shared: self.shared.clone(), key, ended: false };
        tasks.spawn(async move {
            while let Some(bytes) = task.shared.next(&task.key) {
                task.shared.write(&task.key, &bytes).await;
            }
            task.end();
        });
    }

    /// Waits for the copies of `key` that were put before the call. Those that are put meanwhile are not
    /// waited for, or a caller beside busy writers would wait for ever.
    pub(crate) async fn settled(&self, key: &Key) {
        let put = self.shared.lock().put;
        self.until(|state| state.keys.get(key).is_none_or(|slot| !slot.has_one_of(put))).await;
    }

    /// The same for all copies below `prefix`.
    pub(crate) async fn settled_below(&self, prefix: &Prefix) {
        let put = self.shared.lock().put;
        let is_below = |key: &Key| prefix.key().is_none_or(|above| key.is_below(above));
        self.until(|state| !state.keys.iter().any(|(key, slot)| slot.has_one_of(put) && is_below(key))).await;
    }

    /// Waits until nothing is under way, and lets nothing begin any more. Tells once what could not be
    /// written.
    pub(crate) async fn close(&self) -> Result<()> {
        self.shared.lock().closed = true;
        self.until(|state| state.keys.is_empty()).await;
        let failed = std::mem::take(&mut self.shared.lock().failed);
        let names: Vec<&str> = failed.keys().map(Key::as_str).collect();
        let names = names.join(", ");
        match failed.into_values().next() {
            None => Ok(()),
            Some(first) => {
                let sentence = format!("These copies could not be written: {names}. The first one: {first}");
                Err(Error::new(first.kind(), sentence))
            }
        }
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            // IMPORTANT: listens before it looks, or it would miss what happens in between.
            changed.as_mut().enable();
            if holds(&self.shared.lock()) {
                return;
            }
            changed.await;
        }
    }
}

/// The task of a key.
struct Task {
    shared: Arc<Shared>,
    key: Key,
    ended: bool,
}

impl Task {
    /// The key is not under way any more, and perhaps another task's already.
    fn end(mut self) {
        self.ended = true;
    }
}

/// Whoever waits for the key must not wait for ever where the runtime ended under the task.
impl Drop for Task {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut state = self.shared.lock();
        state.keys.remove(&self.key);
        let sentence = format!("The copy of {} was given up: the runtime ended", self.key);
        state.failed.insert(self.key.clone(), Error::new(ErrorKind::Unavailable, sentence));
        self.shared.changed.notify_waiters();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the task of `key` writes next. None ends the task, and from then on the key is not under way.
    fn next(&self, key: &Key) -> Option<Bytes> {
        let mut state = self.lock();
        let slot = state.keys.get_mut(key)?;
        let next = slot.next.take();
        slot.writing = next.as_ref().map(|(bytes, oldest)| (bytes.len(), *oldest));
        if next.is_none() {
            state.keys.remove(key);
        }
        // What was written until now is in place.
        self.changed.notify_waiters();
        next.map(|(bytes, _)| bytes)
    }

    /// Writes, and keeps in mind whether that failed.
    async fn write(&self, key: &Key, bytes: &Bytes) -> Option<Version> {
        match put::put(&self.client, key, bytes, &Precondition::Always, WriteKind::Copy).await {
            Ok(Written::Stored(version)) => {
                self.lock().failed.remove(key);
                Some(version)
            }
            // Cannot be: nothing was asked of the key.
            Ok(Written::Refused { .. }) => None,
            Err(error) => {
                tracing::warn!(%key, "A copy could not be written: {error}");
                self.lock().failed.insert(key.clone(), error);
                None
            }
        }
    }
}
