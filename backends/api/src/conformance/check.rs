use std::{error::Error as StdError, fmt::Write};

use crate::{Batch, Error, Key, Operation, Outcome, Position, Prefix};

/// Why a case stops early.
#[derive(Debug)]
pub(super) enum Stop {
    /// It cannot be checked here.
    Skipped(String),
    /// A guarantee is broken.
    Failed(String),
}

/// The result of a case, or of a step of one.
pub(super) type Checked<T = ()> = Result<T, Stop>;

/// Ends the case with this message unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err($crate::conformance::check::Stop::Failed(format!($($message)+)));
        }
    };
}
pub(super) use ensure;

/// Names the rule that a failed step breaks, in front of what was found.
pub(super) trait Rule {
    fn rule(self, rule: &str) -> Self;
}

impl<T> Rule for Checked<T> {
    fn rule(self, rule: &str) -> Self {
        self.map_err(|stop| match stop {
            Stop::Failed(found) => Stop::Failed(format!("{rule}: {found}")),
            skipped @ Stop::Skipped(_) => skipped,
        })
    }
}

/// Names an operation of a batch by its condition and its position.
pub(super) fn condition_at(batch: &Batch, at: Position) -> String {
    let Position { stage, operation } = at;
    let place = format!("operation {operation} of stage {stage}");
    match batch.operations().find(|(position, _)| *position == at) {
        Some((_, it)) => format!("the condition {:?} on {} ({place})", it.precondition(), it.key()),
        None => place,
    }
}

impl Stop {
    /// The failure of the read `what`, which must not fail.
    pub(super) fn read(what: impl std::fmt::Display, error: &Error) -> Self {
        match error.outcome() {
            Outcome::NotApplied { .. } => Self::error(what, error),
            Outcome::Unknown => {
                Self::error(format!("A read changes nothing and is never unknown; {what}"), error)
            }
        }
    }

    /// The failure of `what`, which must not fail.
    pub(super) fn error(what: impl std::fmt::Display, error: &Error) -> Self {
        let mut text = format!("{what} failed as {:?} ({:?}): {error}", error.kind(), error.outcome());
        let mut cause = error.source();
        while let Some(source) = cause {
            // Writing to a string cannot fail.
            write!(text, ": {source}").unwrap_or_default();
            cause = source.source();
        }
        Self::Failed(text)
    }
}

pub(super) fn key(name: &str) -> Checked<Key> {
    Key::parse(name).map_err(|refused| Stop::Failed(refused.to_string()))
}

/// Parses a prefix; an empty `name` is the root.
pub(super) fn prefix(name: &str) -> Checked<Prefix> {
    match name {
        "" => Ok(Prefix::root()),
        name => Prefix::parse(name).map_err(|refused| Stop::Failed(refused.to_string())),
    }
}

pub(super) fn put(name: &str, bytes: impl Into<bytes::Bytes>) -> Checked<Operation> {
    Ok(Operation::put(key(name)?, bytes))
}

pub(super) fn delete(name: &str) -> Checked<Operation> {
    Ok(Operation::delete(key(name)?))
}

/// Checks that the bytes under `name` are the expected ones. The error gives the first difference, because
/// there may be many bytes.
pub(super) fn same_bytes(name: &str, found: &[u8], expected: &[u8]) -> Checked {
    let differs = found.iter().zip(expected).position(|(a, b)| a != b);
    let (has, wants) = (found.len(), expected.len());
    match differs {
        Some(at) => {
            ensure!(false, "{name} has other bytes ({has} of {wants}) than were put, from byte {at} on")
        }
        None => ensure!(has == wants, "{name} has {has} bytes where {wants} were put"),
    }
    Ok(())
}

/// A body that differs from the next one in every byte after its number, and in its length, up to `most`
/// bytes. So a mixture or a part of two bodies is recognized.
pub(super) fn numbered_body(number: usize, most: usize) -> Vec<u8> {
    let length = most - (number * 7_919) % (most / 2).max(1);
    let filler = u8::try_from(number % 251).unwrap_or_default();
    let mut body = format!("{number} ").into_bytes();
    body.resize(length.max(body.len()), filler);
    body
}

/// Parses the number at the beginning of a body.
pub(super) fn number_of(name: &str, body: &[u8]) -> Checked<usize> {
    let digits = body.split(|byte| *byte == b' ').next().and_then(|it| std::str::from_utf8(it).ok());
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Stop::Failed(format!("{name} does not begin with the number that was put there")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_body_has_its_number_and_a_unique_length() {
        for number in [0, 1, 9, 1_000] {
            let body = numbered_body(number, 4_096);
            assert!((2_048..=4_096).contains(&body.len()));
            assert_eq!(number_of("a", &body).unwrap(), number);
            assert_ne!(body.len(), numbered_body(number + 1, 4_096).len());
        }
        assert!(number_of("a", b"").is_err());
    }
}
