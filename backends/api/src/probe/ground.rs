use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::TryStreamExt;

use super::Depth;
use crate::{
    Batch, Commit, Environment, Error, ErrorKind, Key, Listed, Object, Operation, Outcome, Position, Prefix,
    Result, StorageBackend, Version,
};

/// The longest wait of one who lost a race.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// What a check works on.
pub(super) struct Ground<'a> {
    pub(super) backend: &'a dyn StorageBackend,
    pub(super) environment: &'a dyn Environment,
    pub(super) depth: Depth,
    prefix: Prefix,
    /// Every key that was ever named, to be deleted in the end. Never held across an await.
    made: Mutex<BTreeSet<Key>>,
}

/// Why a check ends before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// A promise is broken: what the storage did instead.
    Broken(String),
    /// Nobody can tell, because a reply was lost.
    Unclear(String),
    /// The storage failed. That says nothing about its promises.
    Failed(Error),
}

/// What a check, or a step of one, comes to.
pub(super) type Tried<T = ()> = std::result::Result<T, Stop>;

/// What a conditional write of one object came to.
#[derive(Debug)]
pub(super) enum Answer {
    Stored(Version),
    Refused,
    /// Refused, or stored and replaced since.
    Overtaken,
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
        match error.outcome() {
            Outcome::Unknown => Self::Unclear(format!("A reply was lost: {}", super::with_causes(&error))),
            Outcome::NotApplied { .. } => Self::Failed(error),
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
        Self { backend, environment, depth, prefix, made: Mutex::default() }
    }

    pub(super) fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// The key of this name on the ground.
    pub(super) fn key(&self, name: &str) -> Tried<Key> {
        let key = Key::parse(format!("{}{name}", self.prefix)).map_err(invalid)?;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        Ok(key)
    }

    /// A body like no other: `what`, and a fresh id.
    pub(super) fn body(&self, what: impl std::fmt::Display) -> Bytes {
        format!("{what} {}", self.environment.new_id()).into()
    }

    /// Writes one object under its condition.
    pub(super) async fn write(&self, put: Operation) -> Tried<Answer> {
        let at = Position { stage: 0, operation: 0 };
        match self.backend.commit(Batch::new().stage([put])).await? {
            Commit::Committed(versions) => match versions.get(at) {
                Some(version) => Ok(Answer::Stored(version.clone())),
                None => Err(Stop::Broken("It stored an object and gave it no version".to_owned())),
            },
            Commit::Conflict(_) => Ok(Answer::Refused),
            Commit::Overtaken(_) => Ok(Answer::Overtaken),
        }
    }

    /// Writes one object where nothing can be in the way; its version. `what` is said if it is refused all the same.
    pub(super) async fn store(&self, put: Operation, what: &str) -> Tried<Version> {
        match self.write(put).await? {
            Answer::Stored(version) => Ok(version),
            Answer::Refused => Err(Stop::Broken(format!("It refused {what}"))),
            // Nobody else works here, so a write that was in place and replaced is none of ours: the reply was lost.
            Answer::Overtaken => Err(Stop::Unclear(format!("It may have refused {what}"))),
        }
    }

    pub(super) async fn delete(&self, key: &Key) -> Tried {
        let answer = self.backend.commit(Batch::new().stage([Operation::delete(key.clone())])).await?;
        match answer {
            Commit::Committed(_) => Ok(()),
            Commit::Conflict(_) | Commit::Overtaken(_) => {
                Err(Stop::Broken("It refused a delete that named no condition".to_owned()))
            }
        }
    }

    /// The object, which must be there.
    pub(super) async fn read(&self, key: &Key) -> Tried<Object> {
        let object = self.backend.get(key).await?;
        object.ok_or_else(|| Stop::Broken("It did not find an object that was written".to_owned()))
    }

    /// What is listed below the ground's own `folder`.
    pub(super) async fn list(&self, folder: &str) -> Tried<Vec<Listed>> {
        let prefix = Prefix::parse(format!("{}{folder}", self.prefix)).map_err(invalid)?;
        Ok(self.backend.list(&prefix, None).try_collect().await?)
    }

    /// Lets others go first, longer with every race that was lost.
    pub(super) async fn give_way(&self, lost: u32) {
        let most = Duration::from_millis(1).saturating_mul(1 << lost.min(6)).min(LONGEST_PAUSE);
        self.environment.sleep(most.mul_f64(self.environment.jitter())).await;
    }

    /// Deletes everything that was made.
    pub(super) async fn clear(&self) -> Result<()> {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        let batch = Batch::new().stage(made.into_iter().map(Operation::delete));
        self.backend.commit(batch).await.map(drop)
    }
}

fn invalid(refused: crate::InvalidKey) -> Stop {
    Stop::Failed(Error::new(ErrorKind::InvalidInput, refused.to_string()))
}
