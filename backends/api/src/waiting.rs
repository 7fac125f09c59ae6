use crate::Key;

/// An object whose last committed value is durable but not in the place where people look for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Waiting {
    /// The object.
    pub key: Key,
    /// The path of the file that should have the value.
    pub path: String,
    /// Why it does not: what failed, on what, and the cause.
    pub reason: String,
    /// The command that removes the cause, if one is known.
    pub remedy: Option<String>,
}

impl Waiting {
    /// An object that waits for its file at `path`.
    pub fn new(key: Key, path: String, reason: String, remedy: Option<String>) -> Self {
        Self { key, path, reason, remedy }
    }
}
