//! The operating system, asked only for what it can answer without waiting for a device.

use std::{
    ffi::{OsStr, OsString},
    io::{self, IoSliceMut},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, openat2},
    io::{Errno, ReadWriteFlags, preadv2},
};

use super::{
    FileId, Kind, Medium, Node, Open, Origin, Status, System,
    system::{fd, node},
};

/// What is larger takes too long to copy and to hash for a thread that others share.
const LARGEST: u64 = 128 * 1024;

/// Small files whose names and bytes are in the system's cache; everything else is `EAGAIN`.
///
/// A hand-over to a thread that may wait costs several times what such a read does, so whoever reads tries
/// this one first.
#[derive(Debug, Default)]
pub(crate) struct Cached {
    /// The system or the file system cannot tell whether it would wait, so it is not asked again.
    cannot_tell: AtomicBool,
}

impl Cached {
    fn tell<T>(&self, result: rustix::io::Result<T>) -> io::Result<T> {
        if let Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM) = result {
            self.cannot_tell.store(true, Ordering::Relaxed);
        }
        Ok(result?)
    }
}

fn waits<T>() -> io::Result<T> {
    Err(Errno::AGAIN.into())
}

impl Medium for Cached {
    fn open_path(&self, at: &Node, path: &str) -> io::Result<Node> {
        if self.cannot_tell.load(Ordering::Relaxed) {
            return waits();
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // RESOLVE_CACHED, since Linux 5.12: openat2(2).
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::CACHED;
        self.tell(openat2(fd(at)?, path, flags, Mode::empty(), resolve)).map(node)
    }

    fn status(&self, node: &Node) -> io::Result<Status> {
        let status = System.status(node)?;
        if status.size > LARGEST { waits() } else { Ok(status) }
    }

    fn read_at(&self, file: &Node, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        // RWF_NOWAIT, since Linux 4.14: preadv2(2).
        let read =
            self.tell(preadv2(fd(file)?, &mut [IoSliceMut::new(bytes)], offset, ReadWriteFlags::NOWAIT))?;
        // Some kernels said so before the end.
        if read == 0 && !bytes.is_empty() && offset < System.status(file)?.size {
            return waits();
        }
        Ok(read)
    }

    fn open_root(&self, _: &Path) -> io::Result<Node> {
        waits()
    }

    fn identify(&self, _: &Path) -> io::Result<FileId> {
        waits()
    }

    fn open_folder(&self, _: &Node, _: &OsStr) -> io::Result<Node> {
        waits()
    }

    fn open(&self, _: &Node, _: &OsStr, _: Open) -> io::Result<Node> {
        waits()
    }

    fn origin(&self, _: &Node) -> io::Result<Origin> {
        waits()
    }

    fn look(&self, _: &Node, _: &OsStr) -> io::Result<Status> {
        waits()
    }

    fn names(&self, _: &Node) -> io::Result<Vec<(OsString, FileType)>> {
        waits()
    }

    fn write_at(&self, _: &Node, _: &[u8], _: u64) -> io::Result<usize> {
        waits()
    }

    fn set_length(&self, _: &Node, _: u64) -> io::Result<()> {
        waits()
    }

    fn create_folder(&self, _: &Node, _: &OsStr) -> io::Result<()> {
        waits()
    }

    fn rename(&self, _: (&Node, &OsStr), _: (&Node, &OsStr)) -> io::Result<()> {
        waits()
    }

    fn rename_new(&self, _: (&Node, &OsStr), _: (&Node, &OsStr)) -> io::Result<()> {
        waits()
    }

    fn exchange(&self, _: (&Node, &OsStr), _: (&Node, &OsStr)) -> io::Result<()> {
        waits()
    }

    fn remove_file(&self, _: &Node, _: &OsStr) -> io::Result<()> {
        waits()
    }

    fn remove_folder(&self, _: &Node, _: &OsStr) -> io::Result<()> {
        waits()
    }

    fn sync_data(&self, _: &Node) -> io::Result<()> {
        waits()
    }

    fn sync(&self, _: &Node) -> io::Result<()> {
        waits()
    }

    fn syncs_file_systems(&self) -> bool {
        false
    }

    fn sync_file_system(&self, _: &Node) -> io::Result<()> {
        waits()
    }

    fn try_lock(&self, _: &Node) -> io::Result<bool> {
        waits()
    }

    fn unlock(&self, _: &Node) -> io::Result<()> {
        waits()
    }

    fn kind(&self, _: &Node) -> io::Result<(String, Kind)> {
        waits()
    }
}
