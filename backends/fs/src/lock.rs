//! One writer at a time: an advisory lock on `.journal/lock` between processes.

use std::{
    collections::BTreeSet,
    fs::{File, TryLockError},
    path::PathBuf,
};

use pflow_backend::{Error, ErrorKind, Result};
use rustix::{
    fs::{Mode, OFlags},
    io::retry_on_intr,
};

use crate::{
    disk::Disk,
    error::{failed, special_file},
    folder::{FileId, Folder, type_of},
    journal::{self, JOURNAL, LOCK},
    note::Note,
    root::Root,
};

/// How often one attempt opens the lock file again because somebody deleted it between its opening and its locking.
const REOPENINGS: usize = 16;

/// What came of asking for the lock once.
#[derive(Debug)]
pub(crate) enum Attempt {
    Taken(StoreLock),
    /// Somebody else has it: their own words about themselves.
    Held(String),
}

/// The right to change what is stored, until it is dropped.
///
/// While one exists, no other exists for the same folder, in any process and for any handle. The lock belongs to the
/// open file description, not to the process: **every commit opens the file anew**, so two handles of one process exclude each
/// other like strangers, and a forked child shares no description that it would lock with again. A process that dies, however it dies,
/// gives it back.
#[derive(Debug)]
pub(crate) struct StoreLock {
    file: File,
    journal: Folder,
}

impl StoreLock {
    /// Asks once, without waiting.
    ///
    /// # Errors
    /// The root is not where it was, or the lock file cannot be made, opened or locked.
    pub(crate) fn try_take(root: &Root, disk: &Disk) -> Result<Attempt> {
        // For a plain answer where the folder is gone, before anything is made in it.
        root.check_in_place()?;
        for _ in 0..REOPENINGS {
            let journal = journal::folder(root.folder(), disk)?;
            let file = open(&journal)?;
            if let Some(attempt) = Self::try_take_file(root, journal, file)? {
                return Ok(attempt);
            }
        }
        Ok(Attempt::Held("somebody who keeps deleting the lock file".to_owned()))
    }

    /// The same with the file that was opened; none if it is not the lock file any more.
    fn try_take_file(root: &Root, journal: Folder, file: File) -> Result<Option<Attempt>> {
        let path = || journal.path_of(LOCK);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let note = Note::read(&file).map_err(|error| failed("read", &path(), error))?;
                return Ok(Some(Attempt::Held(note.holder().to_owned())));
            }
            Err(TryLockError::Error(error)) => {
                let what = format!("Failed to lock {}: is this a file system with locks?", path().display());
                return Err(Error::new(ErrorKind::Unsafe, what).with_source(error));
            }
        }
        let lock = Self { file, journal };
        // IMPORTANT: only now, under the lock. Whoever finds another root or another lock file here may share them with
        // nobody, and would exclude nobody.
        root.check_in_place()?;
        Ok(lock.is_in_place(root.folder())?.then_some(Attempt::Taken(lock)))
    }

    /// The folder that the lock is in.
    pub(crate) fn journal(&self) -> &Folder {
        &self.journal
    }

    /// Whether the locked file is the one that everybody else finds.
    fn is_in_place(&self, root: &Folder) -> Result<bool> {
        let journal = root.look(JOURNAL)?.map(|stat| FileId::of(&stat));
        if journal != Some(self.journal.id()?) {
            return Ok(false);
        }
        let mine =
            rustix::fs::fstat(&self.file).map_err(|errno| failed("look at", &self.path(), errno.into()))?;
        Ok(self.journal.look(LOCK)?.is_some_and(|stat| FileId::of(&stat) == FileId::of(&mine)))
    }

    /// What the last holder wrote down, and perhaps did not come to do.
    pub(crate) fn last_note(&self) -> Result<Note> {
        Note::read(&self.file).map_err(|error| failed("read", &self.path(), error))
    }

    /// Writes down who holds the lock now, in place of what stands there.
    pub(crate) fn introduce(&self, note: &Note) -> Result<()> {
        note.introduce(&self.file).map_err(|error| failed("write", &self.path(), error))
    }

    /// Writes down which folders are about to change.
    pub(crate) fn promise(&self, note: &Note, folders: &BTreeSet<&str>) -> Result<()> {
        note.promise(&self.file, folders).map_err(|error| failed("write", &self.path(), error))
    }

    /// Takes that back: all of it is synced, or nothing of it happened.
    pub(crate) fn settle(&self, note: &Note) {
        if let Err(error) = note.settle(&self.file) {
            // Whoever locks next syncs once more than it had to.
            tracing::debug!(%error, path = %self.path().display(), "could not shorten the note");
        }
    }

    fn path(&self) -> PathBuf {
        self.journal.path_of(LOCK)
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        // Unlocking, not closing: a child that was forked meanwhile and has not called exec yet keeps the description open.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, path = %self.path().display(), "could not unlock; closing does");
        }
    }
}

fn open(journal: &Folder) -> Result<File> {
    let path = || journal.path_of(LOCK);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o666);
    let file: File = retry_on_intr(|| rustix::fs::openat(journal, LOCK, flags, mode))
        .map_err(|errno| failed("open", &path(), errno.into()))?
        .into();
    let stat = rustix::fs::fstat(&file).map_err(|errno| failed("look at", &path(), errno.into()))?;
    if !type_of(&stat).is_file() {
        return Err(special_file(&path()));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(root: &Root) -> StoreLock {
        match StoreLock::try_take(root, &Disk::default()).unwrap() {
            Attempt::Taken(lock) => lock,
            Attempt::Held(holder) => panic!("held by {holder}"),
        }
    }

    #[test]
    fn a_lock_on_a_file_that_was_deleted_is_no_lock() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(place.path()).unwrap();
        let old = taken(&root);
        assert!(old.is_in_place(root.folder()).unwrap());
        std::fs::remove_file(place.path().join(".journal/lock")).unwrap();
        assert!(!old.is_in_place(root.folder()).unwrap());
        let new = taken(&root);
        assert!(new.is_in_place(root.folder()).unwrap());
        assert!(!old.is_in_place(root.folder()).unwrap());
        std::fs::rename(place.path().join(".journal"), place.path().join("gone")).unwrap();
        assert!(!new.is_in_place(root.folder()).unwrap());
    }

    #[test]
    fn what_changes_between_opening_and_locking_is_noticed_under_the_lock() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store");
        std::fs::create_dir(&path).unwrap();
        let root = Root::open(&path).unwrap();
        let opened = || {
            let journal = journal::folder(root.folder(), &Disk::default()).unwrap();
            let file = open(&journal).unwrap();
            (journal, file)
        };
        let (journal, file) = opened();
        std::fs::remove_file(path.join(".journal/lock")).unwrap();
        drop(taken(&root));
        assert!(StoreLock::try_take_file(&root, journal, file).unwrap().is_none());

        let (journal, file) = opened();
        std::fs::rename(&path, place.path().join("moved")).unwrap();
        let error = StoreLock::try_take_file(&root, journal, file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
    }
}
