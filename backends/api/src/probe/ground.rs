//! What the checks work with: keys of their own, fresh bodies, single writes, and the reasons for which a
//! check ends.

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

/// How often a request is sent that fails for a reason that may pass, or whose reply is lost.
const TRIES: u32 = 3;
/// The pause after such a request; longer each time.
const PAUSE: Duration = Duration::from_millis(100);
/// The pause between two writes of one object at a storage that takes one a second.
const REST: Duration = Duration::from_millis(1_100);

/// What a check works on.
pub(super) struct Ground<'a> {
    pub(super) backend: &'a dyn StorageBackend,
    pub(super) environment: &'a dyn Environment,
    pub(super) depth: Depth,
    prefix: Prefix,
    /// Every key that was ever named and not deleted since. Never held across an await.
    made: Mutex<BTreeSet<Key>>,
    /// Whether a second write of an object right behind the first one was not answered: two writes of one
    /// object are kept apart from then on.
    is_slow: AtomicBool,
}

/// Why a check ends before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// A promise is broken: what the storage did instead.
    Broken(String),
    /// What happened cannot be known, because a reply was lost.
    Unclear(String),
    /// The storage failed. That says nothing about its promises.
    Failed(Error),
}

/// What a check, or a step of one, comes to.
pub(super) type Tried<T = ()> = std::result::Result<T, Stop>;

/// What one request of a conditional write was answered.
#[derive(Debug)]
pub(super) enum Answer {
    Stored(Version),
    /// The condition did not hold, or a copy of the request came first.
    Refused,
    /// No answer, or one that says nothing. It may have been applied and may yet be.
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
            // The backend itself found that no condition can be relied on.
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

    /// The key of this name on the ground. It is deleted in the end.
    pub(super) fn key(&self, name: &str) -> Tried<Key> {
        let key = Key::parse(format!("{}{name}", self.prefix)).map_err(invalid)?;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        Ok(key)
    }

    /// The keys that may have objects.
    pub(super) fn made(&self) -> BTreeSet<Key> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A body of `length` bytes, at least 26, that exists nowhere else.
    pub(super) fn body(&self, length: usize) -> Bytes {
        format!("{:.<length$}", self.environment.new_id()).into()
    }

    /// Stores an object as every writer does, where its condition holds. `what` is said if it is refused
    /// all the same.
    pub(super) async fn store(&self, put: Operation, what: &str) -> Tried<Version> {
        let commit = || self.backend.commit(Batch::new().stage([put.clone()]));
        match self.patiently(commit).await? {
            Commit::Committed(versions) => version(&versions),
            Commit::Conflict(_) => Err(Stop::Broken(format!("It refused {what}"))),
            // No other writer works here, so a write that was in place and was replaced is none of ours: a
            // reply was lost.
            Commit::Overtaken(_) => Err(Stop::Unclear(format!("It may have refused {what}"))),
        }
    }

    /// Updates `key` under the version that it has, behind a write of the same key.
    ///
    /// The first request is sent alone. A storage that takes one write of an object a second does not
    /// carry it out; it is sent again after a rest, and later writes of one object rest too.
    pub(super) async fn update(&self, key: &Key, body: &Bytes, version: &Version) -> Tried<Version> {
        let put = Operation::put(key.clone(), body.clone()).is(version.clone());
        let what = "an update of the version that it gave itself";
        match self.attempt(put.clone()).await? {
            Answer::Stored(version) => Ok(version),
            // Perhaps for the form in which the version was sent.
            Answer::Refused => self.store(put, what).await,
            Answer::Unknown => {
                self.is_slow.store(true, Ordering::Relaxed);
                self.rest().await;
                match self.store(put, what).await {
                    // The first request may have been applied; then the second one is refused.
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

    /// Sends a write whose condition does not hold until it is refused. The sentence is what it means if
    /// it is not.
    ///
    /// The condition does not hold before the key is deleted either, so copies of the request that land
    /// late are refused too.
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

    /// The object, if there is one.
    pub(super) async fn get(&self, key: &Key) -> Tried<Option<Object>> {
        self.patiently(|| self.backend.get(key)).await
    }

    /// What is listed of the ground's own `folder`, or of all of it, behind a key.
    pub(super) async fn list(&self, folder: &str, after: Option<&Key>) -> Tried<Vec<Listed>> {
        let below = match folder {
            "" => self.prefix.clone(),
            folder => Prefix::parse(format!("{}{folder}", self.prefix)).map_err(invalid)?,
        };
        self.patiently(|| self.backend.list(&below, after).try_collect()).await
    }

    /// Keeps two writes of one object apart at a storage that needs it.
    pub(super) async fn rest(&self) {
        if self.is_slow.load(Ordering::Relaxed) {
            self.environment.sleep(REST).await;
        }
    }

    /// Deletes everything that was made.
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

    /// Repeats what surely changed nothing when it failed for a reason that may pass.
    async fn patiently<T, F>(&self, one: impl Fn() -> F) -> Tried<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut tried = 1;
        loop {
            match one().await {
                // A storage that another process holds has been waited for already.
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
    Stop::Failed(Error::new(ErrorKind::InvalidInput, refused.to_string()))
}
