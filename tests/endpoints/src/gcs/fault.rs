use crate::store::Refusal;

/// Why a request is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The store did not do it.
    Refused(Refusal),
    /// The object is what the client has already.
    NotModified,
    /// The range is not in the object.
    Range,
    /// The request makes no sense.
    Bad,
    /// It makes sense, but not here.
    Unknown,
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
