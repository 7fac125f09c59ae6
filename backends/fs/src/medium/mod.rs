//! Everything that this crate asks of the operating system, behind one trait.
//!
//! So a test can let any call fail, stop at any call, lose what was not synced, and enumerate what a loss of
//! power may leave. The product has one implementation, [`System`].

#[cfg(target_os = "linux")]
mod cached;
mod kind;
mod system;

use std::{
    ffi::{OsStr, OsString},
    fmt::Debug,
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::Arc,
};

use pflow_backend::{DateTime, Utc};
use rustix::fs::{FileType, Mode};

pub(crate) use kind::Kind;
pub(crate) use system::System;

/// An open file or folder. Clones share it; it closes with the last of them.
pub(crate) type Node = Arc<Descriptor>;

/// What stands behind a [`Node`]. Each medium knows its own.
#[derive(Debug)]
pub(crate) enum Descriptor {
    System(OwnedFd),
    /// A number that a medium of the tests gave.
    #[cfg(test)]
    Simulated(u64),
}

/// How a file is opened. A link is never followed: opening one fails with `ELOOP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Open {
    /// For reading; never waits, whatever it is (a pipe).
    Read,
    /// For reading and writing, as it is.
    Write,
    /// For reading and writing; made if it is not there.
    Create,
    /// A file that was not there, with these permissions instead of the default if there are some.
    New(Option<Mode>),
}

/// What tells one folder or file from every other one that exists now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    /// Wide enough for the device numbers of every system.
    pub(crate) device: i128,
    pub(crate) inode: u64,
}

/// What a file or folder keeps as long as it exists, whatever path leads to it, and what a copy of it does not
/// have. What the system cannot tell is none. It is compared, and never ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// None where a file gets another number at each mount.
    pub(crate) inode: Option<u64>,
    /// When it was made, in seconds since 1970 and nanoseconds.
    pub(crate) birth: Option<(i64, u32)>,
    /// It may change whenever the machine starts.
    pub(crate) device: i128,
    /// The number of the file system among its own snapshots, where it has some and keeps such a number.
    pub(crate) volume: Option<u64>,
}

impl Origin {
    /// Whether both are of the same file or folder. The device number counts where a birth time is not told.
    pub(crate) fn is(&self, other: &Self) -> bool {
        fn agree<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<bool> {
            one.zip(other).map(|(one, other)| one == other)
        }
        let inode = agree(self.inode, other.inode);
        let birth = agree(self.birth, other.birth);
        let differs = [inode, birth, agree(self.volume, other.volume)].contains(&Some(false));
        !differs && (birth.is_some() || inode.is_some() && self.device == other.device)
    }
}

/// Who may use what is below a folder, as its mode and group say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sharing {
    pub(crate) mode: Mode,
    pub(crate) group: u32,
}

/// What is known of a file or folder without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) id: FileId,
    pub(crate) kind: FileType,
    pub(crate) mode: Mode,
    pub(crate) size: u64,
    /// A file that is somebody's under another name too.
    pub(crate) has_other_names: bool,
    /// For people, and to notice that a folder changed while it was read. Nothing that must be right rests on
    /// it.
    pub(crate) modified: DateTime<Utc>,
}

