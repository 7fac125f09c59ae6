//! The error of the store.

mod advice;
mod kind;
mod unreadable;

use pflow_backend::{EnvironmentError, ErrorKind as StorageErrorKind, Outcome};

use crate::{
    conflict::Conflict,
    document::DocumentError,
    format::{FormatError, InvalidId, InvalidLeaseId, LeaseId, WorkflowId, keys},
    merge::TooMuch,
    remedy::Remedy,
};

pub use advice::Advice;
pub use kind::ErrorKind;
pub use unreadable::Unreadable;

/// A result of this crate, unless another type of error is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the store. [`kind`](Error::kind) tells what a caller can do about it, and
/// [`remedy`](Error::remedy) what resolves it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no store at the location. Create it with [`crate::StoreBuilder::init`].
    #[error("there is no store at {location}")]
    StoreMissing {
        /// The location as given.
        location: String,
    },
    /// The location contains something else. It was not changed.
    #[error("{location} is not a store of ours: {reason}")]
    Foreign {
        /// The location as given.
        location: String,
        /// How it was recognised.
        reason: String,
    },
    /// The location is not valid.
    #[error("{url:?} is no store: {reason}")]
    InvalidLocation {
        /// The location as given.
        url: String,
        /// Why.
        reason: String,
    },
    /// No workflow has this id, or it is deleted.
    #[error("there is no workflow {id}{}", if *.deleted { ": it is deleted" } else { "" })]
    WorkflowMissing {
        /// The workflow.
        id: WorkflowId,
        /// Whether the workflow existed.
        deleted: bool,
    },
    /// This generation has no content.
    #[error("{}", match .why {
        NoContent::Never => format!("{id} has no generation {generation}"),
        NoContent::Pruned => format!("generation {generation} of {id} is not there any more: its content was pruned"),
        NoContent::Deletion => format!("generation {generation} of {id} is a deletion and has no content"),
    })]
    GenerationMissing {
        /// The workflow.
        id: WorkflowId,
        /// The requested generation.
        generation: u64,
        /// Why it has no content.
        why: NoContent,
    },
    /// The text is not a valid workflow id.
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    /// The text is not a valid lease id.
    #[error(transparent)]
    InvalidLeaseId(#[from] InvalidLeaseId),
    /// The document is not a workflow that the store accepts.
    #[error("the document for {id} is refused: {source}")]
    Document {
        /// The workflow that the document is for.
        id: WorkflowId,
        /// The reason and its position in the document.
        source: DocumentError,
    },
    /// The content is a workflow, but not of the type that the caller reads it as.
    #[error("generation {generation} of {id} has another form at line {line}, column {column}: {reason}")]
    OtherType {
        /// The workflow.
        id: WorkflowId,
        /// The generation that was read.
        generation: u64,
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1; 0 if the line has ended before.
        column: usize,
        /// What the type requires there. It does not repeat values of the document.
        reason: String,
    },
    /// The documents of a workflow are too large to compare. Saving them is not affected.
    #[error("what changed in {id} is not shown: {source}")]
    TooMuch {
        /// The workflow.
        id: WorkflowId,
        /// Which limit is exceeded.
        source: TooMuch,
    },
    /// A name, description, tag or message is too long or empty.
    #[error("{field}: {reason}")]
    InvalidField {
        /// The field.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// The change is valid, but does not fit on top of the stored state.
    #[error(transparent)]
    Conflict(#[from] Box<Conflict>),
    /// A lease was not renewed for its whole duration, because this process or the machine was suspended, or
    /// the storage did not answer. It may or may not still be held: the guard is renewing it now, and refuses
    /// until that succeeds.
    #[error(
        "whether the lease {lease_id} on {id} is still held is not certain: it was not renewed for {silent:?}"
    )]
    LeaseUncertain {
        /// The workflow.
        id: WorkflowId,
        /// The lease.
        lease_id: LeaseId,
        /// How long ago it was last renewed.
        silent: std::time::Duration,
    },
    /// The stored data contradicts itself.
    #[error("{key} is corrupt: {reason}")]
    Corrupt {
        /// The object, or the position in it.
        key: String,
        /// The contradiction.
        reason: String,
    },
    /// There are versions that the head of their workflow must have reached: the head was removed, or
    /// replaced by an older state. Nothing is saved over it until [`crate::Store::repair`] has moved it.
    #[error("the head of {id} is hurt: {reason}")]
    HeadHurt {
        /// The workflow.
        id: WorkflowId,
        /// The state of the head, and the versions that contradict it.
        reason: String,
    },
    /// An object does not have the expected format.
    #[error("{key} cannot be read: {source}")]
    Format {
        /// The object.
        key: String,
        /// The defect.
        source: FormatError,
    },
    /// A workflow of a list cannot be read. The other workflows are listed.
    #[error("{} cannot be read: {}", .0.id, .0.reason)]
    Unreadable(Unreadable),
    /// The store needs features that this program does not have.
    #[error("the store needs {}, which this program does not know", .features.join(", "))]
    MissingFeatures {
        /// The names of the features.
        features: Vec<String>,
    },
    /// The system provides no randomness.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The storage failed, and the change did not happen.
    #[error(transparent)]
    Storage(pflow_backend::Error),
    /// The storage failed, and it is unknown whether the change happened. Read before you repeat it.
    #[error("whether {what} happened is unknown: {source}")]
    OutcomeUnknown {
        /// The operation.
        what: String,
        /// The error of the storage.
        source: pflow_backend::Error,
    },
    /// Other writers changed the index at every attempt. The workflows are not affected.
    #[error("the index changed {attempts} times while it was being written")]
    IndexBusy {
        /// The number of attempts.
        attempts: u32,
    },
    /// A probe found that the storage breaks guarantees that a store needs. No data of a store was written
    /// there.
    #[error("{place} does not keep what a store needs: {}", .broken.join("; "))]
    UnsafeStorage {
        /// The storage, as [`StorageBackend::endpoint`](pflow_backend::StorageBackend::endpoint) names it.
        place: String,
        /// The violations, one sentence per guarantee, with the name of the check in brackets.
        broken: Vec<String>,
    },
    /// A probe could not determine whether the storage gives the guarantees that a store needs, because
    /// replies were lost or requests landed late. No data of a store was written there. An open store returns
    /// this error to all its writers for a minute before it probes again.
    #[error("whether {place} keeps what a store needs is not known: {}", .unclear.join("; "))]
    Unproven {
        /// The storage, as [`StorageBackend::endpoint`](pflow_backend::StorageBackend::endpoint) names it.
        place: String,
        /// The reasons, one sentence per guarantee, with the name of the check in brackets.
        unclear: Vec<String>,
    },
    /// The caller cancelled.
    #[error("cancelled before anything was changed")]
    Cancelled,
    /// The store was shut down with [`crate::Store::shutdown`] before the change began, or while it waited for
    /// a lock or for a resolver. Nothing was changed. Open the store again for more changes.
    #[error("the store was shut down before anything was changed")]
    ShutDown,
    /// An operation violated a rule of its own flow: a defect of this program.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Why a generation has no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoContent {
    /// The chain never had this generation.
    Never,
    /// The content was pruned by a retention rule.
    Pruned,
    /// The generation is a deletion; the previous one has the content.
    Deletion,
}

