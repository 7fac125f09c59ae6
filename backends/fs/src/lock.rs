//! One writer at a time: an advisory lock on `.journal/lock` between processes.

use std::{io, path::PathBuf};

use pflow_backend::{Error, ErrorKind, Identity, Result};
use rustix::{fs::FileType, io::Errno};

use crate::{
    error::{errno_of, failed, special_file},
    folder::{Folder, OpenFile},
    journal::{self, INSTANCE, JOURNAL, LOCK, LOG, NEW_INSTANCE, STATE, WAITING},
    medium::Open,
    root::Root,
};

/// How often one attempt opens the lock file again because somebody deleted it between its opening and its
/// locking.
const REOPENINGS: usize = 16;
/// More than any holder writes about itself.
const LONGEST_NOTE: usize = 512;

/// What came of asking for the lock once.
#[derive(Debug)]
pub(crate) enum Attempt {
    Taken(StoreLock),
    /// Somebody else has it: their own words about themselves.
    Held(String),
}

/// The right to change the journal and the files, until it is dropped.
///
/// While one exists, no other exists for the same folder, in any process and for any handle. The lock belongs
/// to the open file description, not to the process: **every attempt opens the file anew**, so two handles of
/// one process exclude each other like strangers, and a forked child shares no description that it would lock
/// with again. A process that dies, however it dies, gives it back.
#[derive(Debug)]
pub(crate) struct StoreLock {
    file: OpenFile,
    journal: Folder,
}

impl StoreLock {
    /// Asks once, without waiting, and says who has it then.
    ///
    /// # Errors
    /// The root is not where it was, or the lock file cannot be made, opened or locked.
    pub(crate) fn try_take(root: &Root, identity: &Identity) -> Result<Attempt> {
        // For a plain answer where the folder is gone, before anything is made in it.
        root.check_in_place()?;
        for _ in 0..REOPENINGS {
            let journal = journal::find_or_create(root.folder())?;
            let file = open(&journal, Open::Create)?;
            match Self::try_take_file(root, journal, file)? {
                // Whoever has the other folder would keep us out, and we them.
                Some(Attempt::Taken(lock)) if lock.file.status()?.has_other_names => {
                    journal::part(lock.journal(), LOCK)?;
                }
                Some(Attempt::Taken(lock)) if lock.is_half_made()? => lock.unmake(root.folder())?,
                Some(Attempt::Taken(lock)) => {
                    // For messages alone. A full disk must not keep anybody from reading.
                    if let Err(error) = lock.introduce(identity) {
                        tracing::debug!(%error, "could not write down who holds the lock");
                    }
                    return Ok(Attempt::Taken(lock));
                }
                Some(held) => return Ok(held),
                None => {}
            }
        }
        Ok(Attempt::Held("a program that keeps deleting the lock file".to_owned()))
    }

    /// The same for whoever only reads, and may not be allowed to write: the lock file must be there.
    pub(crate) fn try_take_to_read(root: &Root, journal: &Folder) -> Result<Attempt> {
        for _ in 0..REOPENINGS {
            let file = open(journal, Open::Read)?;
            if let Some(attempt) = Self::try_take_file(root, journal.clone(), file)? {
                return Ok(attempt);
            }
        }
        Ok(Attempt::Held("a program that keeps deleting the lock file".to_owned()))
    }

    /// The same with the file that was opened; none if it is not the lock file any more.
    fn try_take_file(root: &Root, journal: Folder, file: OpenFile) -> Result<Option<Attempt>> {
        match file.try_lock() {
            Ok(true) => {}
            Ok(false) => return Ok(Some(Attempt::Held(holder(&note(&file)?)))),
            Err(error) => return Err(no_lock(&file, error)),
        }
        let lock = Self { file, journal };
        // IMPORTANT: only now, under the lock. Whoever finds another root or another lock file here may share
        // them with nobody, and would exclude nobody.
        root.check_in_place()?;
        Ok(lock.is_in_place(root.folder())?.then_some(Attempt::Taken(lock)))
    }

    /// The folder that the lock is in.
    pub(crate) fn journal(&self) -> &Folder {
        &self.journal
    }

    /// Whether the locked file is the one that everybody else finds.
    pub(crate) fn is_in_place(&self, root: &Folder) -> Result<bool> {
        let journal = root.look(JOURNAL)?.map(|status| status.id);
        if journal != Some(self.journal.id()?) {
            return Ok(false);
        }
        let mine = self.file.status()?.id;
        Ok(self.journal.look(LOCK)?.is_some_and(|status| status.id == mine))
    }

    /// Whether a process died, or its sync failed, after it made a file of the journal and before the names
    /// of the journal were durable: then no state says anything, and nothing was ever committed here.
    fn is_half_made(&self) -> Result<bool> {
        let state = self.journal.look(STATE)?;
        if state.is_some_and(|state| state.size > 0) {
            return Ok(false);
        }
        let log = self.journal.look(LOG)?;
        Ok((state.is_some() || log.is_some()) && log.is_none_or(|log| log.size == 0))
    }