/// The calls. Each does what the system call does that it is named for, and a caller may assume no more.
///
/// What is durable when:
/// - `sync_data` makes the content and the length of a file durable, not its name; `sync`, also for folders,
///   everything that is in it: the names in a folder. (`fdatasync` of a folder may leave names out.)
/// - `sync_file_system` makes everything durable that was done in the file system of `node` before the call,
///   **as far as nothing failed since `node` was opened**; a failure since then is answered once, here.
/// - After a failed sync nothing is known of what it covered, and repeating it proves nothing.
/// - What is not synced may be lost by a crash of the machine, each write and each name by itself, in any
///   combination.
///
/// A name changes in one step: whoever opens it meanwhile gets the one file or the other.
pub(crate) trait Medium: Debug + Send + Sync + 'static {
    /// How many threads may usefully call at once.
    fn parallelism(&self) -> usize {
        1
    }
    /// The same for whoever must not wait, if the system can tell.
    fn without_waiting(&self) -> Option<Arc<dyn Medium>> {
        None
    }
    /// The folder that a path names. Links in it are followed, here and in `identify` alone.
    fn open_root(&self, path: &Path) -> io::Result<Node>;
    /// The number of the mount that a folder, or the name in it, is reached through; none where the system
    /// cannot tell.
    fn mount(&self, at: &Node, name: Option<&OsStr>) -> io::Result<Option<u64>> {
        let _ = (at, name);
        Ok(None)
    }
    /// What a path leads to at this moment.
    fn identify(&self, path: &Path) -> io::Result<FileId>;
    fn open_folder(&self, at: &Node, name: &OsStr) -> io::Result<Node>;
    fn open(&self, at: &Node, name: &OsStr, how: Open) -> io::Result<Node>;
    /// A file several folders down, for reading, in one call that follows no link. For speed alone: whatever
    /// it answers but success and `ENOENT` says nothing, and the way goes step by step.
    fn open_path(&self, at: &Node, path: &str) -> io::Result<Node> {
        let _ = (at, path);
        Err(io::ErrorKind::Unsupported.into())
    }
    fn status(&self, node: &Node) -> io::Result<Status>;
    /// What tells a file or folder from a copy of it.
    fn origin(&self, node: &Node) -> io::Result<Origin>;
    /// What the name stands for itself, a link being a link.
    fn look(&self, at: &Node, name: &OsStr) -> io::Result<Status>;
    /// All names but `.` and `..`, in no order.
    fn names(&self, at: &Node) -> io::Result<Vec<(OsString, FileType)>>;
    fn read_at(&self, file: &Node, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// The offset of the first bytes at or behind `offset` that are no hole; none up to the end. `offset`
    /// itself where the system cannot tell.
    fn next_data(&self, file: &Node, offset: u64) -> io::Result<Option<u64>> {
        let _ = file;
        Ok(Some(offset))
    }
    /// What new files and folders below a folder take over from it; none if the medium knows no users.
    fn sharing(&self, folder: &Node) -> io::Result<Option<Sharing>> {
        let _ = folder;
        Ok(None)
    }
    /// Gives a file or an empty folder that this process has just made to the group, and to whom the mode
    /// lets in, unless it keeps its own mode. Whatever the system refuses is left out.
    fn share(&self, node: &Node, sharing: Sharing, keeps_mode: bool) {
        let _ = (node, sharing, keeps_mode);
    }
    fn write_at(&self, file: &Node, bytes: &[u8], offset: u64) -> io::Result<usize>;
    fn set_length(&self, file: &Node, length: u64) -> io::Result<()>;
    fn create_folder(&self, at: &Node, name: &OsStr) -> io::Result<()>;
    /// Replaces what is under the new name.
    fn rename(&self, from: (&Node, &OsStr), to: (&Node, &OsStr)) -> io::Result<()>;
    /// The same; `EEXIST` if the new name is there. `EINVAL` and `ENOSYS` where the system has no such call.
    fn rename_new(&self, from: (&Node, &OsStr), to: (&Node, &OsStr)) -> io::Result<()>;
    /// Both names must be there. `EINVAL` and `ENOSYS` where the system has no such call.
    fn exchange(&self, one: (&Node, &OsStr), other: (&Node, &OsStr)) -> io::Result<()>;
    fn remove_file(&self, at: &Node, name: &OsStr) -> io::Result<()>;
    fn remove_folder(&self, at: &Node, name: &OsStr) -> io::Result<()>;
    fn sync_data(&self, file: &Node) -> io::Result<()>;
    fn sync(&self, node: &Node) -> io::Result<()>;
    /// Whether there is a `sync_file_system` that tells failures.
    fn syncs_file_systems(&self) -> bool;
    fn sync_file_system(&self, node: &Node) -> io::Result<()>;
    /// Asks for the exclusive advisory lock of an open file; false if another description of it has it. It
    /// goes with the last clone of `file`.
    fn try_lock(&self, file: &Node) -> io::Result<bool>;
    fn unlock(&self, file: &Node) -> io::Result<()>;
    /// The name and the kind of the file system.
    fn kind(&self, node: &Node) -> io::Result<(String, Kind)>;
}
