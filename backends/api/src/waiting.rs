use crate::Key;

/// An object whose last committed value is durable, but not in the place where people look for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// The object.
    pub key: Key,
    /// Where the value should be: the path of a file.
    pub path: String,
    /// Why it is not there: what failed, on what, and the cause.
    pub reason: String,
    /// The command that removes the cause, if one is known.
    pub remedy: Option<String>,
}
