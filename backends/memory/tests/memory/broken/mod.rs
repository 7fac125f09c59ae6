//! A storage in memory with one fault, of the kinds that real storages have had.

mod commits;
mod failures;
mod listings;
mod storage;

use std::sync::Arc;

use pflow_backend::{
    ManualEnvironment, Result, StorageBackend, async_trait,
    conformance::{CommitFailure, Harness, Site, Watch},
};
use pflow_backend_memory::MemoryBackend;

use storage::{Faulty, Shared, Way};

/// The fault of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: the wrapper itself must pass.
    None,

    // Reads.
    /// `get` loses the last byte. The size that it reports is one less too.
    DropsTheLastByte,
    /// A folder is found as an empty object.
    FindsFolders,
    /// A handle caches what it has read until it changes the object itself.
    CachesReads,
    /// All bytes have the same version.
    VersionIsConstant,
    /// Bytes of the same length have the same version.
    VersionIsTheLength,
    /// A row counts its versions. A delete removes the row and its count.
    VersionRestarts,
    /// An object without bytes is treated as missing.
    EmptyIsMissing,
    /// Bytes are stored as text.
    StoresText,
    /// `stat` repeats its first reply.
    StatIsOld,
    /// `get` reads the bytes and the version in two steps.
    ReadsVersionApart,

    // Ranges.
    /// The end of a range is included.
    RangeIsOffByOne,
    /// A range that ends after the end is an error.
    RangePastTheEndFails,
    /// A range that begins at or after the end is an error.
    RangeBehindTheEndFails,
    /// An empty range is an error.
    EmptyRangeFails,
    /// A range of a missing key is an object without bytes.
    RangeOfMissingIsEmpty,
    /// The size is that of the part.
    RangeSizeIsItsOwn,
    /// A handle caches the object of which it reads ranges.
    RangesAreCached,
    /// The bytes of a range are read in two steps.
    RangeOfTwoVersions,
    /// The version of a range is read after its bytes.
    RangeVersionApart,

    // Names.
    /// Segments are cut at 200 bytes.
    CutsLongNames,
    /// `/` is stored as `_`.
    FlattensNames,
    /// Capitals are stored as small letters.
    LowersCase,
    /// A folder stays when its last object is deleted.
    LeavesEmptyFolders,
    /// A put deletes the objects whose keys are below or above its key.
    MakesRoom,
    /// A put with a key below or above another key fails with an error of the storage.
    NeighboursAreAnIoError,

    // Listings.
    /// The order is that of a walk through folders, not of the bytes of the key.
    ListsByFolder,
    /// The key `after` itself is listed again.
    AfterIsInclusive,
    /// A prefix does not end at a slash.
    PrefixIsAString,
    /// A prefix is a pattern of SQL: `_` is any character.
    PrefixIsAPattern,
    /// A prefix is a regular expression: `.` is any character.
    PrefixIsARegex,
    /// A prefix matches letters of either case.
    PrefixIgnoresCase,
    /// A prefix is found anywhere in a key.
    PrefixIsFoundInside,
    /// A prefix ends at the key that follows its range, which is listed too.
    PrefixTakesItsEnd,
    /// Keys are in the order of a language, which ignores case and signs.
    ListsAsADictionary,
    /// The storage returns a thousand lines per request, and only the first request is sent.
    ListsAThousand,
    /// The next page begins with the last line of the one before.
    PagesOverlap,
    /// An open listing locks writers out.
    ListingLocks,
    /// The next page begins at an index, not after a key.
    ListsByOffset,
    /// One cursor for all listings of a handle.
    SharesACursor,
    /// Names that begin with a dot are left out.
    HidesDotFiles,
    /// Every object has no bytes.
    ListsNoSizes,

    // Commits.
    /// `Absent` always holds.
    IgnoresAbsent,
    /// `Is` always holds.
    IgnoresIs,
    /// `Is` never holds.
    RefusesEveryIs,
    /// Another commit may run between the check of the conditions and the writes.
    ChecksThenActs,
    /// Deletes do nothing.
    DeletesNothing,
    /// Deleting a missing key is an error.
    DeleteOfAbsentFails,
    /// A batch that does nothing is an error.
    RefusesEmptyBatches,
    /// Positions do not count empty stages.
    SkipsEmptyStages,
    /// Deletes have no place in the versions of a batch.
    NoPlaceForDeletes,
    /// Only the first stage happens.
    ForgetsLaterStages,
    /// Only the first hundred operations of a stage happen.
    CutsWideStages,
    /// Every conflict is at the first operation.
    ConflictsAreAtTheFirst,
    /// A conflict is answered as an error of the database.
    ConflictIsAnError,
    /// A conflict does not say which version it found.
    ConflictNamesNothing,
    /// A conflict is answered as overtaken, although conflicts are called exact.
    OvertakenThoughExact,
    /// Equal bytes of another writer count as its own, although conflicts are called exact.
    TakesEqualBytesForItsOwn,
    /// A put over an object does nothing.
    DoesNotOverwrite,
    /// The condition of a delete always holds.
    DeletesWhateverIsThere,
    /// `attempt` says that it committed if the bytes are there.
    AttemptResolves,
    /// A batch is written by the next call.
    WritesBehindTheAnswer,
    /// Readers see the operations one after the other, although batches are called atomic.
    AppliesOneByOne,
    /// The stages before a conflict stay, although the batch is called atomic.
    KeepsTheStagesBeforeAConflict,
    /// The stages after a conflict are written.
    GoesOnBehindAConflict,
    /// Each operation is a batch of its own.
    OneByOne,
    /// Objects over the limit are accepted.
    IgnoresTheLimit,
    /// The last stage is written first.
    StagesBackwards,
    /// A put writes half, then the rest.
    WritesInPlace,
    /// A put deletes the object, then writes it.
    SwapsThroughAGap,
    /// A commit is refused as busy while another one is under way.
    BusyInCompany,
    /// A commit fails as an error of the database while another one is under way: a deadlock, or a
    /// transaction that could not be serialized.
    FailsInCompany,
    /// A commit works on the thread that polls it.
    BlocksItsThread,
    /// A read works on the thread that polls it.
    ReadsOnItsThread,
    /// A commit is written when the method is called, even if its future is never polled.
    BeginsAtTheCall,
    /// Dropping a running read or commit makes the storage fail from then on.
    DroppedCallsPoison,
    /// A call has the turn of its handle until its future is polled to its end.
    KeptCallsHaveTheTurn,
    /// A commit whose reply was lost is repeated, and the second reply is returned.
    TakesItselfForAnother,

    // Immutable objects.
    /// An immutable put replaces what is there.
    ImmutableOverwrites,
    /// An immutable put whose key exists is a conflict, whatever its bytes are.
    EqualImmutableIsAConflict,
    /// An immutable put succeeds if the stored object has as many bytes.
    EqualLengthIsEqual,
    /// An immutable put of equal bytes is answered with a version of its own.
    ImmutableNamesItsOwnVersion,
    /// An immutable put of equal bytes has no place in the versions of a batch.
    NoPlaceForStored,
    /// An immutable put of equal bytes ends the batch, which is answered as committed.
    EqualImmutableEndsTheBatch,
    /// An immutable put takes any condition.
    ImmutableTakesAnyCondition,
    /// An immutable put of other bytes is answered as overtaken.
    ImmutableIsOvertaken,

    // Failures of the storage.
    /// A COMMIT that failed is answered as one that did not happen.
    DeniesItsCommit,
    /// A COMMIT that failed is answered as one that happened.
    SwallowsAFailedCommit,
    /// A COMMIT that failed is answered as busy, and as unknown.
    UnknownIsBusy,
    /// A COMMIT that failed is answered as unknown, and happens when the handle is closed. That is allowed.
    UnknownHappensLater,
    /// A read that fails finds nothing.
    UnreachableIsEmpty,
    /// A read that fails has an unknown outcome.
    UnknownReads,

    // Handles.
    /// A closed handle promises less.
    CloseChangesCapabilities,
    /// The second close fails.
    ClosesOnce,
    /// Closing loses what was written last.
    CloseLosesTheLastWrite,
    /// Dropping a handle loses what it wrote last.
    DropLosesTheLastWrite,
    /// A closed handle answers Committed and does nothing.
    ClosedHandleLies,
    /// A closed handle finds nothing.
    ClosedHandleFindsNothing,
    /// Each handle draws an instance of its own.
    InstancePerHandle,
    /// A close forgets the instance.
    InstanceEndsWithAClose,
    /// The instance is a part of what is copied.
    InstanceIsCopied,
}

