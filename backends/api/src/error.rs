use std::{error::Error as StdError, fmt};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What a backend could not do.
///
/// [`kind`](Error::kind) tells what a caller can do about it, [`outcome`](Error::outcome) whether a commit may have happened. The
/// message names the place and what was being done; the cause is its [`source`](StdError::source).
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    outcome: Outcome,
    of_one_object: bool,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request breaks the contract. Mend the caller.
    InvalidInput,
    /// This storage cannot do that. Ask its [`crate::Capabilities`] first.
    Unsupported,
    /// The place itself (folder, bucket) is not there. Create it or look elsewhere.
    Missing,
    /// Permissions, credentials or a read-only medium forbid it.
    Denied,
    /// Somebody else holds the storage for longer than the caller would wait. Try again later.
    Busy,
    /// No space, quota or descriptors are left. Make room and try again.
    Exhausted,
    /// A passing fault. Try again.
    Unavailable,
    /// What is stored contradicts itself. Do not write; look at the message.
    Corrupt,
    /// The storage does not do what the contract needs (a link in the way, a lock that does not lock). Use
    /// another place.
    Unsafe,
    /// A newer program keeps something here that this one does not know. Use that program.
    Incompatible,
    /// An earlier failure left the storage in doubt, and this handle refuses to write. Open it anew.
    Poisoned,
    /// Any other failure of the medium. The source says which.
    Io,
}

/// Whether a commit that failed may have happened all the same. Reads always say [`Outcome::NotApplied`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did not happen: nothing of it can be seen, now or later, but the first `applied` stages, and parts
    /// of the stage behind them if `applied` is not 0 or the backend has no
    /// [`crate::Capabilities::atomic_batch`].
    NotApplied {
        /// How many stages are in place for good. Always 0 with `atomic_batch`.
        applied: usize,
    },
    /// Any part of it may have happened, may happen yet, or may be undone by a crash. Read before you decide
    /// anything.
    Unknown,
}

impl Error {
    /// An error of something that did not happen. `message` is a sentence without a full stop that names the
    /// place.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let outcome = Outcome::NotApplied { applied: 0 };
        let (message, of_one_object) = (message.into(), false);
        Self(Box::new(Inner { kind, outcome, of_one_object, message, hint: None, source: None }))
    }

    /// Keeps what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds what a person can do about it: one imperative sentence, with the command to run.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Says what is left of the commit.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Says that the cause lies in the one object that was asked for, such as a bad block or a file of
    /// another user, so that other objects can be read.
    #[must_use]
    pub fn of_one_object(mut self) -> Self {
        self.0.of_one_object = true;
        self
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What a person can do about it, where the backend knows more than the kind tells.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether a commit may have happened all the same.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Whether the cause lies in the one object that was asked for. A caller that reads many names such an
    /// object and goes on.
    ///
    /// IMPORTANT: [`ErrorKind::InvalidInput`] alone does not say so. Wrong settings have that kind too, and an
    /// object that could not be asked for is not damaged.
    pub fn is_of_one_object(&self) -> bool {
        self.0.of_one_object || matches!(self.0.kind, ErrorKind::Unsafe | ErrorKind::Corrupt)
    }

    /// Whether the same call may be repeated as it is and may well succeed a moment later. Never after an
    /// unknown outcome.
    pub fn is_transient(&self) -> bool {
        let passing = matches!(
            self.0.kind,
            ErrorKind::Busy | ErrorKind::Unavailable | ErrorKind::Io | ErrorKind::Exhausted
        );
        passing && self.0.outcome != Outcome::Unknown
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("outcome", &self.0.outcome)
            .field("message", &self.0.message)
            .field("hint", &self.0.hint)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
