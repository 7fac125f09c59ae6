//! Maps errors to object_store's errors.

use std::error::Error as StdError;

use object_store::{Error, Result, path::Path};
use pflow_backend::{Commit, Conflict, ErrorKind, InvalidKey, Outcome, Precondition, Versions};

/// The name of this store in errors.
pub(super) const STORE: &str = "pflow-store";

/// Converts an error of the backend.
///
/// An error whose effect may have happened, or did in part, always becomes [`Error::Generic`]: all other
/// kinds suggest that nothing happened. So does a missing folder or bucket, because [`Error::NotFound`] is
/// about an object.
pub(super) fn failed(path: &Path, error: pflow_backend::Error) -> Error {
    if error.outcome() != (Outcome::NotApplied { applied: 0 }) {
        return generic(error);
    }
    match error.kind() {
        ErrorKind::Denied => Error::PermissionDenied { path: path.to_string(), source: error.into() },
        ErrorKind::Unsupported => Error::NotSupported { source: error.into() },
        _ => generic(error),
    }
}

pub(super) fn generic(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::Generic { store: STORE, source: source.into() }
}

pub(super) fn not_found(path: &Path, why: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::NotFound { path: path.to_string(), source: why.into() }
}

pub(super) fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: STORE.to_owned() }
}

/// The error for a path at which no object can exist, so that it cannot be written.
pub(super) fn no_key(path: &Path, why: InvalidKey) -> Error {
    let what = format!("{path} cannot be a name here: its key {}", why.reason.trim_start_matches("it "));
    generic(pflow_backend::Error::not_applied(ErrorKind::InvalidInput, what).with_source(why))
}

/// Returns the versions if the batch committed; `when` is the condition of its first put, at `path`.
pub(super) fn settled(path: &Path, when: &Precondition, commit: Commit) -> Result<Versions> {
    match commit {
        Commit::Committed(versions) => Ok(versions),
        Commit::Conflict(conflict) => Err(refused(path, when, &conflict)),
        Commit::Overtaken(conflict) => Err(overtaken(path, &conflict)),
    }
}

fn refused(path: &Path, when: &Precondition, conflict: &Conflict) -> Error {
    let found = found(conflict);
    match when {
        Precondition::Absent => Error::AlreadyExists { path: path.to_string(), source: found.into() },
        Precondition::Is(expected) => Error::Precondition {
            path: path.to_string(),
            source: format!("It should be version {expected}, but {found}").into(),
        },
        Precondition::Always => {
            generic(format!("A write of {path} without a condition met a conflict: {found}"))
        }
    }
}

/// The one refusal that is inconclusive: the write may have been applied for a moment.
pub(super) fn overtaken(path: &Path, conflict: &Conflict) -> Error {
    let found = found(conflict);
    let what = format!(
        "Whether {path} was changed is unknown: {found}, which may have replaced this very change. Nothing more will follow; read it"
    );
    generic(pflow_backend::Error::unknown(ErrorKind::Unavailable, what))
}

fn found(conflict: &Conflict) -> String {
    match &conflict.current {
        Some(version) => format!("version {version} is there"),
        None => "nothing is there".to_owned(),
    }
}
