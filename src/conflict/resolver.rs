use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;

use super::Case;
use crate::{Result, format::WorkflowId};

/// Decides what becomes of a change that meets a conflict: a person, a rule, another program.
///
/// It is asked once for each conflict and may be asked again: when a wait is over, when what it chose could
/// not be done ([`Case::obstacle`] says why), and when the workflow moved on meanwhile, because an answer
/// holds for what was seen alone. After 100 answers (waits that saw the lock change hands not counted) the
/// conflict is reported.
///
/// Invariant that no resolver can break: nobody's version is lost. Whatever is overridden is the parent of
/// what is saved, a person's edit of `workflow.json` becomes a version before anything is written over it,
/// and a lease is taken away only in the swap that also raises the fence.
///
/// ```
/// use pflow_store::conflict::{Case, Conflict, ConflictResolver, Resolution};
/// use pflow_store::pflow_backend::async_trait;
///
/// /// Merges what others changed, and never touches what they deleted.
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
    /// What to do.
    ///
    /// # Errors
    /// Nothing is changed, and the caller gets the error: what the case was asked for could not be read, or
    /// nobody was there to answer.
    async fn resolve(&self, case: &Case) -> Result<Resolution>;
}

/// What to do about a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// Wait until the lock ends or changes hands, at most so long, and look again. Those of one process who
    /// wait for a lock, savers or not, are served in the order in which they came. For
    /// [`super::Conflict::Locked`] alone; none at all is like [`Resolution::Cancel`].
    Wait {
        /// The longest wait.
        limit: Duration,
    },
    /// Go on in spite of it. Whatever version is there becomes the parent, a person's edit becomes a version
    /// first, and a live lease of somebody else is taken away in the same swap. A lease of the caller's own
    /// that is lost cannot be overridden.
    Override,
    /// Change nothing; the conflict is the answer.
    Cancel,
    /// Drop ours; what is there is the answer. A person's edit that is there becomes a version. Not for a
    /// lock, under which nothing is there yet.
    TakeTheirs,
    /// Save ours as a new workflow, without the lease that was named or wanted. Saves alone can be kept so.
    KeepBoth {
        /// Its id; unless given `<id>-conflict-<n>`, the first that is free or has this very content.
        id: Option<WorkflowId>,
    },
    /// Save what both sides made of their common ancestor. Not where both changed the same place differently,
    /// and not for a lock. Saves alone can be merged.
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
