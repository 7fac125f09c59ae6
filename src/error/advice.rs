use super::Error;
use crate::conflict::Conflict;

/// What a program does next after an [`Error`], without a person.
///
/// ```no_run
/// # use std::time::Duration;
/// # use pflow_store::{Advice, Error, Store, Workflow};
/// # async fn changed(plan: &Workflow) -> Result<(), Error> {
/// # let pause = async || tokio::time::sleep(Duration::from_secs(1)).await;
/// loop {
///     let done = async {
///         let loaded = plan.load().await?;
///         // ... edits `loaded.content` ...
///         plan.save(loaded.content.clone(), loaded.expect()).await
///     };
///     match done.await {
///         Ok(_) => return Ok(()),
///         Err(error) => match error.advice() {
///             Advice::Reload => {}
///             Advice::Repeat => pause().await,
///             // Whether it was saved is seen in what is loaded; here, an edit too many does no harm.
///             Advice::Read => pause().await,
///             Advice::Stop => return Err(error),
///         },
///     }
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Nothing was changed: the workflow is not what the change was built on. Load it and make the change
    /// again on top of what is there.
    Reload,
    /// Nothing was changed, and the same call can succeed later: a lock is held, a disk is full, a server does
    /// not answer. Pause, then repeat it, for as long as the program can wait.
    Repeat,
    /// The change may have been made, or may still be made. Read the workflow, then decide.
    Read,
    /// Nothing was changed, and neither loading again nor repeating the call helps. The call is wrong, a person
    /// has to do something first ([`Error::remedy`]), or the program itself ended it.
    Stop,
}

impl Error {
    /// Returns what a program does next. A loop that follows it never spins: what is met again by loading, such
    /// as a person's edit or damage, is [`Advice::Stop`].
    pub fn advice(&self) -> Advice {
        match self {
            Self::OutcomeUnknown { .. } => Advice::Read,
            Self::Conflict(conflict) => conflict.advice(),
            Self::Storage(source) if source.is_transient() => Advice::Repeat,
            // The guard renews it, or learns that it is lost.
            Self::LeaseUncertain { .. } | Self::IndexBusy { .. } | Self::Unproven { .. } => Advice::Repeat,
            Self::StoreMissing { .. }
            | Self::Foreign { .. }
            | Self::InvalidLocation { .. }
            | Self::WorkflowMissing { .. }
            | Self::GenerationMissing { .. }
            | Self::InvalidId(_)
            | Self::InvalidLeaseId(_)
            | Self::Document { .. }
            | Self::OtherType { .. }
            | Self::TooMuch { .. }
            | Self::InvalidField { .. }
            | Self::Corrupt { .. }
            | Self::HeadHurt { .. }
            | Self::Format { .. }
            | Self::Unreadable(_)
            | Self::MissingFeatures { .. }
            | Self::Environment(_)
            | Self::Storage(_)
            | Self::UnsafeStorage { .. }
            | Self::Cancelled
            | Self::ShutDown
            | Self::Internal(_) => Advice::Stop,
        }
    }
}

impl Conflict {
    fn advice(&self) -> Advice {
        match self.cause() {
            Self::Version { .. } | Self::Exists { .. } | Self::DeletedMeanwhile { .. } => Advice::Reload,
            Self::Locked { .. } | Self::AlreadyLocked { .. } | Self::Busy { .. } => Advice::Repeat,
            // The edit is met by every load, and a lease that is lost does not come back.
            Self::ModifiedOutside { .. } | Self::LeaseLost { .. } | Self::Unresolved { .. } => Advice::Stop,
        }
    }
}

#[cfg(test)]
mod tests {
    use pflow_backend::{Error as StorageError, ErrorKind};

    use super::*;
    use crate::conflict::ExpectedVersion;
    use crate::{
        conflict::{Found, Obstacle},
        format::WorkflowId,
    };

    #[test]
    fn storage_errors_are_repeated_while_they_may_pass() {
        for (kind, advice) in [
            (ErrorKind::Busy, Advice::Repeat),
            (ErrorKind::Unavailable, Advice::Repeat),
            (ErrorKind::Exhausted, Advice::Repeat),
            (ErrorKind::Io, Advice::Repeat),
            (ErrorKind::Denied, Advice::Stop),
            (ErrorKind::Corrupt, Advice::Stop),
            (ErrorKind::Poisoned, Advice::Stop),
            (ErrorKind::InvalidInput, Advice::Stop),
        ] {
            assert_eq!(Error::Storage(StorageError::not_applied(kind, "x")).advice(), advice, "{kind:?}");
            let (what, source) = ("a save".to_owned(), StorageError::unknown(kind, "x"));
            assert_eq!(Error::OutcomeUnknown { what, source }.advice(), Advice::Read, "{kind:?}");
        }
    }

    #[test]
    fn conflict_that_a_resolver_left_is_advised_as_itself() {
        let id = WorkflowId::parse("a").unwrap();
        let found = Found::new(None);
        let conflict = Conflict::Version { id: id.clone(), expected: ExpectedVersion::Generation(1), found };
        let unresolved = Conflict::Unresolved {
            conflict: Box::new(conflict.clone()),
            obstacle: Obstacle::Endless { answers: 100 },
        };
        for conflict in [conflict, unresolved] {
            assert_eq!(Error::from(conflict).advice(), Advice::Reload);
        }
        assert_eq!(Error::from(Conflict::Busy { id, attempts: 100 }).advice(), Advice::Repeat);
    }

    #[test]
    fn what_passes_by_itself_is_repeated() {
        let place = "s3://x".to_owned();
        for (error, advice) in [
            (Error::IndexBusy { attempts: 1 }, Advice::Repeat),
            (Error::Unproven { place: place.clone(), unclear: Vec::new() }, Advice::Repeat),
            (Error::UnsafeStorage { place, broken: Vec::new() }, Advice::Stop),
            (Error::Cancelled, Advice::Stop),
        ] {
            assert_eq!(error.advice(), advice, "{error}");
        }
    }
}
