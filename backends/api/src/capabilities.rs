/// The guarantees of a backend beyond the contract. A bit is set only if **every** path honours it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// A batch happens completely or not at all: a conflict, an error that says "did not happen" and a crash
    /// leave no part of it, and no read sees a part of it before the rest. On other backends earlier stages
    /// may remain, see [`crate::Conflict::applied`].
    pub atomic_batch: bool,
    /// A condition that did not hold is always answered with [`crate::Commit::Conflict`], never with
    /// [`crate::Commit::Overtaken`]. A backend behind a network cannot guarantee this, because a refusal may
    /// be the answer to a repeated request whose first copy was applied.
    pub exact_conflicts: bool,
    /// A delete may carry a condition.
    pub conditional_delete: bool,
    /// Objects are ordinary files that people and other programs may edit in place.
    pub plain_files: bool,
    /// A put of [`crate::WriteKind::Immutable`] whose key holds equal bytes succeeds. Without it such a put is
    /// one under [`crate::Precondition::Absent`], and its caller compares after a conflict.
    pub immutable_puts: bool,
    /// [`crate::StorageBackend::get_range`] is served without reading the whole object. Without it the answer
    /// is the same and costs as much as a `get`. No promise of the contract depends on it.
    pub ranged_reads: bool,
    /// What a committed batch survives.
    pub durability: Durability,
    /// The maximum size of an object, in bytes. [`crate::Batch::check`] refuses larger ones.
    ///
    /// A store with the default limits needs 17 MiB for a document of 16 MiB with its record. It also keeps
    /// the index of all workflows in one object, of some 400 bytes for each, and 1 KiB with long
    /// descriptions: 64 MiB last for 64,000 workflows. A store that needs more fails with
    /// [`crate::ErrorKind::InvalidInput`] at the save of that document. If it is the index, saves succeed
    /// with a warning and reads get slower. The suite runs with 4 KiB as well.
    pub max_object_size: u64,
}

impl Capabilities {
    /// The contract alone: every bit is off.
    #[must_use]
    pub fn new(durability: Durability, max_object_size: u64) -> Self {
        Self {
            atomic_batch: false,
            exact_conflicts: false,
            conditional_delete: false,
            plain_files: false,
            immutable_puts: false,
            ranged_reads: false,
            durability,
            max_object_size,
        }
    }

    /// Sets the field of this name.
    #[must_use]
    pub fn atomic_batch(mut self, atomic: bool) -> Self {
        self.atomic_batch = atomic;
        self
    }

    /// Sets the field of this name.
    #[must_use]
    pub fn exact_conflicts(mut self, exact: bool) -> Self {
        self.exact_conflicts = exact;
        self
    }

    /// Sets the field of this name.
    #[must_use]
    pub fn conditional_delete(mut self, conditional: bool) -> Self {
        self.conditional_delete = conditional;
        self
    }

    /// Sets the field of this name.
    #[must_use]
    pub fn plain_files(mut self, plain: bool) -> Self {
        self.plain_files = plain;
        self
    }

    /// Sets the field of this name.
    #[must_use]
    pub fn immutable_puts(mut self, immutable: bool) -> Self {
        self.immutable_puts = immutable;
        self
    }

    /// Sets the field of this name.
    #[must_use]
    pub fn ranged_reads(mut self, ranged: bool) -> Self {
        self.ranged_reads = ranged;
        self
    }

    /// Sets the field of this name.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }
}

/// What a committed batch survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing beyond the life of the process.
    Process,
    /// A crash of the machine and a loss of power, as far as its disk keeps what it acknowledges.
    Power,
    /// The guarantee of the remote service for acknowledged writes.
    Service,
}
