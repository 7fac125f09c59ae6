use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::Case;
use crate::{Result, format::WorkflowId};

/// Decides what happens to a change that has a conflict. The resolver may be a person, a rule or another
/// program.
///
/// It is called once for each conflict and may be called again: when a wait is over, when its resolution
/// could not be carried out ([`Case::obstacle`] says why), and when the workflow has changed meanwhile,
/// because an answer is valid only for the state that was shown. After 100 answers (not counting waits that
/// saw the lock change hands) the conflict is reported.
///
/// Invariant that no resolver can break: no version is lost. An overridden version is the parent of the one
/// that is saved, a person's edit of the working copy becomes a version before anything is written over it,
/// and a lease is taken away only in the swap that also raises the fence.
///
/// ```
/// use pflow_store::{Conflict, conflict::{Case, ConflictResolver, Resolution}};
/// use pflow_store::backend::async_trait;
///
/// /// Merges the changes of other writers, and keeps their deletions.
/// #[derive(Debug)]
/// struct Careful;
///
/// #[async_trait]
/// impl ConflictResolver for Careful {
///     async fn resolve(&self, case: &Case) -> pflow_store::Result<Resolution> {
///         Ok(match case.conflict() {
///             Conflict::Version { .. } if case.obstacle().is_none() => Resolution::Merge,
///             _ => Resolution::Cancel,
///         })
///     }
/// }
/// ```
#[async_trait]
pub trait ConflictResolver: Debug + Send + Sync {
    /// Returns the resolution.
    ///
    /// # Errors
    /// Nothing is changed, and the caller gets the error: the data of the case could not be read, or no
    /// person was available to answer.
    async fn resolve(&self, case: &Case) -> Result<Resolution>;
}

/// A resolver that several requests share.
#[async_trait]
impl<R: ConflictResolver + ?Sized> ConflictResolver for Arc<R> {
    async fn resolve(&self, case: &Case) -> Result<Resolution> {
        self.as_ref().resolve(case).await
    }
}

/// What to do about a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// Wait until the lock ends or changes hands, at most `limit`, and check again. Waiters of one process,
    /// savers or not, are served in the order of their arrival. Only for [`super::Conflict::Locked`]; a limit
    /// of zero is like [`Resolution::Cancel`].
    Wait {
        /// The longest wait.
        limit: Duration,
    },
    /// Proceed anyway. The current version becomes the parent, a person's edit becomes a version first, and a
    /// live lease of another client is taken away in the same swap. The caller's own lost lease cannot be
    /// overridden.
    Override,
    /// Change nothing; the caller gets the conflict.
    Cancel,
    /// Drop ours; the result is the current version. A person's edit becomes a version. Not for a lock,
    /// because there is no other version yet.
    TakeTheirs,
    /// Save ours as a new workflow, without the lease that was named or requested. Only for saves.
    KeepBoth {
        /// The id; by default the first `<id>-conflict-<n>` that is free or has the same content.
        id: Option<WorkflowId>,
    },
    /// Save the merge of both sides, relative to their common ancestor. It fails if both sides changed the
    /// same place differently, and does not apply to a lock. Only for saves.
    Merge,
}

impl Resolution {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Wait { .. } => "to wait",
            Self::Override => "to override",
            Self::Cancel => "to cancel",
            Self::TakeTheirs => "to take theirs",
            Self::KeepBoth { .. } => "to keep both",
            Self::Merge => "to merge",
        }
    }
}
