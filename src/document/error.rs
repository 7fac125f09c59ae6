//! Why a document is refused.

use std::{fmt, str::Utf8Error};

use super::markdown::MarkdownReason;
use super::place::quoted;
use super::syntax_error::SyntaxError;

/// Why a document is refused. It was not changed, and nothing was written; the author must correct the
/// document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The document is larger than [`Limits::max_bytes`](super::Limits::max_bytes).
    #[error("the document has {size} bytes, {limit} are allowed")]
    TooLarge {
        /// The document's size in bytes.
        size: usize,
        /// The size allowed, in bytes.
        limit: usize,
    },

    /// The document begins with a byte order mark, which RFC 8259 forbids in JSON.
    #[error("the document begins with a {encoding} byte order mark; save it as UTF-8 without one")]
    ByteOrderMark {
        /// The encoding of the mark: `UTF-8`, `UTF-16LE` or `UTF-16BE`.
        encoding: &'static str,
    },

    /// The document is not UTF-8.
    #[error("line {line}, column {column}: the document is not UTF-8 (byte {offset}){}", if *.truncated { ": it ends within a character" } else { "" })]
    NotUtf8 {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// The number of bytes before the first one that is not UTF-8.
        offset: usize,
        /// The text ends within a character: the document was probably truncated.
        truncated: bool,
    },

    /// The document is not JSON. Nothing after this position was read.
    #[error("line {line}, column {column}: {reason}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// The syntax error at this position.
        reason: SyntaxError,
    },

    /// The document is nested deeper than [`Limits::max_depth`](super::Limits::max_depth). Nothing after this
    /// was read.
    #[error("{place}: nested deeper than the {limit} levels allowed")]
    TooDeep {
        /// The first array or object that is too deep.
        place: String,
        /// The number of allowed levels; the root is the first.
        limit: usize,
    },

    /// The document is JSON or text, but not a workflow. All defects are found in one pass; the first
    /// [`MAX_DEFECTS`](super::MAX_DEFECTS) of them are listed.
    #[error("{}", summary(.defects, *.more))]
    Invalid {
        /// The first defects, at least one, in document order.
        defects: Vec<Defect>,
        /// How many more there are.
        more: usize,
    },
}

impl DocumentError {
    /// Returns the error for bytes that are not UTF-8.
    pub(super) fn not_utf8(bytes: &[u8], error: Utf8Error) -> Self {
        let offset = error.valid_up_to();
        let before = bytes.get(..offset).map(String::from_utf8_lossy).unwrap_or_default();
        let (line, column) = position(&before);
        Self::NotUtf8 { line, column, offset, truncated: error.error_len().is_none() }
    }
}

/// The line and the column in characters, both from 1, of the position after `before`.
pub(super) fn position(before: &str) -> (usize, usize) {
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

/// One defect of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Defect {
    /// The place: a path such as `nodes[3].id` or `ir.nodes[0].params["a key"]`, or `the document` for the
    /// root. In markdown `line 12`.
    pub place: String,
    /// The defect.
    pub reason: Reason,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// What is wrong at a place. Names taken from the document are cut to fit into a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The object has this key twice, and readers would disagree on which value counts.
    #[error("duplicate key")]
    DuplicateKey,
    /// The value has the wrong type.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// The required type, with its article.
        expected: &'static str,
        /// The actual type, with its article.
        found: &'static str,
    },
    /// A required field is missing or null.
    #[error("missing")]
    Missing,
    /// A text or list that must not be empty is empty.
    #[error("must not be empty")]
    Empty,
    /// Another node already has the id.
    #[error("duplicate id {}, first used at {first}", quoted(.id))]
    DuplicateId {
        /// The id.
        id: String,
        /// The place of its first use.
        first: String,
    },
    /// An edge or the start names a node that does not exist.
    #[error("no node has the id {}", quoted(.id))]
    UnknownNode {
        /// The id that no node has.
        id: String,
    },
    /// A defect of a markdown workflow. The place is its line.
    #[error(transparent)]
    Markdown(MarkdownReason),
    /// The version does not have the form that the IR requires.
    #[error("expected a version of the form N.N.N, found {}", quoted(.found))]
    IrVersion {
        /// The version that was found.
        found: String,
    },
}

fn summary(defects: &[Defect], more: usize) -> String {
    let Some(first) = defects.first() else { return "the document is not a workflow".to_owned() };
    match defects.len() - 1 + more {
        0 => first.to_string(),
        others => format!("{first}, and {others} more"),
    }
}
