use pflow_backend::Version;

use crate::format::Head;

/// A head as it was read, with the storage version that a swap of it must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredHead {
    pub(crate) head: Head,
    /// None: the object does not exist yet.
    pub(crate) version: Option<Version>,
}
