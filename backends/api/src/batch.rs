use std::collections::BTreeSet;

use bytes::Bytes;

use crate::{Capabilities, Error, ErrorKind, Key, Position, Result, Version};

/// The only way to change a storage: stages of conditional writes.
///
/// Stages happen in order, each durable before the next begins; the operations of one stage may happen side
/// by side. So a protocol puts immutable objects into the first stage, the one pointer that makes them
/// visible into the second, and derived objects into the last: if it is interrupted anywhere, a reader finds
/// the old state or the new one.
///
/// A key appears at most once in a batch, and no key is below another key of the batch ([`Batch::check`]).
///
/// ```
/// use pflow_backend::{Batch, Key, Operation, Version};
/// # fn main() -> Result<(), pflow_backend::InvalidKey> {
/// let read = Version::of_content(b"old head");
/// let batch = Batch::new()
///     .stage([Operation::put(Key::parse("versions/a/2")?, "content").absent().fresh()])
///     .stage([Operation::put(Key::parse("heads/a")?, "new head").is(read)])
///     .stage([Operation::put(Key::parse("copies/a")?, "content").copy()]);
/// assert_eq!(batch.stages().len(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    stages: Vec<Vec<Operation>>,
}

/// One conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Stores these bytes under the key, whole or not at all.
    Put {
        /// The key.
        key: Key,
        /// The bytes.
        bytes: Bytes,
        /// The condition.
        when: Precondition,
        /// How readers can reach the object meanwhile.
        kind: WriteKind,
    },
    /// Removes the key. Removing a missing key succeeds under [`Precondition::Always`].
    Delete {
        /// The key.
        key: Key,
        /// The condition; anything but `Always` needs [`Capabilities::conditional_delete`].
        when: Precondition,
    },
}

/// The condition on a key at the moment of the write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// No condition.
    Always,
    /// The key does not exist.
    Absent,
    /// The key exists and its present bytes have this version.
    Is(Version),
}

/// What a backend may assume of the readers and the writers of an object.
///
/// `Fresh`, `Swap` and `Copy` are hints about which readers can reach the object while its batch is in
/// progress. They change how a disk writes, never the state after the commit. A backend may ignore them and
/// treat every put as `Swap`. A database does: all objects of a batch are visible with its COMMIT, and never
/// in part. Only [`crate::Commit::Overtaken`], where a backend has it, is no answer to a put of `Fresh`.
///
/// `Immutable` changes the answer to a put whose key exists. A backend that honours it sets
/// [`Capabilities::immutable_puts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteKind {
    /// No reader looks for the object before a later stage is applied, so it may be visible partially until
    /// the batch is complete.
    Fresh,
    /// Readers may read at any time and see the old bytes or the new ones.
    Swap,
    /// Derived from other objects, and possibly edited by a person. Like `Swap`, but in the last stages of a
    /// batch it may be written after the answer: other handles may see the old bytes for a while, at most
    /// until [`crate::StorageBackend::close`] returns, which reports failed writes. With
    /// [`Capabilities::plain_files`] a crash cannot lose it. On other storages it can, and readers detect
    /// that it lags.
    Copy,
    /// Written once and never changed: every writer of this key puts these bytes, for example because the key
    /// contains their hash. The condition is [`Precondition::Absent`]; [`Batch::check`] refuses any other.
    ///
    /// - The key does not exist: the object is stored. As with `Swap`, a reader sees all of it or nothing, at
    ///   any time.
    /// - The key holds equal bytes: the operation succeeds, and nothing is rewritten. The batch goes on, and
    ///   the answer has the version of the stored object. So of several writers that race with equal bytes
    ///   every one succeeds, and a put whose outcome is unknown may be repeated.
    /// - The key holds other bytes: [`crate::Commit::Conflict`], which names the position. It is never
    ///   [`crate::Commit::Overtaken`]. The caller reads the object, compares it, and decides whether it is
    ///   damaged.
    ///
    /// A success says that the object was stored at that moment. It does not protect the object from a later
    /// delete.
    ///
    /// A crash leaves the whole object or nothing of it. Without [`Capabilities::atomic_batch`] it may leave
    /// some objects of the batch; the repeated batch finds them stored and goes on.
    ///
    /// A backend without [`Capabilities::immutable_puts`] treats the put as a `Swap` under `Absent`. It may
    /// answer a conflict, or `Overtaken`, for equal bytes too. The caller then reads the object and asks
    /// [`Operation::is_stored_as`].
    Immutable,
}

