//! Folders by descriptor, so that no name is ever looked up through a link.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use pflow_backend::{DateTime, Error, ErrorKind, Result, Utc};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat},
    io::{Errno, retry_on_intr},
};

use crate::error::{failed, special_file, symbolic_link};

/// How deep a tree may be of which it is asked whether it is empty. The longest key has fewer folders.
const DEEPEST: usize = 600;

/// How often a folder is read whose names keep changing.
const READINGS: usize = 4;

/// An open folder. Clones share the descriptor; it closes with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    file: Arc<File>,
    /// Absolute, for messages and for nothing else.
    path: PathBuf,
}

/// What one name in a folder leads to.
pub(crate) enum Step {
    Folder(Folder),
    Missing,
    /// Something else. A link stays a link: it is named, not followed.
    Other(FileType),
}

/// Where the folder of a key is.
pub(crate) enum Walk {
    /// Here.
    There(Folder),
    /// Not made yet. The deepest folder on the way that is there.
    Missing(Folder),
    /// What stands in its place is no folder and no link.
    Blocked(PathBuf, FileType),
}

/// What tells one folder or file from every other one that exists now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    /// Wide enough for the device numbers of every system.
    device: i128,
    inode: u64,
}

impl FileId {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self { device: i128::from(stat.st_dev), inode: stat.st_ino }
    }

    pub(crate) fn same_device(&self, other: &Self) -> bool {
        self.device == other.device
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Folder {
    /// The folder that a path names. Links in it are the user's choice and are followed, here and nowhere else.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())) {
            Ok(fd) => Ok(Self { file: Arc::new(fd.into()), path: path.to_owned() }),
            Err(Errno::NOENT) => {
                Err(Error::new(ErrorKind::Missing, format!("{} is not there", path.display())))
            }
            Err(Errno::NOTDIR) => {
                Err(Error::new(ErrorKind::InvalidInput, format!("{} is not a folder", path.display())))
            }
            Err(errno) => Err(failed("open", path, errno.into())),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn path_of(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn id(&self) -> Result<FileId> {
        let stat = rustix::fs::fstat(self).map_err(|errno| failed("look at", &self.path, errno.into()))?;
        Ok(FileId::of(&stat))
    }

    /// What the name stands for itself, a link being a link.
    pub(crate) fn look(&self, name: impl AsRef<OsStr>) -> Result<Option<Stat>> {
        let name = name.as_ref();
        match rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("look at", &self.path_of(name), errno.into())),
        }
    }

    /// One folder down.
    pub(crate) fn step(&self, name: impl AsRef<OsStr>) -> Result<Step> {
        let name = name.as_ref();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match retry_on_intr(|| rustix::fs::openat(self, name, flags, Mode::empty())) {
            Ok(fd) => Ok(Step::Folder(Self { file: Arc::new(File::from(fd)), path: self.path_of(name) })),
            Err(Errno::NOENT) => Ok(Step::Missing),
            // Systems differ in what they answer for a link, so they are asked what it is.
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(match self.look(name)? {
                Some(stat) => Step::Other(type_of(&stat)),
                None => Step::Missing,
            }),
            Err(errno) => Err(failed("open", &self.path_of(name), errno.into())),
        }
    }

    /// Down along `names`.
    ///
    /// # Errors
    /// One of them is a link (`Unsafe`), or could not be opened.
    pub(crate) fn walk<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<Walk> {
        let mut here = self.clone();
        for name in names {
            match here.step(name)? {
                Step::Folder(next) => here = next,
                Step::Missing => return Ok(Walk::Missing(here)),
                Step::Other(FileType::Symlink) => return Err(symbolic_link(&here.path_of(name))),
                Step::Other(other) => return Ok(Walk::Blocked(here.path_of(name), other)),
            }
        }
        Ok(Walk::There(here))
    }

    /// The regular file of this name; none if there is nothing or a folder.
    ///
    /// # Errors
    /// A link or a special file (`Unsafe`), or it could not be opened.
    pub(crate) fn open_file(&self, name: &str) -> Result<Option<File>> {
        let path = || self.path_of(name);
        // Without O_NONBLOCK, opening a pipe waits for a writer, perhaps for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match retry_on_intr(|| rustix::fs::openat(self, name, flags, Mode::empty())) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            // Sockets cannot be opened, and devices without a driver neither.
            Err(Errno::NXIO | Errno::NODEV | Errno::OPNOTSUPP) => return Err(special_file(&path())),
            Err(errno) => return Err(failed("open", &path(), errno.into())),
        };
        let stat = rustix::fs::fstat(&file).map_err(|errno| failed("look at", &path(), errno.into()))?;
        match type_of(&stat) {
            FileType::RegularFile => Ok(Some(file)),
            FileType::Directory => Ok(None),
            _ => Err(special_file(&path())),
        }
    }

    /// All names in here but `.` and `..`, in no order. One that comes, goes or is replaced meanwhile may be missing or
    /// there twice.
    pub(crate) fn names(&self) -> Result<Vec<(OsString, FileType)>> {
        let mut names = Vec::new();
        let read = |names: &mut Vec<_>| -> rustix::io::Result<()> {
            for entry in Dir::read_from(self)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    names.push((OsString::from_vec(name.to_vec()), entry.file_type()));
                }
            }
            Ok(())
        };
        match read(&mut names) {
            // NOENT: the folder itself was removed meanwhile.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed("read the folder", &self.path, errno.into())),
        }
        for (name, kind) in &mut names {
            // Some file systems do not say it while they list.
            if *kind == FileType::Unknown
                && let Some(stat) = self.look(&*name)?
            {
                *kind = type_of(&stat);
            }
        }
        Ok(names)
    }

    /// All names that are there for the whole reading, perhaps several times each, and perhaps others.
    ///
    /// A file system may give a replaced file a new place, behind the end that the reading began with (btrfs does), so that one
    /// reading misses a name that was there all the time. The time of the folder's last change tells, as finely as the system keeps it; the readings
    /// add up.
    pub(crate) fn names_while_others_write(&self) -> Result<Vec<(OsString, FileType)>> {
        let mut names = Vec::new();
        let mut before = self.last_change()?;
        for _ in 0..READINGS {
            names.append(&mut self.names()?);
            let after = self.last_change()?;
            if before == after {
                break;
            }
            before = after;
        }
        Ok(names)
    }

    fn last_change(&self) -> Result<DateTime<Utc>> {
        let stat = rustix::fs::fstat(self).map_err(|errno| failed("look at", &self.path, errno.into()))?;
        Ok(modified(&stat))
    }

    /// The path of anything below that is no folder; none if there are only folders.
    pub(crate) fn first_inhabitant(&self) -> Result<Option<PathBuf>> {
        self.inhabitant_within(DEEPEST)
    }

    fn inhabitant_within(&self, depth: usize) -> Result<Option<PathBuf>> {
        for (name, _) in self.names()? {
            let found = match self.step(&name)? {
                Step::Missing => None,
                Step::Folder(below) if depth > 0 => below.inhabitant_within(depth - 1)?,
                Step::Folder(_) | Step::Other(_) => Some(self.path_of(&name)),
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

pub(crate) fn type_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// When a file was last written; the epoch where the system's answer makes no sense.
pub(crate) fn modified(stat: &Stat) -> DateTime<Utc> {
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    DateTime::from_timestamp(stat.st_mtime, nanos).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_the_epoch_is_a_time() {
        let mut stat = rustix::fs::fstat(tempfile::tempfile().unwrap().as_fd()).unwrap();
        stat.st_mtime = -1;
        stat.st_mtime_nsec = 500_000_000;
        assert_eq!(modified(&stat).timestamp_millis(), -500);
    }
}
