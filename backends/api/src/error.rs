use std::{error::Error as StdError, fmt};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of a backend.
///
/// [`kind`](Error::kind) tells what a caller can do about it, [`outcome`](Error::outcome) whether a commit
/// may have happened. The message names the place and the operation; the cause is its
/// [`source`](StdError::source).
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
    /// The request violates the contract. Correct the caller.
    InvalidInput,
    /// This storage does not support the operation. Check its [`crate::Capabilities`] first.
    Unsupported,
    /// The place itself (folder, bucket) does not exist. Create it or use another one.
    Missing,
    /// Permissions, credentials or a read-only medium forbid it.
    Denied,
    /// Another client holds the storage for longer than the backend's patience, which its options set. The
    /// backend has waited that long, and the commit was not begun. So a store does not repeat it, and tells
    /// its own caller, who may try again later.
    Busy,
    /// No space, quota or descriptors are left. Make room and try again.
    Exhausted,
    /// A transient fault. Try again.
    Unavailable,
    /// Stored data contradicts itself. Do not write; read the message.
    Corrupt,
    /// The storage does not do what the contract requires (for example, a link in place of a folder, or a
    /// lock that does not exclude). Use another place.
    Unsafe,
    /// A newer program stores something here that this one does not know. Use that program.
    Incompatible,
    /// An earlier failure left the storage in an unknown state, and this handle refuses to write. Open it
    /// again.
    Poisoned,
    /// Any other I/O failure. The source has the details.
    Io,
}

/// Whether a commit that failed may have happened nevertheless. Reads always have [`Outcome::NotApplied`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did not happen: no part of it is visible, now or later, except the first `applied` stages, and
    /// parts of the following stage if `applied` is not 0 or the backend has no
    /// [`crate::Capabilities::atomic_batch`].
    NotApplied {
        /// The number of stages that were applied and stay. Always 0 with `atomic_batch`.
        applied: usize,
    },
    /// Any part of it may have happened, may still happen, or may be undone by a crash. Read before any
    /// decision.
    ///
    /// The kind says why it is not known: mostly [`ErrorKind::Unavailable`], [`ErrorKind::Io`] or
    /// [`ErrorKind::Exhausted`], and others if a later step failed with them, for example
    /// [`ErrorKind::Denied`] when the reply was lost and the repeated request refused. It is never
    /// [`ErrorKind::Busy`], [`ErrorKind::Unsupported`] or [`ErrorKind::Incompatible`], and what
    /// [`crate::Batch::check`] refuses is not unknown either: these say that the commit was not begun.
    Unknown,
}

impl Error {
    /// An error of a read, or of a commit of which certainly nothing happened and nothing will. `message` is
    /// a sentence without a full stop that names the place.
    ///
    /// IMPORTANT: callers repeat such a commit. If there is any doubt, such as a reply that was lost or a
    /// COMMIT of a database that failed, it is [`unknown`](Self::unknown).
    pub fn not_applied(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::new(Outcome::NotApplied { applied: 0 }, kind, message.into())
    }

    /// An error of a commit that may have happened, or may still happen. Never of a read. `message` is as in
    /// [`not_applied`](Self::not_applied).
    pub fn unknown(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::new(Outcome::Unknown, kind, message.into())
    }

    fn new(outcome: Outcome, kind: ErrorKind, message: String) -> Self {
        let inner = Inner { kind, outcome, of_one_object: false, message, hint: None, source: None };
        Self(Box::new(inner))
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds a hint for a person: one imperative sentence, with the command to run.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Changes the outcome, for a layer that knows more of the commit than the one that failed below it.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Marks the cause as one of the requested object alone, such as a bad block or a file of another user,
    /// so that other objects can be read.
    #[must_use]
    pub fn of_one_object(mut self) -> Self {
        self.0.of_one_object = true;
        self
    }

    /// The kind, which tells what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// A hint for a person, if the backend knows more than the kind tells.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether a commit may have happened nevertheless.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Whether the cause is the requested object alone. A caller that reads many objects reports such an
    /// object and continues.
    ///
    /// IMPORTANT: of the kinds, only [`ErrorKind::Corrupt`] implies this. [`ErrorKind::InvalidInput`] is also
    /// that of wrong settings, and [`ErrorKind::Unsafe`] that of a storage whose listings are out of order: a
    /// caller that took these for damage of one object would go on with a part of the objects.
    pub fn is_of_one_object(&self) -> bool {
        self.0.of_one_object || self.0.kind == ErrorKind::Corrupt
    }

    /// Whether the same call may be repeated unchanged and may succeed soon. Never after an unknown outcome.
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
