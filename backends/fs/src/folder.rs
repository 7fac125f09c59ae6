//! Folders and files by descriptor, so that no name is ever looked up through a link.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use pflow_backend::{Error, ErrorKind, Result};
use rustix::{
    fs::{FileType, Mode},
    io::Errno,
};

use crate::{
    error::{errno_of, failed, is_no_call, special_file, symbolic_link},
    medium::{FileId, Medium, Node, Open, Origin, Sharing, Status},
};

/// How deep a tree may be of which it is asked whether it is empty. The longest key has fewer folders.
const DEEPEST: usize = 600;

/// How often a folder is read whose names keep changing.
const READINGS: usize = 4;

/// An open folder. Clones share the descriptor; it closes with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    medium: Arc<dyn Medium>,
    node: Node,
    /// Absolute, for messages and for nothing else.
    path: PathBuf,
    /// What new files and folders take over from the store's own folder.
    sharing: Option<Sharing>,
}

/// An open file and the path for messages.
#[derive(Debug, Clone)]
pub(crate) struct OpenFile {
    medium: Arc<dyn Medium>,
    node: Node,
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

impl Folder {
    /// The same folder for whoever must not wait: what it has to wait for is an error. None if the system
    /// cannot tell.
    pub(crate) fn without_waiting(&self) -> Option<Self> {
        let medium = self.medium.without_waiting()?;
        Some(Self { medium, node: self.node.clone(), path: self.path.clone(), sharing: None })
    }

    /// The folder that a path names. Links in it are the user's choice and are followed, here and nowhere
    /// else.
    pub(crate) fn open(medium: Arc<dyn Medium>, path: &Path) -> Result<Self> {
        match medium.open_root(path) {
            Ok(node) => Ok(Self { medium, node, path: path.to_owned(), sharing: None }),
            Err(error) => Err(match errno_of(&error) {
                Some(Errno::NOENT) => {
                    Error::not_applied(ErrorKind::Missing, format!("{} is not there", path.display()))
                }
                Some(Errno::NOTDIR) => {
                    Error::not_applied(ErrorKind::InvalidInput, format!("{} is not a folder", path.display()))
                }
                _ => failed("open", path, error),
            }),
        }
    }

