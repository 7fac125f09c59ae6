//! The tools of the checks: keys of their own, unique bodies, single writes, and the reasons why a check
//! ends.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::TryStreamExt;

use super::Depth;
use crate::{
    Batch, Commit, Environment, Error, ErrorKind, Key, Listed, Object, Operation, Outcome, Position, Prefix,
    Result, StorageBackend, Version,
};

/// How often a request is sent that fails transiently or whose reply is lost.
const TRIES: u32 = 3;
/// The pause after such a request; it grows with each attempt.
const PAUSE: Duration = Duration::from_millis(100);
/// The pause between two writes of one object on a storage that accepts one a second.
const REST: Duration = Duration::from_millis(1_100);

/// The environment of a check.
pub(super) struct Ground<'a> {
    pub(super) backend: &'a dyn StorageBackend,
    pub(super) environment: &'a dyn Environment,
    pub(super) depth: Depth,
    prefix: Prefix,
    /// Every key that was named and not deleted since. The lock is never held across an await.
    made: Mutex<BTreeSet<Key>>,
    /// Whether a second write of an object directly after the first one was not answered. From then on, two
    /// writes of one object are kept apart.
    is_slow: AtomicBool,
}

/// Why a check stops early.
#[derive(Debug)]
pub(super) enum Stop {
    /// A guarantee is broken: says what the storage did instead.
    Broken(String),
    /// The effect is unknown, because a reply was lost.
    Unclear(String),
    /// The storage failed. Its guarantees remain unknown.
    Failed(Error),
}

/// The result of a check, or of a step of one.
pub(super) type Tried<T = ()> = std::result::Result<T, Stop>;

/// The answer to one request of a conditional write.
#[derive(Debug)]
pub(super) enum Answer {
    Stored(Version),
    /// The condition did not hold, or a copy of the request was applied first.
    Refused,
    /// No answer, or an inconclusive one. The write may have been applied, or may be applied later.
    Unknown,
}

/// Ends the check with this sentence unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($sentence:tt)+) => {
        if !$holds {
            return Err($crate::probe::ground::Stop::Broken(format!($($sentence)+)));
        }
    };
}
pub(super) use ensure;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        let text = super::with_causes(&error);
        match (error.kind(), error.outcome()) {
            // The backend itself found that conditions are not reliable.
            (ErrorKind::Unsafe, _) => Self::Broken(text),
            (_, Outcome::Unknown) => Self::Unclear(format!("A reply was lost: {text}")),
            (_, Outcome::NotApplied { .. }) => Self::Failed(error),
        }
    }
}

impl<'a> Ground<'a> {
    pub(super) fn new(
        backend: &'a dyn StorageBackend,
        environment: &'a dyn Environment,
        prefix: Prefix,
        depth: Depth,
    ) -> Self {
        Self { backend, environment, depth, prefix, made: Mutex::default(), is_slow: AtomicBool::new(false) }
    }

    pub(super) fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// The key of this name below the probe's prefix. It is deleted at the end.
    pub(super) fn key(&self, name: &str) -> Tried<Key> {
        let key = Key::parse(format!("{}{name}", self.prefix)).map_err(invalid)?;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        Ok(key)
    }

    /// The keys that may have objects.
    pub(super) fn made(&self) -> BTreeSet<Key> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A unique body of `length` bytes, at least 26.
    pub(super) fn body(&self, length: usize) -> Bytes {
        format!("{:.<length$}", self.environment.new_id()).into()
    }

    /// Stores an object through `commit`, under a condition that holds. `what` is reported if it is refused
    /// nevertheless.
    pub(super) async fn store(&self, put: Operation, what: &str) -> Tried<Version> {
        let commit = || self.backend.commit(Batch::new().stage([put.clone()]));
        match self.patiently(commit).await? {
            Commit::Committed(versions) => version(&versions),
            Commit::Conflict(_) => Err(Stop::Broken(format!("It refused {what}"))),
            // No other client writes here, so a write that was replaced cannot be another client's: a reply
            // was lost.
            Commit::Overtaken(_) => Err(Stop::Unclear(format!("It may have refused {what}"))),
        }
    }

