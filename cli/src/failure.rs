//! The failure of a command as its caller sees it: an exit code, a stable code word, a message and a hint.

use std::{error::Error as StdError, io};

use pflow_store::{Error, ErrorKind, document::DocumentError};

use super::{conflict::overlaps, documents::Places, hint, signal::Signal};

/// The result of a command.
pub(super) type Result<T> = std::result::Result<T, Failure>;

/// The exit codes, stable; see [the table](super).
pub(super) mod exit {
    pub(crate) const FAILED: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const BATCH: u8 = 3;
    pub(crate) const REFUSED: u8 = 5;
    pub(crate) const NOT_FOUND: u8 = 10;
    pub(crate) const LOCKED: u8 = 11;
    pub(crate) const CONFLICT: u8 = 13;
    pub(crate) const CORRUPT: u8 = 14;
    pub(crate) const UNSAFE: u8 = 15;
    pub(crate) const UNKNOWN: u8 = 16;
    pub(crate) const INCOMPATIBLE: u8 = 17;
    /// `lock run` itself failed. This code and the next two are those of `env`.
    pub(crate) const RUN_FAILED: u8 = 125;
    pub(crate) const NOT_RUNNABLE: u8 = 126;
    pub(crate) const NO_COMMAND: u8 = 127;
}

/// The code word if the command that `lock run` ran failed.
const COMMAND: &str = "command";

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// The code word of the kind, in snake case. It never changes.
    pub(super) code: &'static str,
    /// One of the codes in [`exit`].
    pub(super) exit: u8,
    /// What failed and why, with the chain of causes.
    pub(super) message: String,
    /// What a person can do about it.
    pub(super) hint: Option<String>,
    /// All defects of a document, if it has more than the one in the message.
    pub(super) details: Vec<String>,
    /// The places of a conflict, by path.
    pub(super) places: Option<Box<Places>>,
}

impl Failure {
    fn new(code: &'static str, exit: u8, message: impl Into<String>) -> Self {
        Self { code, exit, message: message.into(), hint: None, details: Vec::new(), places: None }
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new("failed", exit::FAILED, message)
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", exit::USAGE, message)
    }

    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::new("refused", exit::REFUSED, message)
    }

    pub(super) fn corrupt(message: impl Into<String>) -> Self {
        Self::new("corrupt", exit::CORRUPT, message)
    }

    pub(super) fn incompatible(message: impl Into<String>) -> Self {
        Self::new("incompatible", exit::INCOMPATIBLE, message)
    }

    pub(super) fn batch(message: impl Into<String>) -> Self {
        Self::new("batch", exit::BATCH, message)
    }

    /// The command that `lock run` ran ended with this code. It has printed its own message.
    pub(super) fn of_command(exit: u8) -> Self {
        Self::new(COMMAND, exit, format!("the command ended with {exit}"))
    }

    pub(super) fn is_of_command(&self) -> bool {
        self.code == COMMAND
    }

    /// The command of `lock run` could not be started.
    pub(super) fn not_started(command: impl std::fmt::Display, error: &io::Error) -> Self {
        let exit =
            if error.kind() == io::ErrorKind::NotFound { exit::NO_COMMAND } else { exit::NOT_RUNNABLE };
        Self::new("not_started", exit, format!("Failed to start {command}: {error}"))
    }

    pub(super) fn interrupted(signal: Signal, message: impl Into<String>) -> Self {
        Self::new("interrupted", signal.exit(), message)
    }

    /// Writing to stdout failed. After a change its result is then unknown to the caller.
    pub(super) fn unwritten(error: &io::Error, changed: bool) -> Self {
        let message = format!("Failed to write to standard output: {error}");
        if changed {
            Self::new("outcome_unknown", exit::UNKNOWN, format!("{message}; the change itself was made"))
        } else {
            Self::failed(message)
        }
    }

    /// The system refused an operation on a file of the caller.
    pub(super) fn file(verb: &str, file: impl std::fmt::Display, error: &io::Error) -> Self {
        Self::failed(format!("Failed to {verb} {file}: {error}"))
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        self
    }
}

/// Maps errors to exit codes. No other code does.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (code, exit) = match error.kind() {
            ErrorKind::Usage => ("usage", exit::USAGE),
            ErrorKind::Refused => ("refused", exit::REFUSED),
            ErrorKind::NotFound => ("not_found", exit::NOT_FOUND),
            ErrorKind::Locked => ("locked", exit::LOCKED),
            ErrorKind::Conflict => ("conflict", exit::CONFLICT),
            ErrorKind::Corrupt => ("corrupt", exit::CORRUPT),
            ErrorKind::Unsafe => ("unsafe", exit::UNSAFE),
            ErrorKind::OutcomeUnknown => ("outcome_unknown", exit::UNKNOWN),
            ErrorKind::Incompatible => ("incompatible", exit::INCOMPATIBLE),
            ErrorKind::Cancelled => ("interrupted", Signal::Interrupt.exit()),
            // A kind that a later library adds is a failure until it gets a code of its own.
            _ => ("failed", exit::FAILED),
        };
        let details = details(&error);
        let places = match &error {
            Error::Conflict(conflict) => Places::of(overlaps(conflict), &[]),
            _ => None,
        };
        Self { code, exit, message: with_causes(&error), hint: hint::of_error(&error), details, places }
    }
}

/// Returns all defects of a document, if there are more than the one in the message, or the overlaps of a
/// merge.
fn details(error: &Error) -> Vec<String> {
    if let Error::Conflict(conflict) = error {
        return overlaps(conflict).iter().map(ToString::to_string).collect();
    }
    let Error::Document { source: DocumentError::Invalid { defects, more }, .. } = error else {
        return Vec::new();
    };
    let mut lines: Vec<String> = defects.iter().map(ToString::to_string).collect();
    if *more > 0 {
        lines.push(format!("and {more} more"));
    }
    if lines.len() > 1 { lines } else { Vec::new() }
}

/// Joins the message and those of its causes. A cause is left out if the text before it contains it: some
/// messages end with the message of their cause.
pub(super) fn with_causes(error: &dyn StdError) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let cause = io::Error::other("the disk is on fire");
        let source = pflow_backend::Error::not_applied(pflow_backend::ErrorKind::Io, "Failed to sync /a")
            .with_source(cause);
        assert_eq!(with_causes(&Error::Storage(source)), "Failed to sync /a: the disk is on fire");
        let source = pflow_backend::Error::unknown(pflow_backend::ErrorKind::Io, "Failed to sync /a")
            .with_source(io::Error::other("no power"));
        let failure = Failure::from(Error::OutcomeUnknown { what: "the change of a".to_owned(), source });
        assert_eq!(
            failure.message,
            "whether the change of a happened is unknown: Failed to sync /a: no power"
        );
        assert_eq!((failure.code, failure.exit), ("outcome_unknown", 16));
    }

    #[test]
    fn a_storage_that_lies_has_a_code_of_its_own_and_one_that_is_silent_has_not() {
        let (place, sentences) =
            ("s3://plans".to_owned(), vec!["It forgot (x)".to_owned(), "It slept (y)".to_owned()]);
        let failure = Failure::from(Error::UnsafeStorage { place: place.clone(), broken: sentences.clone() });
        let message = "s3://plans does not keep what a store needs: It forgot (x); It slept (y)";
        assert_eq!((failure.code, failure.exit, failure.message.as_str()), ("unsafe", 15, message));
        assert!(failure.hint.is_some());
        let failure = Failure::from(Error::Unproven { place, unclear: sentences });
        assert_eq!((failure.code, failure.exit), ("failed", 1));
    }
}
