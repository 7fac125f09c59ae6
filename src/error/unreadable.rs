use crate::{Error, ErrorKind, flow::with_causes, format::WorkflowId, remedy::Remedy};

/// A workflow that is there and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unreadable {
    /// The workflow.
    pub id: WorkflowId,
    /// What a caller can do about it: [`ErrorKind::Incompatible`] if a newer program wrote it,
    /// [`ErrorKind::Failed`] if the system does not let this process read it, else it is damaged.
    pub kind: ErrorKind,
    /// Why.
    pub reason: String,
    /// What resolves it, if that is known.
    pub remedy: Option<Remedy>,
}

impl Unreadable {
    pub(crate) fn new(id: WorkflowId, error: &Error) -> Self {
        Self { id, kind: error.kind(), reason: with_causes(error), remedy: error.remedy() }
    }

    /// Returns the error as this, if it is one about a workflow of its own.
    pub(crate) fn of(id: &WorkflowId, error: Error) -> Error {
        if error.spares_others() { Error::Unreadable(Self::new(id.clone(), &error)) } else { error }
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