impl Batch {
    /// A batch without stages. It commits at once and changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a stage.
    #[must_use]
    pub fn stage(mut self, operations: impl IntoIterator<Item = Operation>) -> Self {
        self.stages.push(operations.into_iter().collect());
        self
    }

    /// The stages, in order.
    pub fn stages(&self) -> &[Vec<Operation>] {
        &self.stages
    }

    /// Every operation with its position, in order.
    pub fn operations(&self) -> impl Iterator<Item = (Position, &Operation)> {
        self.stages.iter().enumerate().flat_map(|(stage, operations)| {
            operations.iter().enumerate().map(move |(operation, it)| (Position { stage, operation }, it))
        })
    }

    /// Refuses a batch that violates the rules or the backend's limits. Every backend calls this first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a key that appears twice, a key below another one, an object over
    /// [`Capabilities::max_object_size`], or a put of [`WriteKind::Immutable`] under another condition than
    /// [`Precondition::Absent`]; [`ErrorKind::Unsupported`] for a conditional delete on a backend without
    /// them. Nothing was changed.
    pub fn check(&self, capabilities: &Capabilities) -> Result<()> {
        let mut keys = BTreeSet::new();
        for (_, operation) in self.operations() {
            let key = operation.key();
            if !keys.insert(key.as_str()) {
                return Err(Error::not_applied(
                    ErrorKind::InvalidInput,
                    format!("{key} appears twice in one batch"),
                ));
            }
            match operation {
                Operation::Put { bytes, .. } if bytes.len() as u64 > capabilities.max_object_size => {
                    let (has, may) = (bytes.len(), capabilities.max_object_size);
                    let what = format!("{key} has {has} bytes; this storage takes at most {may}");
                    return Err(Error::not_applied(ErrorKind::InvalidInput, what));
                }
                Operation::Put { when, kind: WriteKind::Immutable, .. } if *when != Precondition::Absent => {
                    let what = format!("{key} is written once, so its put takes no condition but Absent");
                    return Err(Error::not_applied(ErrorKind::InvalidInput, what));
                }
                Operation::Delete { when, .. }
                    if *when != Precondition::Always && !capabilities.conditional_delete =>
                {
                    let what = format!("This storage cannot delete {key} under a condition");
                    return Err(Error::not_applied(ErrorKind::Unsupported, what));
                }
                _ => {}
            }
        }
        for key in &keys {
            let above = key.match_indices('/').filter_map(|(at, _)| key.get(..at));
            for name in above {
                if keys.contains(name) {
                    let what = format!("{key} cannot exist beside {name}");
                    return Err(Error::not_applied(ErrorKind::InvalidInput, what));
                }
            }
        }
        Ok(())
    }
}

impl Operation {
    /// Stores `bytes` under `key`: unconditionally, and visible to readers at any time, unless the methods
    /// below change that.
    pub fn put(key: Key, bytes: impl Into<Bytes>) -> Self {
        Self::Put { key, bytes: bytes.into(), when: Precondition::Always, kind: WriteKind::Swap }
    }

    /// Removes `key`, whether it exists or not, unless the methods below change that.
    pub fn delete(key: Key) -> Self {
        Self::Delete { key, when: Precondition::Always }
    }

    /// Requires that the key does not exist.
    #[must_use]
    pub fn absent(self) -> Self {
        self.when(Precondition::Absent)
    }

    /// Requires that the key's present bytes have this version.
    #[must_use]
    pub fn is(self, version: Version) -> Self {
        self.when(Precondition::Is(version))
    }

    /// Sets the condition.
    #[must_use]
    pub fn when(mut self, condition: Precondition) -> Self {
        match &mut self {
            Self::Put { when, .. } | Self::Delete { when, .. } => *when = condition,
        }
        self
    }

    /// Marks a put as [`WriteKind::Fresh`].
    #[must_use]
    pub fn fresh(self) -> Self {
        self.kind(WriteKind::Fresh)
    }

    /// Marks a put as [`WriteKind::Copy`].
    #[must_use]
    pub fn copy(self) -> Self {
        self.kind(WriteKind::Copy)
    }

    /// Marks a put as [`WriteKind::Immutable`], under [`Precondition::Absent`]. A delete stays as it is.
    #[must_use]
    pub fn immutable(self) -> Self {
        match self {
            Self::Put { key, bytes, .. } => {
                Self::Put { key, bytes, when: Precondition::Absent, kind: WriteKind::Immutable }
            }
            delete @ Self::Delete { .. } => delete,
        }
    }

