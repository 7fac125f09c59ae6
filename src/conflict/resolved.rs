use std::time::Duration;

use crate::format::{Lease, WorkflowId};

/// What a change came to that met a conflict and was made all the same, or was not needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// What decided it, the last of several conflicts; none if nothing was in the way but a lock that ended
    /// by itself.
    pub how: Option<How>,
    /// How long locks of others were waited for.
    pub waited: Duration,
    /// Somebody else's live lease that the change took away. Its holder cannot write any more.
    pub broken: Option<Lease>,
    /// The generation that now keeps what a person had put into `workflow.json`.
    pub kept_edit: Option<u64>,
}

/// What decided a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// Ours was saved on top of theirs, which is its parent.
    Ours,
    /// Ours was dropped; the result is what is there.
    Theirs,
    /// Both went into one document. It may be what was there already.
    Merged,
    /// Ours was saved under another id, which the result is about.
    KeptBoth {
        /// The workflow that it was meant for. It was left as it is.
        instead_of: WorkflowId,
    },
    /// Nothing but a lock was in the way, and it was broken.
    Overridden,
}

impl How {
    /// The word that programs read: `ours`, `theirs`, `merged`, `kept_both` or `overridden`.
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
    /// This, unless nothing was in the way.
    pub(crate) fn if_any(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}
