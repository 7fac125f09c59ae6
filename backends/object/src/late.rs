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

/// The maximum number of keys with unwritten copies; a put of one more key waits for room.
const MOST_KEYS: usize = 64;
/// The maximum number of unwritten bytes, or one object of any size.
const MOST_BYTES: usize = 32 << 20;

/// The copies that are being written. There is one task for each key, so that a key's copies are written one
/// after the other. Of several waiting copies only the newest is written.
///
/// Dropping it aborts the tasks: the copies are derived from other objects, and readers detect copies that
/// lag.
#[derive(Debug)]
pub(crate) struct Late {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Shared {
    client: Arc<Client>,
    state: Mutex<State>,
    /// Notified whenever a copy was written.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The number of copies that were put so far.
    put: u64,
    /// The keys with unwritten copies. A key is here exactly while its task runs.
    keys: BTreeMap<Key, Slot>,
    /// The copies that could not be written, unless a later copy could.
    failed: BTreeMap<Key, Error>,
    /// Whether copies are now written before the answer.
    closed: bool,
}

/// The copies of one key. A copy that is replaced by a newer one before it is written counts as written once
/// the newer one is.
#[derive(Debug, Default)]
struct Slot {
    /// The newest bytes whose write has not begun, and the number of the oldest put that waits for them.
    next: Option<(Bytes, u64)>,
    /// The number of bytes that the task is writing, and the number of the oldest put that waits for them.
    writing: Option<(usize, u64)>,
}

impl Slot {
    /// Whether one of the first `put` copies is not written yet.
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

    /// Schedules the copy. If no background task is possible, writes it at once; only then there is a
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

    /// Waits for the copies of `key` that were put before the call. Later ones are not waited for; otherwise
    /// a caller beside busy writers would wait forever.
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

    /// Waits until all copies are written, and disables background writes from then on. Returns the failures
    /// once.
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
                Err(Error::not_applied(first.kind(), sentence))
            }
        }
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            // IMPORTANT: registers for the notification before the check; otherwise a change in between would
            // be missed.
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
    /// Marks the task as ended: its key was removed, and may belong to another task already.
    fn end(mut self) {
        self.ended = true;
    }
}

/// If the runtime ends during the task, callers that wait for the key must not wait forever.
impl Drop for Task {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut state = self.shared.lock();
        state.keys.remove(&self.key);
        let sentence = format!("The copy of {} was given up: the runtime ended", self.key);
        state.failed.insert(self.key.clone(), Error::not_applied(ErrorKind::Unavailable, sentence));
        self.shared.changed.notify_waiters();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes that the task of `key` must write next. None ends the task; the key is then removed.
    fn next(&self, key: &Key) -> Option<Bytes> {
        let mut state = self.lock();
        let slot = state.keys.get_mut(key)?;
        let next = slot.next.take();
        slot.writing = next.as_ref().map(|(bytes, oldest)| (bytes.len(), *oldest));
        if next.is_none() {
            state.keys.remove(key);
        }
        // The copy that was being written is now written.
        self.changed.notify_waiters();
        next.map(|(bytes, _)| bytes)
    }

    /// Writes a copy, and records a failure.
    async fn write(&self, key: &Key, bytes: &Bytes) -> Option<Version> {
        match put::put(&self.client, key, bytes, &Precondition::Always, WriteKind::Copy).await {
            Ok(Written::Stored(version)) => {
                self.lock().failed.remove(key);
                Some(version)
            }
            // Impossible: the put has no condition.
            Ok(Written::Refused { .. }) => None,
            Err(error) => {
                tracing::warn!(%key, "A copy could not be written: {error}");
                self.lock().failed.insert(key.clone(), error);
                None
            }
        }
    }
}
