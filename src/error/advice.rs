use pflow_backend::ErrorKind as StorageErrorKind;

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
    /// Nothing was changed, and the same call can succeed later. Pause, then repeat it.
    Repeat,
    /// The change may have been made, or may still be made. Read the workflow, then decide.
    Read,
    /// Neither loading again nor repeating helps: the call is wrong, or a person has to do something first
    /// ([`Error::remedy`]). Nothing was changed.
    Stop,
}

impl Error {
    /// Returns what a program does next. A loop that follows it never spins: what is met again by loading, such
    /// as a person's edit or damage, is [`Advice::Stop`].
    pub fn advice(&self) -> Advice {
        match self {
            Self::OutcomeUnknown { .. } => Advice::Read,
            Self::Conflict(conflict) => conflict.advice(),
            // The guard renews it, or learns that it is lost.
            Self::LeaseUncertain { .. } | Self::IndexBusy { .. } | Self::Unproven { .. } => Advice::Repeat,
            Self::Storage(source) => match source.kind() {
                StorageErrorKind::Busy | StorageErrorKind::Unavailable => Advice::Repeat,
                _ => Advice::Stop,
            },
            _ => Advice::Stop,
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
