//! Memory with one fault at a time, of the kind that real storages have had.

mod commits;
mod listings;
mod storage;

use std::sync::Arc;

use pflow_backend::{
    ManualEnvironment, Result, StorageBackend, async_trait,
    conformance::{Harness, Site},
};
use pflow_backend_memory::MemoryBackend;

use storage::Faulty;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: the wrapper itself must pass.
    None,

    // Reads.
    /// `get` loses the last byte, and says so in the size.
    DropsTheLastByte,
    /// What is a folder is found as an empty object.
    FindsFolders,
    /// Whatever was read once through a handle is read again until the same handle changes it.
    CachesReads,
    /// All bytes have the same version.
    VersionIsConstant,
    /// Bytes of the same length have the same version.
    VersionIsTheLength,

    // Names.
    /// Segments are cut at 200 bytes.
    CutsLongNames,
    /// `/` is stored as `_`.
    FlattensNames,
    /// Capitals are stored as small letters.
    LowersCase,
    /// A folder stays when its last object goes.
    LeavesEmptyFolders,
    /// An object below or above the one put has to go.
    MakesRoom,

    // Listings.
    /// Folder by folder, as a walk finds them, not by the bytes of the key.
    ListsByFolder,
    /// `after` itself comes once more.
    AfterIsInclusive,
    /// A prefix does not end at a slash.
    PrefixIsAString,
    /// The storage gives a thousand lines at once, and nobody asks for more.
    ListsAThousand,
    /// The next page begins at a number, not behind a key.
    ListsByOffset,
    /// One cursor for all listings of a handle.
    SharesACursor,
    /// What begins with a dot is left out.
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
    /// Another may come between the look at the conditions and the writes.
    ChecksThenActs,
    /// Deletes do nothing.
    DeletesNothing,
    /// Deleting what is not there is an error.
    DeleteOfAbsentFails,
    /// A batch that does nothing is an error.
    RefusesEmptyBatches,
    /// Positions do not count empty stages.
    SkipsEmptyStages,
    /// Only the first stage happens.
    ForgetsLaterStages,
    /// Only the first hundred operations of a stage happen.
    CutsWideStages,
    /// Every conflict is at the first operation.
    ConflictsAreAtTheFirst,
    /// The stages before a conflict stay, although the batch is called atomic.
    KeepsTheStagesBeforeAConflict,
    /// The stages behind a conflict happen.
    GoesOnBehindAConflict,
    /// Each operation is a batch of its own.
    OneByOne,
    /// Objects over the limit are taken.
    IgnoresTheLimit,
    /// The last stage comes first.
    StagesBackwards,
    /// A put writes half, then the rest.
    WritesInPlace,
    /// A put removes what is there, then writes.
    SwapsThroughAGap,
    /// A commit fails while another one is under way.
    BusyInCompany,
    /// A commit happens when it is called for, polled or not.
    BeginsAtTheCall,
    /// A read or commit that is dropped takes the storage down.
    DroppedCallsPoison,
    /// A commit without reply is tried again, and the second answer given.
    TakesItselfForAnother,

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
}

/// Storages in memory with a fault.
pub(crate) struct Broken(pub(crate) Fault);

struct BrokenSite {
    objects: MemoryBackend,
    fault: Fault,
}

#[async_trait]
impl Harness for Broken {
    async fn fresh(&self) -> Result<Box<dyn Site>> {
        let objects = MemoryBackend::new(Arc::new(ManualEnvironment::new(1)));
        // Small objects keep the many runs short.
        let limit = if self.0 == Fault::IgnoresTheLimit { u64::MAX } else { storage::LIMIT };
        Ok(Box::new(BrokenSite { objects: objects.with_max_object_size(limit), fault: self.0 }))
    }
}

#[async_trait]
impl Site for BrokenSite {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        Ok(Arc::new(Faulty::new(self.objects.clone(), self.fault, false)))
    }

    async fn reopen(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(Arc::new(Faulty::new(self.objects.clone(), self.fault, false))))
    }

    async fn losing_a_reply(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(Arc::new(Faulty::new(self.objects.clone(), self.fault, true))))
    }
}
