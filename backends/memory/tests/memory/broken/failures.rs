//! The replies of a handle whose storage fails.

use pflow_backend::{Batch, Commit, Error, ErrorKind, Result, StorageBackend, conformance::CommitFailure};

use super::{
    Fault,
    commits::versions,
    storage::{Faulty, Way},
};

impl Faulty {
    /// Returns the reply to a read that does not reach the storage; none if reads reach it.
    pub(crate) fn cut<T>(&self) -> Option<Result<Option<T>>> {
        if self.fault == Fault::ClosedHandleFindsNothing && self.is_closed() {
            return Some(Ok(None));
        }
        let gone = "The connection is closed";
        (self.way == Way::Cut).then(|| match self.fault {
            Fault::UnreachableIsEmpty => Ok(None),
            Fault::UnknownReads => Err(Error::unknown(ErrorKind::Unavailable, gone)),
            _ => Err(Error::not_applied(ErrorKind::Unavailable, gone)),
        })
    }

    /// Returns the reply to a commit whose storage fails; none if it does not fail.
    pub(crate) async fn failed(&self, batch: &Batch) -> Option<Result<Commit>> {
        match self.way {
            Way::Sound => None,
            Way::Cut => Some(Err(Error::not_applied(ErrorKind::Unavailable, "The connection is closed"))),
            Way::LosesReplies => Some(self.without_reply(batch).await),
            Way::FailsCommits(CommitFailure::BeforeItsPoint) if self.fault == Fault::UnknownHappensLater => {
                self.memory().behind = Some(batch.clone());
                Some(Err(Error::unknown(ErrorKind::Io, "COMMIT failed")))
            }
            Way::FailsCommits(failure) => {
                let committed = match failure {
                    CommitFailure::BeforeItsPoint => Ok(Commit::Committed(versions(batch))),
                    CommitFailure::AfterItsPoint => self.applied(batch).await,
                };
                let failed = "COMMIT failed";
                Some(match self.fault {
                    Fault::SwallowsAFailedCommit => committed,
                    Fault::DeniesItsCommit => Err(Error::not_applied(ErrorKind::Io, failed)),
                    Fault::UnknownIsBusy => Err(Error::unknown(ErrorKind::Busy, failed)),
                    _ => Err(Error::unknown(ErrorKind::Io, failed)),
                })
            }
        }
    }

    async fn applied(&self, batch: &Batch) -> Result<Commit> {
        match self.fault {
            Fault::VersionRestarts => self.under_weak_versions(batch.clone()).await,
            _ => self.objects.commit(batch.clone()).await,
        }
    }

    async fn without_reply(&self, batch: &Batch) -> Result<Commit> {
        let first = self.applied(batch).await?;
        match self.fault {
            Fault::TakesItselfForAnother => self.objects.commit(batch.clone()).await,
            Fault::None => Err(Error::unknown(ErrorKind::Io, "No reply")),
            _ => Ok(first),
        }
    }
}
