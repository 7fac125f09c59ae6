use std::{error::Error as StdError, fmt::Write};

use crate::{Error, Key, Operation, Prefix};

/// Why a case ends before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// It cannot be checked here.
    Skipped(String),
    /// A promise is broken.
    Failed(String),
}

/// What a case, or a step of one, comes to.
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

impl Stop {
    /// `what` failed where it must not.
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

/// The root where `name` is empty.
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

/// The bytes found under `name` are those expected. Says where they differ, for they may be many.
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

/// A body that differs from the next in every byte behind its number, of a length that changes from one to
/// the next, up to `most` bytes. A mixture or a part of two of them is neither.
pub(super) fn numbered_body(number: usize, most: usize) -> Vec<u8> {
    let length = most - (number * 7_919) % (most / 2).max(1);
    let filler = u8::try_from(number % 251).unwrap_or_default();
    let mut body = format!("{number} ").into_bytes();
    body.resize(length.max(body.len()), filler);
    body
}

/// The number at the beginning of a body.
pub(super) fn number_of(name: &str, body: &[u8]) -> Checked<usize> {
    let digits = body.split(|byte| *byte == b' ').next().and_then(|it| std::str::from_utf8(it).ok());
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Stop::Failed(format!("{name} does not begin with the number that was put there")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_body_gives_its_number_back_and_has_its_own_length() {
        for number in [0, 1, 9, 1_000] {
            let body = numbered_body(number, 4_096);
            assert!((2_048..=4_096).contains(&body.len()));
            assert_eq!(number_of("a", &body).unwrap(), number);
            assert_ne!(body.len(), numbered_body(number + 1, 4_096).len());
        }
        assert!(number_of("a", b"").is_err());
    }
}