/// Storages in memory with a fault.
pub(crate) struct Broken(Fault, Arc<ManualEnvironment>);

impl Broken {
    pub(crate) fn by(fault: Fault) -> Self {
        // One for all storages: two environments with one seed draw the same ids.
        Self(fault, Arc::new(ManualEnvironment::new(1)))
    }
}

struct BrokenSite {
    objects: MemoryBackend,
    shared: Arc<Shared>,
    fault: Fault,
}

#[async_trait]
impl Harness for Broken {
    async fn fresh(&self) -> Result<Box<dyn Site>> {
        let objects = MemoryBackend::new(self.1.clone());
        // Small objects keep the many runs short.
        let limit = if self.0 == Fault::IgnoresTheLimit { u64::MAX } else { storage::LIMIT };
        let objects = objects.with_max_object_size(limit);
        Ok(Box::new(BrokenSite { objects, shared: Arc::default(), fault: self.0 }))
    }
}

impl BrokenSite {
    fn handle(&self, way: Way) -> Arc<dyn StorageBackend> {
        Arc::new(Faulty::new(self.objects.clone(), self.shared.clone(), self.fault, way))
    }
}

#[async_trait]
impl Site for BrokenSite {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        Ok(self.handle(Way::Sound))
    }

    async fn reopen(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(self.handle(Way::Sound)))
    }

    async fn losing_a_reply(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(self.handle(Way::LosesReplies)))
    }

    async fn failing_commit(&self, failure: CommitFailure) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(self.handle(Way::FailsCommits(failure))))
    }

    async fn unreachable(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(self.handle(Way::Cut)))
    }

    async fn watched(&self, watch: Watch) -> Result<Option<Arc<dyn StorageBackend>>> {
        let handle = Faulty::new(self.objects.clone(), self.shared.clone(), self.fault, Way::Sound);
        Ok(Some(Arc::new(handle.watched(watch))))
    }
}