impl Error {
    /// Returns what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidLocation { .. } | Self::InvalidField { .. } | Self::InvalidLeaseId(_) => {
                ErrorKind::Usage
            }
            Self::InvalidId(_) | Self::Document { .. } | Self::OtherType { .. } | Self::TooMuch { .. } => {
                ErrorKind::Refused
            }
            Self::StoreMissing { .. } | Self::WorkflowMissing { .. } | Self::GenerationMissing { .. } => {
                ErrorKind::NotFound
            }
            Self::Conflict(conflict) if conflict.is_about_a_lock() => ErrorKind::Locked,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::Format { source, .. } if source.is_newer() => ErrorKind::Incompatible,
            Self::MissingFeatures { .. } => ErrorKind::Incompatible,
            Self::Corrupt { .. } | Self::HeadHurt { .. } | Self::Format { .. } => ErrorKind::Corrupt,
            Self::Unreadable(unreadable) => unreadable.kind,
            Self::LeaseUncertain { .. } => ErrorKind::Locked,
            Self::OutcomeUnknown { .. } => ErrorKind::OutcomeUnknown,
            Self::UnsafeStorage { .. } => ErrorKind::Unsafe,
            Self::Cancelled | Self::ShutDown => ErrorKind::Cancelled,
            Self::Storage(source) => match source.kind() {
                StorageErrorKind::Missing => ErrorKind::NotFound,
                StorageErrorKind::Corrupt => ErrorKind::Corrupt,
                StorageErrorKind::Unsafe | StorageErrorKind::Unsupported => ErrorKind::Unsafe,
                StorageErrorKind::Incompatible => ErrorKind::Incompatible,
                _ => ErrorKind::Failed,
            },
            Self::Foreign { .. }
            | Self::Environment(_)
            | Self::IndexBusy { .. }
            | Self::Unproven { .. }
            | Self::Internal(_) => ErrorKind::Failed,
        }
    }

    /// Returns what resolves the error, if that is known.
    pub fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::StoreMissing { .. } => Remedy::CreateStore,
            Self::Foreign { .. } => Remedy::OtherPlace,
            Self::WorkflowMissing { id, deleted: true } => Remedy::Undelete { id: id.clone() },
            Self::WorkflowMissing { .. } => Remedy::List,
            Self::GenerationMissing { id, generation, why: NoContent::Deletion } => {
                Remedy::LoadGeneration { id: id.clone(), generation: generation.saturating_sub(1) }
            }
            Self::GenerationMissing { id, .. } => Remedy::Show { id: id.clone() },
            Self::InvalidId(_) => Remedy::ChooseId,
            Self::InvalidLeaseId(_) => Remedy::FindLease,
            Self::Document { .. } => Remedy::CorrectDocument,
            Self::Conflict(conflict) => conflict.remedy(),
            Self::Corrupt { key, .. } | Self::Format { key, .. }
                if self.kind() == ErrorKind::Corrupt && key == keys::CONFIG =>
            {
                Remedy::RepairConfig
            }
            Self::HeadHurt { .. } => Remedy::RepairHeads,
            Self::Corrupt { .. } | Self::Format { .. } if self.kind() == ErrorKind::Corrupt => Remedy::Verify,
            Self::Unreadable(unreadable) => return unreadable.remedy.clone(),
            Self::Format { .. } | Self::MissingFeatures { .. } => Remedy::UseNewer,
            Self::OutcomeUnknown { .. } => Remedy::LookBeforeRepeating,
            Self::UnsafeStorage { .. } => Remedy::OtherStorage,
            Self::LeaseUncertain { .. } => Remedy::AwaitRenewal,
            Self::Unproven { .. } => Remedy::RepeatWhenReliable,
            Self::IndexBusy { .. } => Remedy::RepeatForIndex,
            Self::ShutDown => Remedy::OpenAgain,
            Self::Storage(source) => return Remedy::of_storage(source),
            _ => return None,
        })
    }

    /// Whether one object is damaged, of the wrong kind, or unreadable, while others can be read. A reader of
    /// many objects continues. A newer format is not damage: what a newer program wrote must not be treated
    /// as lost.
    pub(crate) fn is_of_one_object(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::HeadHurt { .. } => true,
            Self::Format { source, .. } => !source.is_newer(),
            Self::Storage(source) => source.is_of_one_object(),
            _ => false,
        }
    }

    /// Like [`is_of_one_object`](Self::is_of_one_object), but includes an object that a newer program wrote.
    /// For lists, which name such an object and continue. An object that must cover all others, such
    /// as an index, is not written if one of them is newer.
    pub(crate) fn spares_others(&self) -> bool {
        self.is_of_one_object() || self.kind() == ErrorKind::Incompatible
    }

    /// Whether the operation certainly changed nothing and a retry may succeed. A wait for another client's
    /// lock that timed out is not retried: it has waited already.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Storage(source) if source.is_transient() && source.kind() != StorageErrorKind::Busy)
    }

    /// Returns the error that it is unknown whether `what` happened: because of `doubt`, or else because
    /// `error` prevented settling it.
    pub(crate) fn in_doubt(what: String, doubt: Option<pflow_backend::Error>, error: Self) -> Self {
        let source = match (doubt, error) {
            (_, unknown @ Self::OutcomeUnknown { .. }) => return unknown,
            (Some(doubt), _) => doubt,
            (None, Self::Storage(source)) => source.with_outcome(Outcome::Unknown),
            (None, other) => {
                let why = format!("an answer got lost, and then: {other}");
                pflow_backend::Error::unknown(StorageErrorKind::Unavailable, why)
            }
        };
        Self::OutcomeUnknown { what, source }
    }

    /// Returns the error of a failed commit of `what`, according to its outcome.
    pub(crate) fn of_commit(what: impl FnOnce() -> String, source: pflow_backend::Error) -> Self {
        match source.outcome() {
            Outcome::NotApplied { .. } => Self::Storage(source),
            Outcome::Unknown => Self::OutcomeUnknown { what: what(), source },
        }
    }
}

impl From<Conflict> for Error {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(Box::new(conflict))
    }
}