    /// Updates `key` under its present version, directly after another write of the same key.
    ///
    /// The first request is sent once, without retries. A storage that accepts one write of an object a
    /// second does not apply it. It is then sent again after a pause, and later writes of one object pause
    /// too.
    pub(super) async fn update(&self, key: &Key, body: &Bytes, version: &Version) -> Tried<Version> {
        let put = Operation::put(key.clone(), body.clone()).is(version.clone());
        let what = "an update of the version that it gave itself";
        match self.attempt(put.clone()).await? {
            Answer::Stored(version) => Ok(version),
            // Perhaps because of the form in which the version was sent.
            Answer::Refused => self.store(put, what).await,
            Answer::Unknown => {
                self.is_slow.store(true, Ordering::Relaxed);
                self.rest().await;
                match self.store(put, what).await {
                    // The first request may have been applied; the second one is then refused.
                    Err(refused @ (Stop::Broken(_) | Stop::Unclear(_))) => match self.get(key).await? {
                        Some(object) if object.bytes == *body => Ok(object.meta.version),
                        _ => Err(refused),
                    },
                    other => other,
                }
            }
        }
    }

    /// Sends one conditional write once.
    pub(super) async fn attempt(&self, put: Operation) -> Tried<Answer> {
        match self.backend.attempt(put).await {
            Ok(Commit::Committed(versions)) => Ok(Answer::Stored(version(&versions)?)),
            Ok(Commit::Conflict(_) | Commit::Overtaken(_)) => Ok(Answer::Refused),
            Err(error) if error.kind() == ErrorKind::Busy => Err(Stop::Failed(error)),
            Err(error) if error.is_transient() => Ok(Answer::Unknown),
            Err(error) => match Stop::from(error) {
                Stop::Unclear(_) => Ok(Answer::Unknown),
                other => Err(other),
            },
        }
    }

    /// Sends a write whose condition does not hold, until it is refused. `sentence` says what it means if it
    /// is accepted.
    ///
    /// The condition never holds before the key is deleted, so copies of the request that land late are
    /// refused too.
    pub(super) async fn refused(&self, put: Operation, sentence: &str) -> Tried {
        for attempt in 1..=TRIES {
            self.rest().await;
            match self.attempt(put.clone()).await? {
                Answer::Stored(_) => return Err(Stop::Broken(sentence.to_owned())),
                Answer::Refused => return Ok(()),
                Answer::Unknown => self.environment.sleep(PAUSE * attempt).await,
            }
        }
        Err(Stop::Unclear(format!("It left {TRIES} requests unanswered whose condition did not hold")))
    }

    /// Reads the object, if there is one.
    pub(super) async fn get(&self, key: &Key) -> Tried<Option<Object>> {
        self.patiently(|| self.backend.get(key)).await
    }

    /// Lists `folder` below the probe's prefix, or all of the prefix, after a key.
    pub(super) async fn list(&self, folder: &str, after: Option<&Key>) -> Tried<Vec<Listed>> {
        let below = match folder {
            "" => self.prefix.clone(),
            folder => Prefix::parse(format!("{}{folder}", self.prefix)).map_err(invalid)?,
        };
        self.patiently(|| self.backend.list(&below, after).try_collect()).await
    }

    /// Pauses between two writes of one object on a storage that needs it.
    pub(super) async fn rest(&self) {
        if self.is_slow.load(Ordering::Relaxed) {
            self.environment.sleep(REST).await;
        }
    }

    /// Deletes everything that the probe wrote.
    pub(super) async fn clear(&self) -> Result<()> {
        let made = self.made();
        self.delete(made.iter().cloned()).await?;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).retain(|key| !made.contains(key));
        Ok(())
    }

    pub(super) async fn delete(&self, keys: impl IntoIterator<Item = Key>) -> Result<()> {
        let batch = Batch::new().stage(keys.into_iter().map(Operation::delete));
        self.backend.commit(batch).await.map(drop)
    }

    /// Retries an operation that certainly changed nothing and failed transiently.
    async fn patiently<T, F>(&self, one: impl Fn() -> F) -> Tried<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut tried = 1;
        loop {
            match one().await {
                // If another process holds the storage, the backend has waited already.
                Err(error) if error.is_transient() && error.kind() != ErrorKind::Busy && tried < TRIES => {
                    self.environment.sleep(PAUSE * tried).await;
                    tried += 1;
                }
                other => return Ok(other?),
            }
        }
    }
}

fn version(versions: &crate::Versions) -> Tried<Version> {
    let stored = versions.get(Position { stage: 0, operation: 0 });
    stored.cloned().ok_or_else(|| Stop::Broken("It stored an object and gave it no version".to_owned()))
}

fn invalid(refused: crate::InvalidKey) -> Stop {
    Stop::Failed(Error::not_applied(ErrorKind::InvalidInput, refused.to_string()))
}
