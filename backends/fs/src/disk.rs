//! Every system call that changes or syncs what is stored, in one place.
//!
//! So a test can see which calls a batch costs and in which order, and can let any of them fail. The lock file is not
//! here: no crash depends on its content.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use pflow_backend::Result;
use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::retry_on_intr,
};

use crate::{error::failed, folder::Folder};

/// The mode of new files and folders before the process's umask.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);

/// The calls, as messages and tests name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    CreateFile,
    Write,
    SyncFile,
    CreateFolder,
    Rename,
    RemoveFile,
    RemoveFolder,
    SyncFolder,
}

/// The way to the medium.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    script: std::sync::Mutex<script::Script>,
}

impl Disk {
    /// A file that was not there, for writing; with `mode` instead of the default if there is one.
    pub(crate) fn create_file(&self, folder: &Folder, name: &str, mode: Option<Mode>) -> Result<File> {
        // O_EXCL does not follow a link either; O_NOFOLLOW says so twice.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.run(Call::CreateFile, &folder.path_of(name), || {
            let fd = retry_on_intr(|| rustix::fs::openat(folder, name, flags, FILE_MODE))?;
            let file = File::from(fd);
            if let Some(mode) = mode {
                rustix::fs::fchmod(&file, mode)?;
            }
            Ok(file)
        })
    }

    /// Appends all of `bytes`.
    pub(crate) fn write(&self, mut file: &File, path: &Path, bytes: &[u8]) -> Result<()> {
        self.run(Call::Write, path, || file.write_all(bytes))
    }

    /// Returns once content and length are on the medium (`F_FULLFSYNC` on macOS, as `File::sync_all` does).
    pub(crate) fn sync_file(&self, file: &File, path: &Path) -> Result<()> {
        self.run(Call::SyncFile, path, || file.sync_all())
    }

    /// A folder; one that is there already is welcome.
    pub(crate) fn create_folder(&self, parent: &Folder, name: &str) -> Result<()> {
        self.run(Call::CreateFolder, &parent.path_of(name), || {
            match rustix::fs::mkdirat(parent, name, FOLDER_MODE) {
                Err(rustix::io::Errno::EXIST) => Ok(()),
                other => Ok(other?),
            }
        })
    }

    /// Puts a file in the place of `to`, whatever was there: a reader sees the one or the other.
    pub(crate) fn rename(&self, from: (&Folder, &str), to: (&Folder, &str)) -> Result<()> {
        self.run(Call::Rename, &to.0.path_of(to.1), || Ok(rustix::fs::renameat(from.0, from.1, to.0, to.1)?))
    }

    /// Takes a file's name away; one that is gone already is welcome.
    pub(crate) fn remove_file(&self, folder: &Folder, name: &str) -> Result<()> {
        self.run(Call::RemoveFile, &folder.path_of(name), || {
            match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
                Err(rustix::io::Errno::NOENT) => Ok(()),
                other => Ok(other?),
            }
        })
    }

    /// Removes a folder, which must be empty.
    pub(crate) fn remove_folder(&self, parent: &Folder, name: &str) -> Result<()> {
        self.run(Call::RemoveFolder, &parent.path_of(name), || {
            Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
        })
    }

    /// Returns once the names in the folder are on the medium.
    pub(crate) fn sync_folder(&self, folder: &Folder) -> Result<()> {
        self.run(Call::SyncFolder, folder.path(), || folder.sync())
    }

    fn run<T>(&self, call: Call, path: &Path, work: impl FnOnce() -> io::Result<T>) -> Result<T> {
        #[cfg(test)]
        self.meet(call, path).map_err(|fault| failed(call.verb(), path, fault))?;
        work().map_err(|error| failed(call.verb(), path, error))
    }
}

impl Call {
    fn verb(self) -> &'static str {
        match self {
            Self::CreateFile | Self::CreateFolder => "create",
            Self::Write => "write",
            Self::SyncFile | Self::SyncFolder => "sync",
            Self::Rename => "move a file to",
            Self::RemoveFile | Self::RemoveFolder => "remove",
        }
    }
}

/// What a test sees and decides.
#[cfg(test)]
pub(crate) mod script {
    use std::{
        io,
        path::{Path, PathBuf},
        sync::PoisonError,
    };

    use rustix::io::Errno;

    use super::{Call, Disk};

    #[derive(Debug, Default)]
    pub(crate) struct Script {
        seen: Vec<(Call, PathBuf)>,
        fault: Option<(Call, usize, Errno)>,
    }

    impl Disk {
        /// The calls since the last time somebody asked, those that failed included.
        pub(crate) fn take_calls(&self) -> Vec<(Call, PathBuf)> {
            std::mem::take(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner).seen)
        }

        /// Lets the call of this kind fail that comes after `spared` others of it. Nothing is done then.
        pub(crate) fn fail(&self, call: Call, spared: usize, errno: Errno) {
            self.script.lock().unwrap_or_else(PoisonError::into_inner).fault = Some((call, spared, errno));
        }

        pub(super) fn meet(&self, call: Call, path: &Path) -> io::Result<()> {
            let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
            script.seen.push((call, path.to_owned()));
            match &mut script.fault {
                Some((kind, 0, errno)) if *kind == call => {
                    let errno = *errno;
                    script.fault = None;
                    Err(errno.into())
                }
                Some((kind, spared, _)) if *kind == call => {
                    *spared -= 1;
                    Ok(())
                }
                _ => Ok(()),
            }
        }
    }
}