    /// Whether this is a put of [`WriteKind::Immutable`], and `stored` are its bytes. A backend asks it for a
    /// key that exists. A caller asks it after a conflict of a backend without
    /// [`Capabilities::immutable_puts`].
    pub fn is_stored_as(&self, stored: &[u8]) -> bool {
        matches!(self, Self::Put { bytes, kind: WriteKind::Immutable, .. } if bytes == stored)
    }

    fn kind(mut self, hint: WriteKind) -> Self {
        if let Self::Put { kind, .. } = &mut self {
            *kind = hint;
        }
        self
    }

    /// The key that is written or removed.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// The condition.
    pub fn precondition(&self) -> &Precondition {
        match self {
            Self::Put { when, .. } | Self::Delete { when, .. } => when,
        }
    }
}

impl Precondition {
    /// Whether the condition holds if the key's present version is `current` (none: the key does not exist).
    pub fn holds(&self, current: Option<&Version>) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => current.is_none(),
            Self::Is(version) => current == Some(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Durability;

    fn key(name: &str) -> Key {
        Key::parse(name).unwrap()
    }

    fn capabilities() -> Capabilities {
        Capabilities {
            atomic_batch: false,
            exact_conflicts: true,
            conditional_delete: false,
            plain_files: false,
            immutable_puts: false,
            ranged_reads: false,
            durability: Durability::Process,
            max_object_size: 4,
        }
    }

    #[test]
    fn invalid_batch_is_refused_and_the_error_names_the_key() {
        let put = |name: &str| Operation::put(key(name), "1234");
        let cases = [
            (Batch::new().stage([put("a"), put("a")]), ErrorKind::InvalidInput, "a appears twice"),
            (
                Batch::new().stage([put("a")]).stage([Operation::delete(key("a"))]),
                ErrorKind::InvalidInput,
                "twice",
            ),
            (
                Batch::new().stage([put("a"), put("a-b"), put("a/b")]),
                ErrorKind::InvalidInput,
                "a/b cannot exist",
            ),
            (Batch::new().stage([Operation::put(key("a"), "12345")]), ErrorKind::InvalidInput, "at most 4"),
            (Batch::new().stage([Operation::delete(key("a")).absent()]), ErrorKind::Unsupported, "condition"),
            (
                Batch::new().stage([put("a").immutable().when(Precondition::Always)]),
                ErrorKind::InvalidInput,
                "a is written once",
            ),
            (
                Batch::new().stage([put("a").immutable().is(Version::of_content(b"1234"))]),
                ErrorKind::InvalidInput,
                "a is written once",
            ),
        ];
        for (batch, kind, words) in cases {
            let refused = batch.check(&capabilities()).unwrap_err();
            assert_eq!(refused.kind(), kind, "{refused}");
            assert!(refused.to_string().contains(words), "{refused}");
        }
        Batch::new().stage([put("a"), put("a-b")]).stage([put("ab/c")]).check(&capabilities()).unwrap();
        Batch::new()
            .stage([put("a").immutable(), put("b").immutable().absent()])
            .check(&capabilities())
            .unwrap();
    }

    #[test]
    fn only_an_immutable_put_is_stored_as_equal_bytes() {
        let put = Operation::put(key("a"), "12");
        assert_eq!(*put.clone().immutable().precondition(), Precondition::Absent);
        assert!(put.clone().immutable().is_stored_as(b"12"));
        for stored in [&b""[..], b"1", b"13", b"123"] {
            assert!(!put.clone().immutable().is_stored_as(stored), "{stored:?}");
        }
        assert!(!put.clone().absent().is_stored_as(b"12") && !put.fresh().is_stored_as(b"12"));
        let delete = Operation::delete(key("a"));
        assert_eq!(delete.clone().immutable(), delete);
    }

    #[test]
    fn condition_depends_only_on_the_present_version() {
        let (one, two) = (Version::of_content(b"1"), Version::of_content(b"2"));
        assert!(Precondition::Always.holds(None) && Precondition::Always.holds(Some(&one)));
        assert!(Precondition::Absent.holds(None) && !Precondition::Absent.holds(Some(&one)));
        let is = Precondition::Is(one.clone());
        assert!(is.holds(Some(&one)) && !is.holds(Some(&two)) && !is.holds(None));
    }
}
