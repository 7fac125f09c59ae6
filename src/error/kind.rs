/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Correct the call.
    Usage,
    /// Correct the document or the id.
    Refused,
    /// Create it, or use another name.
    NotFound,
    /// Wait for the lock, or acquire it again: it is held, by another client or for the same content, or the
    /// caller's lease was lost.
    Locked,
    /// Read the current state, then decide.
    Conflict,
    /// Do not write. Verify, and restore from a copy.
    Corrupt,
    /// Use another storage.
    Unsafe,
    /// Read, then decide whether to repeat.
    OutcomeUnknown,
    /// Use a newer program.
    Incompatible,
    /// The caller cancelled, or shut the store down.
    Cancelled,
    /// Nothing changed; the message and its causes have the reason. Most failures of a storage are of this kind
    /// ([`Error::Storage`](crate::Error::Storage)).
    Failed,
}
