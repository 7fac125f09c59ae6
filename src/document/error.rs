//! Why a document is refused.

use std::fmt;

use super::place::quoted;
use super::syntax_error::SyntaxError;

/// Why a document is refused. It was not changed, and nothing was written; the author mends the document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Larger than [`Limits::max_bytes`](super::Limits::max_bytes).
    #[error("the document has {size} bytes, {limit} are allowed")]
    TooLarge {
        /// The document's size in bytes.
        size: usize,
        /// The size allowed, in bytes.
        limit: usize,
    },

    /// It begins with a byte order mark, which RFC 8259 forbids in JSON.
    #[error("the document begins with a {encoding} byte order mark; save it as UTF-8 without one")]
    ByteOrderMark {
        /// What the mark says: `UTF-8`, `UTF-16LE` or `UTF-16BE`.
        encoding: &'static str,
    },

    /// Not UTF-8.
    #[error("line {line}, column {column}: the document is not UTF-8 (byte {offset}){}", if *.truncated { ": it ends within a character" } else { "" })]
    NotUtf8 {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// Bytes before the first that is not UTF-8.
        offset: usize,
        /// The text ends within a character: probably the document was cut off.
        truncated: bool,
    },

    /// Not JSON. Nothing beyond this point was looked at.
    #[error("line {line}, column {column}: {reason}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What is wrong there.
        reason: SyntaxError,
    },

    /// Nested deeper than [`Limits::max_depth`](super::Limits::max_depth). Nothing beyond this was looked at.
    #[error("{place}: nested deeper than the {limit} levels allowed")]
    TooDeep {
        /// The first array or object that is too deep.
        place: String,
        /// The levels allowed; the root is the first.
        limit: usize,
    },

    /// JSON, but not a workflow. All defects are found in one go, the first
    /// [`MAX_DEFECTS`](super::MAX_DEFECTS) of them listed.
    #[error("{}", summary(.defects, *.more))]
    Invalid {
        /// The first defects, at least one, in the order of the document.
        defects: Vec<Defect>,
        /// How many more there are.
        more: usize,
    },
}

/// One thing wrong with a document that is JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// Where: a path such as `nodes[3].id` or `ir.nodes[0].params["a key"]`, or `the document` for the root.
    pub place: String,
    /// What.
    pub reason: Reason,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// What is wrong at a place. Names taken from the document are cut to a length fit for a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The object has this key already; readers would disagree on which value counts.
    #[error("duplicate key")]
    DuplicateKey,
    /// A value of another type is needed.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// What is needed, with its article.
        expected: &'static str,
        /// What is there, with its article.
        found: &'static str,
    },
    /// A field that must be there is not, or is null.
    #[error("missing")]
    Missing,
    /// A text or list that must not be empty is.
    #[error("must not be empty")]
    Empty,
    /// Another node has the id already.
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
    /// Not a version of the form that the IR wants.
    #[error("expected a version of the form N.N.N, found {}", quoted(.found))]
    IrVersion {
        /// What is there.
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
