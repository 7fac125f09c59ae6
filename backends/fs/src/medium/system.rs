//! The operating system itself.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{fd::BorrowedFd, unix::ffi::OsStringExt},
    path::Path,
    sync::Arc,
};

use pflow_backend::DateTime;
use rustix::{
    fd::AsFd,
    fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat},
    io::{Errno, retry_on_intr},
};

use super::{Descriptor, FileId, Kind, Medium, Node, Open, Origin, Sharing, Status, kind};

/// The mode of new files and folders before the process's umask.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);
/// What new folders take over from the folder of the store.
const SHARED_FOLDER: Mode =
    Mode::RWXU.union(Mode::RWXG).union(Mode::ROTH).union(Mode::XOTH).union(Mode::SGID);
/// What new files take over.
const SHARED_FILE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::WGRP).union(Mode::ROTH);
/// What a replaced object hands on. Set-user-id and the like are for programs, which nobody keeps here.
const PERMISSIONS: Mode = Mode::RWXU.union(Mode::RWXG).union(Mode::RWXO);

/// See the module.
#[derive(Debug)]
pub(crate) struct System;

pub(super) fn fd(node: &Node) -> io::Result<BorrowedFd<'_>> {
    match node.as_ref() {
        Descriptor::System(fd) => Ok(fd.as_fd()),
        #[cfg(test)]
        Descriptor::Simulated(_) => Err(Errno::BADF.into()),
    }
}

pub(super) fn node(fd: std::os::fd::OwnedFd) -> Node {
    Arc::new(Descriptor::System(fd))
}

impl Medium for System {
    fn parallelism(&self) -> usize {
        *PROCESSORS
    }

    #[cfg(target_os = "linux")]
    fn without_waiting(&self) -> Option<Arc<dyn Medium>> {
        Some(Arc::new(super::cached::Cached::default()))
    }

