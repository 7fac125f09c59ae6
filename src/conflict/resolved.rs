use std::time::Duration;

use crate::format::{Lease, WorkflowId};

/// How a conflict ended whose change was made in spite of it, or was not needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// What decided it, for the last of several conflicts; none if the only conflict was a lock that ended by
    /// itself.
    pub how: Option<How>,
    /// How long the change waited for locks of other clients.
    pub waited: Duration,
    /// A live lease of another client that the change took away. Its holder cannot write any more.
    pub broken: Option<Lease>,
    /// The generation that now keeps a person's edit of the working copy.
    pub kept_edit: Option<u64>,
}

/// What decided a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// Ours was saved on top of theirs, which is its parent.
    Ours,
    /// The document of the caller was dropped. The result is the current version.
    Theirs,
    /// Both sides were merged into one document. It may equal the current version.
    Merged,
    /// Ours was saved under another id, which the result names.
    KeptBoth {
        /// The workflow that it was meant for. That workflow was not changed.
        instead_of: WorkflowId,
    },
    /// The only conflict was a lock, and it was broken.
    Overridden,
}

impl How {
    /// The name for programs: `ours`, `theirs`, `merged`, `kept_both` or `overridden`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Theirs => "theirs",
            Self::Merged => "merged",
            Self::KeptBoth { .. } => "kept_both",
            Self::Overridden => "overridden",
        }
    }
}

impl Resolved {
    /// Returns this, or none if there was no conflict.
    pub(crate) fn if_any(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}
