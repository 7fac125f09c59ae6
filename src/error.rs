use pflow_backend::{EnvironmentError, ErrorKind as StorageErrorKind, Outcome};

use crate::{
    conflict::Conflict,
    document::DocumentError,
    format::{FormatError, InvalidId, InvalidLeaseId, LeaseId, WorkflowId, keys},
    merge::TooMuch,
    remedy::Remedy,
};

/// A result of this crate, unless another type of error is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the store could not do. [`kind`](Error::kind) says what a caller can do about it,
/// [`remedy`](Error::remedy) what helps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no store at the place. Create it with [`crate::Store::init`].
    #[error("there is no store at {location}")]
    StoreMissing {
        /// The place as it was given.
        location: String,
    },
    /// Something else lives there. It was not touched.
    #[error("{location} is not a store of ours: {reason}")]
    Foreign {
        /// The place as it was given.
        location: String,
        /// What tells.
        reason: String,
    },
    /// The place cannot be understood.
    #[error("{url:?} is no store: {reason}")]
    InvalidLocation {
        /// As it was given.
        url: String,
        /// Why.
        reason: String,
    },
    /// No workflow has this id, or it is deleted.
    #[error("there is no workflow {id}{}", if *.deleted { ": it is deleted" } else { "" })]
    WorkflowMissing {
        /// The workflow.
        id: WorkflowId,
        /// Whether there was one.
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
        /// What was asked for.
        generation: u64,
        /// Why there is none.
        why: NoContent,
    },
    /// A name that cannot be an id.
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    /// A text that cannot be a lease id.
    #[error(transparent)]
    InvalidLeaseId(#[from] InvalidLeaseId),
    /// The document is not a workflow that can be kept.
    #[error("the document for {id} is refused: {source}")]
    Document {
        /// The workflow that it was meant for.
        id: WorkflowId,
        /// The reason and the place.
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
    /// The documents of a workflow are too large to be compared. Saving them is not affected.
    #[error("what changed in {id} is not shown: {source}")]
    TooMuch {
        /// The workflow.
        id: WorkflowId,
        /// In which way.
        source: TooMuch,
    },
    /// A name, description, tag or message is too long or empty.
    #[error("{field}: {reason}")]
    InvalidField {
        /// Which.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// The change is possible, but not on top of what is there now.
    #[error(transparent)]
    Conflict(#[from] Box<Conflict>),
    /// A lease was not renewed for as long as it lasts, because this process, the machine or the storage
    /// stood still. It may be held still, or not: the guard renews it now, and refuses until it has.
    #[error(
        "whether the lease {lease_id} on {id} is still held is not certain: it was not renewed for {silent:?}"
    )]
    LeaseUncertain {
        /// The workflow.
        id: WorkflowId,
        /// The lease.
        lease_id: LeaseId,
        /// For how long it was not renewed.
        silent: std::time::Duration,
    },
    /// What is stored contradicts itself.
    #[error("{key} is corrupt: {reason}")]
    Corrupt {
        /// The object, or the place in it.
        key: String,
        /// What contradicts what.
        reason: String,
    },
    /// Versions are there that the head of their workflow must have reached once: the head was removed, or
    /// replaced by an older state. Nothing is saved over it until [`crate::Store::repair`] has moved it.
    #[error("the head of {id} is hurt: {reason}")]
    HeadHurt {
        /// The workflow.
        id: WorkflowId,
        /// What the head says, and which versions contradict it.
        reason: String,
    },
    /// An object has not the form that it should have.
    #[error("{key} cannot be read: {source}")]
    Format {
        /// The object.
        key: String,
        /// What is wrong with it.
        source: FormatError,
    },
    /// The store needs capabilities that this program does not have.
    #[error("the store needs {}, which this program does not know", .features.join(", "))]
    MissingFeatures {
        /// Their names.
        features: Vec<String>,
    },
    /// The system gives no randomness.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The storage failed. Nothing that was asked for happened.
    #[error("{0}")]
    Storage(#[source] pflow_backend::Error),
    /// The storage failed in a way that leaves open whether the change happened. Read before you repeat it.
    #[error("whether {what} happened is unknown: {source}")]
    OutcomeUnknown {
        /// What was being done.
        what: String,
        /// What failed.
        source: pflow_backend::Error,
    },
    /// Somebody else was rewriting the index each time that we tried. The workflows are safe.
    #[error("the index changed {attempts} times while it was being written")]
    IndexBusy {
        /// How often it was tried.
        attempts: u32,
    },
    /// The storage was probed and breaks promises that a store stands on. Nothing of a store was written
    /// there.
    #[error("{place} does not keep what a store needs: {}", .broken.join("; "))]
    UnsafeStorage {
        /// The storage, as [`StorageBackend::place`](pflow_backend::StorageBackend::place) names it.
        place: String,
        /// What it did instead, one sentence for each promise, with the name of the check in brackets.
        broken: Vec<String>,
    },
    /// The storage was probed, and whether it keeps what a store needs is not known, because replies were
    /// lost or requests landed late. Nothing of a store was written there. A store that is open gives
    /// this error to all its writers for a minute before it probes again.
    #[error("whether {place} keeps what a store needs is not known: {}", .unclear.join("; "))]
    Unproven {
        /// The storage, as [`StorageBackend::place`](pflow_backend::StorageBackend::place) names it.
        place: String,
        /// Why, one sentence for each promise, with the name of the check in brackets.
        unclear: Vec<String>,
    },
    /// The caller cancelled.
    #[error("cancelled before anything was changed")]
    Cancelled,
    /// An operation broke a rule of its own flow. That is a defect of this program.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Why a generation has no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoContent {
    /// The chain never had it.
    Never,
    /// It was removed, as a retention rule said.
    Pruned,
    /// It says that the workflow is deleted; the one before it has the content.
    Deletion,
}

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Mend the call.
    Usage,
    /// Mend the document or the id.
    Refused,
    /// Create it, or look elsewhere.
    NotFound,
    /// Wait for the lock, or acquire it again.
    Locked,
    /// Look at what is there now, then decide.
    Conflict,
    /// Do not write. Verify, and restore from a copy.
    Corrupt,
    /// Use another storage.
    Unsafe,
    /// Read, then decide whether to repeat.
    OutcomeUnknown,
    /// Use a newer program.
    Incompatible,
    /// It was the caller's wish.
    Cancelled,
    /// Nothing changed; the message says why.
    Failed,
}

impl Error {
    /// What a caller can do about it.
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
            Self::LeaseUncertain { .. } => ErrorKind::Locked,
            Self::OutcomeUnknown { .. } => ErrorKind::OutcomeUnknown,
            Self::UnsafeStorage { .. } => ErrorKind::Unsafe,
            Self::Cancelled => ErrorKind::Cancelled,
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

    /// What helps, where something is known to.
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
            Self::Format { .. } | Self::MissingFeatures { .. } => Remedy::UseNewer,
            Self::OutcomeUnknown { .. } => Remedy::LookBeforeRepeating,
            Self::UnsafeStorage { .. } => Remedy::OtherStorage,
            Self::LeaseUncertain { .. } => Remedy::AwaitRenewal,
            Self::Unproven { .. } => Remedy::RepeatWhenReliable,
            Self::IndexBusy { .. } => Remedy::RepeatForIndex,
            Self::Storage(source) => return Remedy::of_storage(source),
            _ => return None,
        })
    }

    /// Whether one object is damaged, not what it should be, or cannot be read, while the others can. A
    /// reader of many goes on. A newer format is no damage, and what a newer program wrote must not be taken
    /// for lost.
    pub(crate) fn is_of_one_object(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::HeadHurt { .. } => true,
            Self::Format { source, .. } => !source.is_newer(),
            Self::Storage(source) => source.is_of_one_object(),
            _ => false,
        }
    }

    /// The same for an object that a newer program wrote as well. For lists, which name such an object and go
    /// on; what must cover all objects is not written where one is newer.
    pub(crate) fn spares_others(&self) -> bool {
        self.is_of_one_object() || self.kind() == ErrorKind::Incompatible
    }

    /// Whether it surely changed nothing and a moment may make a difference. Not after a wait for somebody
    /// else's lock: that was the moment.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Storage(source) if source.is_transient() && source.kind() != StorageErrorKind::Busy)
    }

    /// That nobody knows whether `what` happened: because of `doubt`, or else because `error` ended the
    /// search for the answer.
    pub(crate) fn in_doubt(what: String, doubt: Option<pflow_backend::Error>, error: Self) -> Self {
        let source = match (doubt, error) {
            (_, unknown @ Self::OutcomeUnknown { .. }) => return unknown,
            (Some(doubt), _) => doubt,
            (None, Self::Storage(source)) => source,
            (None, other) => {
                let why = format!("an answer got lost, and then: {other}");
                pflow_backend::Error::new(StorageErrorKind::Unavailable, why)
            }
        };
        Self::OutcomeUnknown { what, source }
    }

    /// A failed commit of `what`, told apart by its outcome.
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