    fn open_root(&self, path: &Path) -> io::Result<Node> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(node(retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?))
    }

    fn identify(&self, path: &Path) -> io::Result<FileId> {
        Ok(id(&rustix::fs::stat(path)?))
    }

    fn open_folder(&self, at: &Node, name: &OsStr) -> io::Result<Node> {
        let (at, flags) = (fd(at)?, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC);
        Ok(node(retry_on_intr(|| rustix::fs::openat(at, name, flags, Mode::empty()))?))
    }

    fn open(&self, at: &Node, name: &OsStr, how: Open) -> io::Result<Node> {
        let at = fd(at)?;
        // Without O_NONBLOCK, opening a pipe waits for a writer, perhaps for ever.
        let always = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let (flags, mode) = match how {
            Open::Read => (OFlags::RDONLY, None),
            Open::Write => (OFlags::RDWR, None),
            Open::Create => (OFlags::RDWR | OFlags::CREATE, None),
            Open::New(mode) => (OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode),
        };
        let opened = retry_on_intr(|| rustix::fs::openat(at, name, flags | always, FILE_MODE))?;
        if let Some(mode) = mode {
            rustix::fs::fchmod(&opened, mode)?;
        }
        Ok(node(opened))
    }

    #[cfg(target_os = "linux")]
    fn open_path(&self, at: &Node, path: &str) -> io::Result<Node> {
        use rustix::fs::{ResolveFlags, openat2};
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Ok(node(retry_on_intr(|| {
            openat2(fd(at).map_err(|_| Errno::BADF)?, path, flags, Mode::empty(), resolve)
        })?))
    }

    fn status(&self, node: &Node) -> io::Result<Status> {
        Ok(status(&rustix::fs::fstat(fd(node)?)?))
    }

    #[cfg(target_os = "linux")]
    fn origin(&self, node: &Node) -> io::Result<Origin> {
        use rustix::fs::{StatxFlags, statx};
        let node = fd(node)?;
        let stat = rustix::fs::fstat(node)?;
        let birth = match statx(node, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME) {
            Ok(status) if status.stx_mask & StatxFlags::BTIME.bits() != 0 => {
                Some((status.stx_btime.tv_sec, status.stx_btime.tv_nsec))
            }
            Ok(_) | Err(Errno::NOSYS | Errno::PERM) => None,
            Err(errno) => return Err(errno.into()),
        };
        let (volume, keeps_inodes) = kind::numbers(node)?;
        let FileId { device, inode } = id(&stat);
        Ok(Origin { inode: (keeps_inodes || birth.is_none()).then_some(inode), birth, device, volume })
    }

    #[cfg(target_os = "macos")]
    fn origin(&self, node: &Node) -> io::Result<Origin> {
        let stat = rustix::fs::fstat(fd(node)?)?;
        let FileId { device, inode } = id(&stat);
        // A file system without birth times says 0.
        let birth = (stat.st_birthtime, u32::try_from(stat.st_birthtime_nsec).unwrap_or(0));
        Ok(Origin { inode: Some(inode), birth: (birth != (0, 0)).then_some(birth), device, volume: None })
    }

    fn look(&self, at: &Node, name: &OsStr) -> io::Result<Status> {
        Ok(status(&rustix::fs::statat(fd(at)?, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn names(&self, at: &Node) -> io::Result<Vec<(OsString, FileType)>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(fd(at)?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push((OsString::from_vec(name.to_vec()), entry.file_type()));
            }
        }
        Ok(names)
    }

    fn read_at(&self, file: &Node, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = fd(file)?;
        Ok(retry_on_intr(|| rustix::io::pread(file, &mut *bytes, offset))?)
    }

    #[cfg(target_os = "linux")]
    fn next_data(&self, file: &Node, offset: u64) -> io::Result<Option<u64>> {
        // It moves the offset of the descriptor, which nothing here goes by.
        match rustix::fs::seek(fd(file)?, rustix::fs::SeekFrom::Data(offset)) {
            Ok(data) => Ok(Some(data)),
            Err(Errno::NXIO) => Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(offset)),
            Err(errno) => Err(errno.into()),
        }
    }

    #[cfg(target_os = "linux")]
    fn mount(&self, at: &Node, name: Option<&OsStr>) -> io::Result<Option<u64>> {
        use rustix::fs::{StatxFlags, statx};
        let (name, flags) = match name {
            Some(name) => (name, AtFlags::SYMLINK_NOFOLLOW),
            None => (OsStr::new(""), AtFlags::EMPTY_PATH),
        };
        match statx(fd(at)?, name, flags, StatxFlags::MNT_ID) {
            // Since Linux 5.8: statx(2).
            Ok(status) if status.stx_mask & StatxFlags::MNT_ID.bits() != 0 => Ok(Some(status.stx_mnt_id)),
            Ok(_) | Err(Errno::NOSYS | Errno::PERM) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn sharing(&self, folder: &Node) -> io::Result<Option<Sharing>> {
        let stat = rustix::fs::fstat(fd(folder)?)?;
        Ok(Some(Sharing { mode: Mode::from_raw_mode(stat.st_mode), group: stat.st_gid }))
    }

    fn share(&self, node: &Node, sharing: Sharing, keeps_mode: bool) {
        if let Err(error) = share(node, sharing, keeps_mode) {
            tracing::debug!(%error, "a new file or folder keeps the group or mode that the process gives");
        }
    }

    fn write_at(&self, file: &Node, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let file = fd(file)?;
        Ok(retry_on_intr(|| rustix::io::pwrite(file, bytes, offset))?)
    }

    fn set_length(&self, file: &Node, length: u64) -> io::Result<()> {
        Ok(rustix::fs::ftruncate(fd(file)?, length)?)
    }

    fn create_folder(&self, at: &Node, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(fd(at)?, name, FOLDER_MODE)?)
    }

    fn rename(&self, from: (&Node, &OsStr), to: (&Node, &OsStr)) -> io::Result<()> {
        Ok(rustix::fs::renameat(fd(from.0)?, from.1, fd(to.0)?, to.1)?)
    }

    fn rename_new(&self, from: (&Node, &OsStr), to: (&Node, &OsStr)) -> io::Result<()> {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        Ok(rustix::fs::renameat_with(fd(from.0)?, from.1, fd(to.0)?, to.1, flags)?)
    }

    fn exchange(&self, one: (&Node, &OsStr), other: (&Node, &OsStr)) -> io::Result<()> {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        Ok(rustix::fs::renameat_with(fd(one.0)?, one.1, fd(other.0)?, other.1, flags)?)
    }

    fn remove_file(&self, at: &Node, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(fd(at)?, name, AtFlags::empty())?)
    }

    fn remove_folder(&self, at: &Node, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(fd(at)?, name, AtFlags::REMOVEDIR)?)
    }

    #[cfg(target_os = "linux")]
    fn sync_data(&self, file: &Node) -> io::Result<()> {
        let file = fd(file)?;
        Ok(retry_on_intr(|| rustix::fs::fdatasync(file))?)
    }

    #[cfg(target_os = "macos")]
    fn sync_data(&self, file: &Node) -> io::Result<()> {
        self.sync(file)
    }

    #[cfg(target_os = "linux")]
    fn sync(&self, node: &Node) -> io::Result<()> {
        let node = fd(node)?;
        Ok(retry_on_intr(|| rustix::fs::fsync(node))?)
    }

    #[cfg(target_os = "macos")]
    fn sync(&self, node: &Node) -> io::Result<()> {
        let node = fd(node)?;
        match retry_on_intr(|| rustix::fs::fcntl_fullfsync(node)) {
            // A file system that does not know it; plain fsync is all there is.
            Err(Errno::NOTSUP | Errno::INVAL | Errno::NOTTY) => {
                Ok(retry_on_intr(|| rustix::fs::fsync(node))?)
            }
            other => Ok(other?),
        }
    }

    #[cfg(target_os = "linux")]
    fn syncs_file_systems(&self) -> bool {
        *SYNCFS_TELLS_FAILURES
    }

    #[cfg(target_os = "macos")]
    fn syncs_file_systems(&self) -> bool {
        false
    }

    #[cfg(target_os = "linux")]
    fn sync_file_system(&self, node: &Node) -> io::Result<()> {
        let node = fd(node)?;
        Ok(retry_on_intr(|| rustix::fs::syncfs(node))?)
    }

    #[cfg(target_os = "macos")]
    fn sync_file_system(&self, _: &Node) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn try_lock(&self, file: &Node) -> io::Result<bool> {
        match rustix::fs::flock(fd(file)?, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn unlock(&self, file: &Node) -> io::Result<()> {
        Ok(rustix::fs::flock(fd(file)?, FlockOperation::Unlock)?)
    }

    fn kind(&self, node: &Node) -> io::Result<(String, Kind)> {
        kind::of(fd(node)?)
    }
}

static PROCESSORS: std::sync::LazyLock<usize> =
    std::sync::LazyLock::new(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));

