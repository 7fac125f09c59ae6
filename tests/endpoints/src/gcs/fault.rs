use crate::store::Refusal;

/// Why a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The store refused it.
    Refused(Refusal),
    /// The client has the current object already.
    NotModified,
    /// The range is outside of the object.
    Range,
    /// The request is invalid.
    Bad,
    /// The request is valid, but not supported here.
    Unknown,
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
