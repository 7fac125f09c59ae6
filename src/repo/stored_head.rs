use pflow_backend::Version;

use crate::format::Head;

/// A head as it was read, and the version that a swap of it must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredHead {
    pub(crate) head: Head,
    /// None: there is no such object yet.
    pub(crate) version: Option<Version>,
}