/// Since 5.8 `syncfs` answers failures of writes that happened since the descriptor was opened (syncfs(2));
/// before, it hid them.
#[cfg(target_os = "linux")]
static SYNCFS_TELLS_FAILURES: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    let mut numbers = release.split(|it: char| !it.is_ascii_digit()).map(|it| it.parse().unwrap_or(0_u32));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (5, 8)
});

/// See [`Medium::share`].
fn share(node: &Node, sharing: Sharing, keeps_mode: bool) -> io::Result<()> {
    let made = fd(node)?;
    let stat = rustix::fs::fstat(made)?;
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    // IMPORTANT: a folder is opened by its name after it was made. A superuser must not hand on what another
    // user has put there meanwhile.
    if is_folder && !System.names(node)?.is_empty() {
        return Ok(());
    }
    // Before the mode: it takes the set-group-id bit away.
    let owned = match stat.st_gid == sharing.group {
        true => Ok(()),
        false => rustix::fs::fchown(made, None, Some(rustix::fs::Gid::from_raw(sharing.group))),
    };
    // Bits are only added: what the process's umask takes away the folder gives back, but never the right of
    // all users to write.
    let given = if is_folder { SHARED_FOLDER } else { SHARED_FILE };
    let before = Mode::from_raw_mode(stat.st_mode);
    let mode = before | (sharing.mode & given);
    if !keeps_mode && owned.is_ok() && mode != before {
        rustix::fs::fchmod(made, mode)?;
    }
    Ok(owned?)
}

fn id(stat: &Stat) -> FileId {
    FileId { device: i128::from(stat.st_dev), inode: stat.st_ino }
}

fn status(stat: &Stat) -> Status {
    // The epoch where the system's answer makes no sense.
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Status {
        id: id(stat),
        kind: FileType::from_raw_mode(stat.st_mode),
        mode: Mode::from_raw_mode(stat.st_mode) & PERMISSIONS,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        has_other_names: stat.st_nlink > 1,
        modified: DateTime::from_timestamp(stat.st_mtime, nanos).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_the_epoch_is_a_time() {
        let mut stat = rustix::fs::fstat(tempfile::tempfile().unwrap().as_fd()).unwrap();
        stat.st_mtime = -1;
        stat.st_mtime_nsec = 500_000_000;
        assert_eq!(status(&stat).modified.timestamp_millis(), -500);
    }
}