    /// Removes a journal that is half made, so that the next attempt makes it again.
    ///
    /// IMPORTANT: the names may have been lost by a failed sync, and a second sync succeeds without them (see
    /// `Medium`). Only names that are given again become durable. The place gets another id then: where a state
    /// is missing nothing is bound to the old one.
    fn unmake(&self, root: &Folder) -> Result<()> {
        for name in [STATE, LOG, WAITING, INSTANCE, NEW_INSTANCE, LOCK] {
            self.journal.remove_file(name)?;
        }
        // It may hold more, `quarantine/` for example. Then its name is of an earlier time, and durable.
        if let Err(error) = root.remove_folder(JOURNAL) {
            tracing::debug!(%error, "the journal's folder stays");
        }
        Ok(())
    }

    /// Writes down who holds the lock now, unless it stands there already.
    fn introduce(&self, identity: &Identity) -> Result<()> {
        let mine = format!("pid {} on host {}", identity.pid, identity.host);
        let mine = mine.replace(|it: char| it.is_control(), " ") + "\n";
        if note(&self.file)? == mine.as_bytes() {
            return Ok(());
        }
        self.file.write_at(mine.as_bytes(), 0)?;
        self.file.set_length(mine.len() as u64)
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        // Unlocking, not closing: a child that was forked meanwhile and has not called exec yet keeps the
        // description open.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, path = %self.file.path().display(), "could not unlock; closing does");
        }
    }
}

/// The place of whoever waits for the lock and is next, until it is dropped.
///
/// Nobody is woken when a lock becomes free, and a holder with work enough takes it again within
/// microseconds, so that others would hardly ever find it free. It looks here first, and gives way.
/// **Politeness alone**: nothing is decided by it, and where it cannot be had the wait is longer.
#[derive(Debug)]
pub(crate) struct NextPlace(OpenFile);

impl NextPlace {
    /// Takes the place, if it is free.
    pub(crate) fn try_take(root: &Root) -> Option<Self> {
        let journal = journal::find(root.folder()).ok().flatten()?;
        let file = journal.open_own(WAITING, Open::Create).ok()?;
        matches!(file.try_lock(), Ok(true)).then_some(Self(file))
    }

    /// Whether somebody has it.
    pub(crate) fn is_taken(root: &Root) -> bool {
        let Ok(Some(journal)) = journal::find(root.folder()) else { return false };
        let Ok(file) = journal.open_own(WAITING, Open::Read) else { return false };
        let taken = matches!(file.try_lock(), Ok(false));
        drop(Self(file));
        taken
    }
}

impl Drop for NextPlace {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "could not unlock; closing does");
        }
    }
}

fn open(journal: &Folder, how: Open) -> Result<OpenFile> {
    let path = || journal.path_of(LOCK);
    let file = journal.open_own(LOCK, how).map_err(|error| match errno_of(&error) {
        Some(Errno::NXIO | Errno::ISDIR) => special_file(&path()),
        _ => failed("open", &path(), error),
    })?;
    if file.status()?.kind != FileType::RegularFile {
        return Err(special_file(&path()));
    }
    Ok(file)
}

fn no_lock(file: &OpenFile, error: io::Error) -> Error {
    let path: PathBuf = file.path().to_owned();
    let what = format!(
        "Failed to lock {}: this file system gives no lock that works; keep the store on a local disk",
        path.display()
    );
    Error::not_applied(ErrorKind::Unsafe, what).with_source(error)
}

fn note(file: &OpenFile) -> Result<Vec<u8>> {
    let mut bytes = vec![0; LONGEST_NOTE];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Who wrote a note, in words fit for a message: whatever stands there.
fn holder(note: &[u8]) -> String {
    let text = String::from_utf8_lossy(note);
    let line = text.lines().next().unwrap_or_default().replace(|it: char| it.is_control(), "");
    if line.is_empty() { "an unknown process".to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pflow_backend::{Environment, ManualEnvironment};

    use super::*;
    use crate::medium::System;

    fn taken(root: &Root) -> StoreLock {
        match StoreLock::try_take(root, ManualEnvironment::new(1).identity()).unwrap() {
            Attempt::Taken(lock) => lock,
            Attempt::Held(holder) => panic!("held by {holder}"),
        }
    }

    #[test]
    fn a_lock_on_a_file_that_was_deleted_is_no_lock() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(Arc::new(System), place.path()).unwrap();
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
        let root = Root::open(Arc::new(System), &path).unwrap();
        let opened = || {
            let journal = journal::find_or_create(root.folder()).unwrap();
            let file = open(&journal, Open::Create).unwrap();
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

    #[test]
    fn whatever_stands_in_the_lock_file_is_fit_for_a_message() {
        assert_eq!(holder(b"pid 1 on host a\nmore"), "pid 1 on host a");
        assert_eq!(holder(b"\x1b[31mred\0\n"), "[31mred");
        assert_eq!(holder(b""), "an unknown process");
        assert_eq!(holder(&[0, 0xff]), "\u{fffd}");
    }
}
