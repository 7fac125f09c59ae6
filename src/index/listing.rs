use std::sync::Arc;

use super::Entry;
use crate::{Error, ErrorKind, flow::with_causes, format::WorkflowId};

/// The answer to a [`Query`](super::Query).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The workflows that match, in the order that the query asks for.
    pub workflows: Vec<Arc<Entry>>,
    /// Workflows that may have changed and cannot be read now, in the order of their ids. Whether they match
    /// is not known, so every answer has them. An entry of one of them among the `workflows` is what was
    /// known before.
    pub unreadable: Vec<Unreadable>,
}

/// A workflow that is there and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The workflow.
    pub id: WorkflowId,
    /// What a caller can do about it: [`ErrorKind::Incompatible`] if a newer program wrote it,
    /// [`ErrorKind::Failed`] if the system does not let this process read it, else it is damaged.
    pub kind: ErrorKind,
    /// Why.
    pub reason: String,
}

impl Unreadable {
    pub(crate) fn new(id: WorkflowId, error: &Error) -> Self {
        Self { id, kind: error.kind(), reason: with_causes(error) }
    }

    /// Whether a newer program wrote it, so that it is no damage.
    pub fn is_newer(&self) -> bool {
        self.kind == ErrorKind::Incompatible
    }

    /// Whether it is damaged, as any program of any user finds it.
    pub fn is_damaged(&self) -> bool {
        !matches!(self.kind, ErrorKind::Incompatible | ErrorKind::Failed)
    }
}
