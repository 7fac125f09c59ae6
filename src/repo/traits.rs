use pflow_backend::{Capabilities, Durability};

/// What the rest of the store asks of its storage. Taken from the backend once, when the store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traits {
    /// People and other programs edit the files of the store, so a copy or a mirror is read before it is
    /// replaced.
    pub(crate) plain_files: bool,
    /// No crash and no reader sees a part of a batch: there is no version and no pending record before the
    /// head that names it.
    pub(crate) atomic_batch: bool,
    /// A delete may carry a condition.
    pub(crate) conditional_delete: bool,
    /// A part of an object is read without the rest.
    pub(crate) ranged_reads: bool,
    /// A put of an immutable object that is there with the same bytes succeeds.
    pub(crate) immutable_puts: bool,
    /// After a failed sync a read may return what a loss of power takes away again. So no look at the storage
    /// settles a write of unknown outcome.
    pub(crate) loses_power: bool,
    /// Every call is a request over a network.
    pub(crate) is_remote: bool,
}

impl From<Capabilities> for Traits {
    fn from(capabilities: Capabilities) -> Self {
        let Capabilities {
            plain_files,
            atomic_batch,
            conditional_delete,
            durability,
            immutable_puts,
            ranged_reads,
            ..
        } = capabilities;
        Self {
            plain_files,
            atomic_batch,
            conditional_delete,
            immutable_puts,
            ranged_reads,
            loses_power: durability == Durability::Power,
            is_remote: durability == Durability::Service,
        }
    }
}

impl Traits {
    /// Whether a working copy can be older than its head although no person edited it.
    pub(crate) fn copies_lag(self) -> bool {
        !(self.atomic_batch && self.plain_files)
    }
}