    /// The same folder, of which everything that is made below it takes over the group and the mode, so that
    /// users who share it can work together (as `core.sharedRepository` of git does).
    pub(crate) fn shared(mut self) -> Result<Self> {
        let sharing = self.medium.sharing(&self.node);
        self.sharing = sharing.map_err(|error| failed("look at", &self.path, error))?;
        Ok(self)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn path_of(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn medium(&self) -> &Arc<dyn Medium> {
        &self.medium
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) fn status(&self) -> Result<Status> {
        self.medium.status(&self.node).map_err(|error| failed("look at", &self.path, error))
    }

    pub(crate) fn id(&self) -> Result<FileId> {
        Ok(self.status()?.id)
    }

    /// What tells this folder from a copy of it.
    pub(crate) fn origin(&self) -> Result<Origin> {
        self.medium.origin(&self.node).map_err(|error| failed("look at", &self.path, error))
    }

    /// The number of the mount that this folder, or the name in it, is reached through; none where the system
    /// cannot tell.
    pub(crate) fn mount(&self, name: Option<&str>) -> Result<Option<u64>> {
        let path = || name.map_or_else(|| self.path.clone(), |name| self.path_of(name));
        let mount = self.medium.mount(&self.node, name.map(OsStr::new));
        mount.map_err(|error| failed("look at", &path(), error))
    }

    /// What the name stands for itself, a link being a link.
    pub(crate) fn look(&self, name: impl AsRef<OsStr>) -> Result<Option<Status>> {
        let name = name.as_ref();
        match self.medium.look(&self.node, name) {
            Ok(status) => Ok(Some(status)),
            Err(error) if errno_of(&error) == Some(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed("look at", &self.path_of(name), error)),
        }
    }

    /// One folder down.
    pub(crate) fn step(&self, name: impl AsRef<OsStr>) -> Result<Step> {
        let name = name.as_ref();
        match self.medium.open_folder(&self.node, name) {
            Ok(node) => {
                let (medium, sharing) = (self.medium.clone(), self.sharing);
                Ok(Step::Folder(Self { medium, node, path: self.path_of(name), sharing }))
            }
            Err(error) => match errno_of(&error) {
                Some(Errno::NOENT) => Ok(Step::Missing),
                // Systems differ in what they answer for a link, so they are asked what it is.
                Some(Errno::NOTDIR | Errno::LOOP) => Ok(match self.look(name)? {
                    Some(status) => Step::Other(status.kind),
                    None => Step::Missing,
                }),
                _ => Err(failed("open", &self.path_of(name), error)),
            },
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

    /// The regular file of this name for reading; none if there is nothing or a folder.
    ///
    /// # Errors
    /// A link or a special file (`Unsafe`), or it could not be opened.
    pub(crate) fn open_file(&self, name: &str) -> Result<Option<(OpenFile, Status)>> {
        let path = || self.path_of(name);
        let node = match self.medium.open(&self.node, name.as_ref(), Open::Read) {
            Ok(node) => node,
            Err(error) => match errno_of(&error) {
                Some(Errno::NOENT) => return Ok(None),
                // Sockets cannot be opened, and devices without a driver neither.
                Some(Errno::NXIO | Errno::NODEV | Errno::OPNOTSUPP) => return Err(special_file(&path())),
                _ => return Err(failed("open", &path(), error)),
            },
        };
        let file = OpenFile { medium: self.medium.clone(), node, path: path() };
        let status = file.status()?;
        match status.kind {
            FileType::RegularFile => Ok(Some((file, status))),
            FileType::Directory => Ok(None),
            _ => Err(special_file(&file.path)),
        }
    }

    /// The regular file of this key for reading; none if there is nothing or a folder.
    ///
    /// # Errors
    /// A link or a special file is in the way (`Unsafe`), or it could not be opened.
    pub(crate) fn open_below(&self, path: &str) -> Result<Option<(OpenFile, Status)>> {
        let opened = self.medium.open_path(&self.node, path);
        match opened {
            Ok(node) => {
                let file = OpenFile { medium: self.medium.clone(), node, path: self.path_of(path) };
                let status = file.status()?;
                if status.kind == FileType::RegularFile {
                    return Ok(Some((file, status)));
                }
            }
            Err(error) if errno_of(&error) == Some(Errno::NOENT) => return Ok(None),
            Err(_) => {}
        }
        // Step by step, for a plain word about what is in the way.
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        match self.walk(folders.split('/').filter(|it| !it.is_empty()))? {
            Walk::There(folder) => folder.open_file(name),
            Walk::Missing(_) | Walk::Blocked(..) => Ok(None),
        }
    }

    /// A file of this crate's own, opened as `how` says.
    pub(crate) fn open_own(&self, name: &str, how: Open) -> io::Result<OpenFile> {
        let open = |how| self.medium.open(&self.node, name.as_ref(), how);
        let node = match (self.sharing, how) {
            (Some(sharing), Open::New(mode)) => {
                let node = open(how)?;
                self.medium.share(&node, sharing, mode.is_some());
                node
            }
            // Only what is made here is shared.
            (Some(sharing), Open::Create) => match open(Open::Write) {
                Err(error) if errno_of(&error) == Some(Errno::NOENT) => match open(Open::New(None)) {
                    Ok(node) => {
                        self.medium.share(&node, sharing, false);
                        node
                    }
                    Err(error) if errno_of(&error) == Some(Errno::EXIST) => open(Open::Create)?,
                    Err(error) => return Err(error),
                },
                opened => opened?,
            },
            _ => open(how)?,
        };
        Ok(OpenFile { medium: self.medium.clone(), node, path: self.path_of(name) })
    }

    /// A file that was not there, for writing; with `mode` instead of the default if there is one.
    pub(crate) fn create_file(&self, name: &str, mode: Option<Mode>) -> Result<OpenFile> {
        self.open_own(name, Open::New(mode)).map_err(|error| failed("create", &self.path_of(name), error))
    }

    /// Makes a folder, unless there is one already; whether it was made.
    pub(crate) fn create_folder(&self, name: impl AsRef<OsStr>) -> Result<bool> {
        let name = name.as_ref();
        match self.medium.create_folder(&self.node, name) {
            Err(error) if errno_of(&error) == Some(Errno::EXIST) => Ok(false),
            other => other.map(|()| true).map_err(|error| failed("create", &self.path_of(name), error)),
        }
    }

    /// The folder of this name, made if need be; whether it was made here, and not by another process
    /// meanwhile.
    pub(crate) fn step_or_create(&self, name: &str) -> Result<(Self, bool)> {
        if let Step::Folder(folder) = self.step(name)? {
            return Ok((folder, false));
        }
        let is_new = self.create_folder(name)?;
        let path = || self.path_of(name);
        match self.step(name)? {
            Step::Folder(folder) => {
                if let Some(sharing) = self.sharing.filter(|_| is_new) {
                    self.medium.share(&folder.node, sharing, false);
                }
                Ok((folder, is_new))
            }
            Step::Other(FileType::Symlink) => Err(symbolic_link(&path())),
            Step::Other(_) => Err(special_file(&path())),
            Step::Missing => {
                let what = format!("{} was removed while in use", path().display());
                Err(Error::not_applied(ErrorKind::Unavailable, what))
            }
        }
    }

    /// Puts a file in the place of `to`, whatever was there: a reader sees the one or the other.
    pub(crate) fn rename(&self, name: &str, to: (&Self, &str)) -> Result<()> {
        self.medium
            .rename((&self.node, name.as_ref()), (&to.0.node, to.1.as_ref()))
            .map_err(|error| failed("move a file to", &to.0.path_of(to.1), error))
    }

    /// Gives a file a name that nothing has; false if something has it by now. Where the system cannot tell,
    /// that is replaced.
    pub(crate) fn rename_new(&self, name: &str, to: (&Self, &str)) -> Result<bool> {
        match self.medium.rename_new((&self.node, name.as_ref()), (&to.0.node, to.1.as_ref())) {
            Ok(()) => Ok(true),
            Err(error) => match errno_of(&error) {
                Some(Errno::EXIST) => Ok(false),
                Some(errno) if is_no_call(errno) => self.rename(name, to).map(|()| true),
                _ => Err(failed("move a file to", &to.0.path_of(to.1), error)),
            },
        }
    }

    /// Two names change places.
    pub(crate) fn exchange(&self, name: &str, with: (&Self, &str)) -> io::Result<()> {
        self.medium.exchange((&self.node, name.as_ref()), (&with.0.node, with.1.as_ref()))
    }

    /// Takes a file's name away; one that is gone already is welcome.
    pub(crate) fn remove_file(&self, name: &str) -> Result<()> {
        match self.medium.remove_file(&self.node, name.as_ref()) {
            Err(error) if errno_of(&error) == Some(Errno::NOENT) => Ok(()),
            other => other.map_err(|error| failed("remove", &self.path_of(name), error)),
        }
    }

    /// Removes a folder, which must be empty.
    pub(crate) fn remove_folder(&self, name: impl AsRef<OsStr>) -> Result<()> {
        let name = name.as_ref();
        self.medium
            .remove_folder(&self.node, name)
            .map_err(|error| failed("remove", &self.path_of(name), error))
    }

    /// All names in here but `.` and `..`, in no order. One that comes, goes or is replaced meanwhile may be
    /// missing or there twice.
    pub(crate) fn names(&self) -> Result<Vec<(OsString, FileType)>> {
        let mut names = match self.medium.names(&self.node) {
            Ok(names) => names,
            // The folder itself was removed meanwhile.
            Err(error) if errno_of(&error) == Some(Errno::NOENT) => Vec::new(),
            Err(error) => return Err(failed("read the folder", &self.path, error)),
        };
        for (name, kind) in &mut names {
            // Some file systems do not say it while they list.
            if *kind == FileType::Unknown
                && let Some(status) = self.look(&*name)?
            {
                *kind = status.kind;
            }
        }
        Ok(names)
    }

    /// All names that are there for the whole reading, perhaps several times each, and perhaps others.
    ///
    /// A file system may give a replaced file a new place, behind the end that the reading began with (btrfs
    /// does), so that one reading misses a name that was there all the time. The time of the folder's last
    /// change tells, as finely as the system keeps it; the readings add up.
    pub(crate) fn names_while_others_write(&self) -> Result<Vec<(OsString, FileType)>> {
        let mut names = Vec::new();
        let mut before = self.status()?.modified;
        for _ in 0..READINGS {
            names.append(&mut self.names()?);
            let after = self.status()?.modified;
            if before == after {
                break;
            }
            before = after;
        }
        Ok(names)
    }

    /// The path of anything below that is no folder and not passed over; none if there is nothing else.
    pub(crate) fn first_inhabitant(&self, passed_over: &dyn Fn(&Path) -> bool) -> Result<Option<PathBuf>> {
        self.inhabitant_within(DEEPEST, passed_over)
    }

    fn inhabitant_within(
        &self,
        depth: usize,
        passed_over: &dyn Fn(&Path) -> bool,
    ) -> Result<Option<PathBuf>> {
        for (name, _) in self.names()? {
            let path = self.path_of(&name);
            let found = match self.step(&name)? {
                Step::Missing => None,
                Step::Folder(below) if depth > 0 => below.inhabitant_within(depth - 1, passed_over)?,
                Step::Folder(_) | Step::Other(_) => (!passed_over(&path)).then_some(path),
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Returns once the names in the folder are on the medium.
    pub(crate) fn sync(&self) -> Result<()> {
        self.medium.sync(&self.node).map_err(|error| failed("sync", &self.path, error))
    }
}

impl OpenFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn status(&self) -> Result<Status> {
        self.medium.status(&self.node).map_err(|error| failed("look at", &self.path, error))
    }

    /// What tells this file from a copy of it.
    pub(crate) fn origin(&self) -> Result<Origin> {
        self.medium.origin(&self.node).map_err(|error| failed("look at", &self.path, error))
    }

    /// Fills `bytes` from `offset` as far as the file goes; how much there was.
    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.medium.read_at(&self.node, rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) => return Err(failed("read", &self.path, error)),
            }
        }
        Ok(done)
    }

    /// Where the first bytes at or behind `offset` are that are no hole, as far as the system tells; none up
    /// to the end of the file.
    pub(crate) fn next_data(&self, offset: u64) -> Result<Option<u64>> {
        self.medium.next_data(&self.node, offset).map_err(|error| failed("read", &self.path, error))
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// Any part of them may be there.
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match self.medium.write_at(&self.node, rest, offset + done as u64) {
                Ok(0) => return Err(failed("write", &self.path, Errno::NOSPC.into())),
                Ok(written) => done += written,
                Err(error) => return Err(failed("write", &self.path, error)),
            }
        }
        Ok(())
    }

    pub(crate) fn set_length(&self, length: u64) -> Result<()> {
        self.medium
            .set_length(&self.node, length)
            .map_err(|error| failed("set the length of", &self.path, error))
    }

    /// Returns once content and length are on the medium. The name is not.
    pub(crate) fn sync_data(&self) -> Result<()> {
        self.medium.sync_data(&self.node).map_err(|error| failed("sync", &self.path, error))
    }

    pub(crate) fn try_lock(&self) -> io::Result<bool> {
        self.medium.try_lock(&self.node)
    }

    pub(crate) fn unlock(&self) -> io::Result<()> {
        self.medium.unlock(&self.node)
    }
}
