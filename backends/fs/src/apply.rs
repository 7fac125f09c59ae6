//! Writing what the journal holds into the files.
//!
//! Nothing here needs an order: until the files are durable and the journal has ended, the journal counts and
//! not the files, for readers and after a crash.
//!
//! **Invariant:** a value is always written into a new file, never into one that is there. If the system once
//! failed to write a file back, what is written into the same file later may be lost although its sync
//! succeeds (ext4 keeps the blocks marked as unwritten; see `docs/decisions/0043-new-files-only.md`).
//! Whether it failed is known only to those who had the file open then, and that may be another process, an
//! editor or a copy program. A new file is not affected by what happened to the old one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use pflow_backend::{Bytes, Error, ErrorKind, Key, Result, Version};
use rustix::{
    fs::{FileType, Mode},
    io::Errno,
};

use crate::{
    current::{bytes_of, kept_file, not_what_was_committed, value_is_gone},
    error::{errno_of, failed, is_no_call, special_file, symbolic_link},
    failed::{Extent, FailedFolders},
    files::{copy_part, hash_open, split, whole},
    folder::{Folder, OpenFile, Step, Walk},
    journal::{
        STAGING,
        record::{Content, Value},
    },
    medium::Status,
    overlay::{Entry, Judged},
    taken_out,
};

/// How what is written becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// All of the file system at once, by whoever calls.
    Later,
    /// Each file before it gets its name, and the folders by [`Applier::sync_folders`].
    Each,
}

/// How many touched folders are open at a time, in all threads together: macOS lets a process have 256 open
/// files unless told otherwise.
const MOST_TOUCHED: usize = 96;
/// And in one thread at least.
const FEWEST_TOUCHED: usize = 8;

/// How often a copy is put where another program makes and removes files at the same moments.
const TRIES: usize = 4;

/// Writes entries into their files. The caller holds the lock.
#[derive(Debug)]
pub(crate) struct Applier<'a> {
    root: &'a Folder,
    journal: &'a Folder,
    sync: Sync,
    /// Whether names that were given before may be lost without being dirty, so that every name is given
    /// again.
    again: bool,
    /// Names the staged files; never given before.
    id: String,
    epoch: u64,
    staged: usize,
    /// The folder that was opened last: keys come in order.
    last: Option<(String, Folder)>,
    /// Folders in which a name changed, now or when another process worked on it, by path.
    ///
    /// IMPORTANT: those that are changed here stay open from before the change until their sync, so that
    /// every failure since is told to it.
    touched: BTreeMap<PathBuf, Option<Folder>>,
    /// With more than so many these are synced before others are touched.
    most_touched: usize,
    /// Those that could not be synced.
    unsynced: FailedFolders,
    /// What the failure concerns that was met last, until it is asked for.
    extent: Extent,
}

impl<'a> Applier<'a> {
    /// `id` was never given before; see [`Journal::claim_files`](crate::writer::Journal::claim_files) for
    /// `again`.
    pub(crate) fn new(
        root: &'a Folder,
        journal: &'a Folder,
        (sync, again): (Sync, bool),
        id: String,
        epoch: u64,
    ) -> Self {
        Self {
            root,
            journal,
            sync,
            again,
            id,
            epoch,
            staged: 0,
            last: None,
            touched: BTreeMap::new(),
            most_touched: (MOST_TOUCHED / root.medium().parallelism().max(1)).max(FEWEST_TOUCHED),
            unsynced: FailedFolders::new(journal),
            extent: Extent::OneFile,
        }
    }

    /// Makes the file of a key hold what the entry says. A person's edit stays.
    ///
    /// # Errors
    /// It does not, or does and may not be durable. The journal has it still.
    pub(crate) fn apply(&mut self, key: &Key, entry: &Entry) -> Result<()> {
        match &entry.now {
            None => self.delete(key, entry),
            Some(value) => match Source::of(self.root, value)? {
                Some(source) => self.put(key, entry, &source),
                None => Err(value_is_gone(self.root, key)),
            },
        }
    }

    /// Makes the names durable that lead to what was written, and the removal of others. Returns the folders
    /// for which that failed: no name in them or below them may be durable.
    pub(crate) fn sync_folders(mut self) -> FailedFolders {
        self.sync_touched();
        self.unsynced
    }

    fn sync_touched(&mut self) {
        for (path, folder) in std::mem::take(&mut self.touched) {
            let synced = folder.map_or_else(|| self.sync_folder(&path), |folder| folder.sync());
            if let Err(error) = synced {
                self.unsynced.push(path, error);
            }
        }
    }

    fn sync_folder(&self, path: &Path) -> Result<()> {
        let below = path.strip_prefix(self.root.path()).unwrap_or(path).to_owned();
        // A folder that is gone needs no sync: the folder above it, which was touched too, does not name it.
        match self.root.walk(below.iter().filter_map(|name| name.to_str()))? {
            Walk::There(folder) => folder.sync(),
            Walk::Missing(_) | Walk::Blocked(..) => Ok(()),
        }
    }

    /// What the failure concerns that [`apply`](Self::apply) has just answered.
    pub(crate) fn extent(&mut self) -> Extent {
        std::mem::take(&mut self.extent)
    }

    fn put(&mut self, key: &Key, entry: &Entry, source: &Source<'_>) -> Result<()> {
        let name = split(key).1;
        let folder = self.open_or_create(key)?;
        let mut there = folder.look(name)?;
        if there.is_some_and(|it| it.kind == FileType::Directory) {
            remove_folders(&folder, name)?;
            there = None;
        }
        match there {
            Some(it) if it.kind == FileType::Symlink => Err(symbolic_link(&folder.path_of(name))),
            Some(it) if it.kind != FileType::RegularFile => Err(special_file(&folder.path_of(name))),
            // IMPORTANT: a copy never has a part of a value under its name unless the machine crashes, so
            // that such a part is a person's edit otherwise. Of what no person edits it may: readers believe
            // the journal until it is durable.
            _ if entry.may_be_edited() => {
                self.put_copy(&folder, name, there.map(|it| it.mode), key, entry, source)
            }
            None => self.write(&folder, name, None, source),
            Some(it) => {
                let (staging, staged) = self.stage(Some(it.mode), source)?;
                staging.rename(&staged, (&folder, name)).inspect_err(|_| discard(&staging, &staged))
            }
        }
    }

    /// Puts a value where a person may write a file at any moment: nothing is replaced that was not looked
    /// at.
    fn put_copy(
        &mut self,
        folder: &Folder,
        name: &str,
        mode: Option<Mode>,
        key: &Key,
        entry: &Entry,
        source: &Source<'_>,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let is_done = match folder.open_file(name)? {
                None => self.move_in(folder, name, mode, source)?,
                Some((file, status)) => self.swap_in(folder, name, key, entry, (&file, &status), source)?,
            };
            if is_done {
                return Ok(());
            }
        }
        let what = format!(
            "{} was made or removed by another program each time it was to be written",
            folder.path_of(name).display()
        );
        Err(Error::not_applied(ErrorKind::Unavailable, what))
    }

    fn delete(&mut self, key: &Key, entry: &Entry) -> Result<()> {
        let name = split(key).1;
        // The folder stays even if it is empty then: somebody may be about to put the next object there.
        let Some(folder) = self.find(key)? else { return Ok(()) };
        let Some((file, status)) = folder.open_file(name)? else { return self.remove_again(&folder, name) };
        if !entry.may_be_edited() {
            return folder.remove_file(name);
        }
        let held = match self.judge(&file, &status, entry)? {
            (Judged::Ours, version) => Some(version),
            (Judged::Remnant, _) => None,
            (Judged::Edited, _) => return self.keep(&folder, name, key, (&file, &status)).map(drop),
        };
        // Taken out of its place first and looked at there, whatever a person did in between.
        let (staging, number) = self.staged_name()?;
        let staged = taken_out::name(self.epoch, held.as_ref(), &number, key);
        folder.rename(name, (&staging, &staged))?;
        self.look_again(&staging, &staged)?;
        // Pending records are empty and many; a person's work is not.
        if status.size == 0 && taken_out::is_unchanged(&staging, &staged)? {
            staging.remove_file(&staged)?;
        }
        Ok(())
    }

    fn write(&self, folder: &Folder, name: &str, mode: Option<Mode>, source: &Source<'_>) -> Result<()> {
        let file = folder.create_file(name, mode)?;
        source.write_to(&file)?;
        self.sync_written(&file)
    }

    /// Removes a name once more that is not there: the removal may have been lost, and then a crash brings
    /// the file back.
    ///
    /// A folder takes the name in between and not a file, because a folder is no object for any reader.
    fn remove_again(&self, folder: &Folder, name: &str) -> Result<()> {
        if !self.again || folder.look(name)?.is_some() {
            return Ok(());
        }
        folder.create_folder(name)?;
        folder.remove_folder(name)
    }

    /// IMPORTANT: by the descriptor that it was written through, which is told of every failure since.
    fn sync_written(&self, file: &OpenFile) -> Result<()> {
        match self.sync {
            Sync::Each => file.sync_data(),
            Sync::Later => Ok(()),
        }
    }

    fn stage(&mut self, mode: Option<Mode>, source: &Source<'_>) -> Result<(Folder, String)> {
        let (staging, name) = self.staged_name()?;
        self.stage_as(&staging, &name, mode, source)?;
        Ok((staging, name))
    }

    fn stage_as(
        &mut self,
        staging: &Folder,
        name: &str,
        mode: Option<Mode>,
        source: &Source<'_>,
    ) -> Result<()> {
        let file = staging.create_file(name, mode).inspect_err(|_| self.extent = Extent::Everything)?;
        let written = source.write_to(&file).and_then(|()| self.sync_written(&file));
        written.inspect_err(|_| discard(staging, name))
    }

    /// A name in the staging folder that nothing has.
    fn staged_name(&mut self) -> Result<(Folder, String)> {
        let staging = self.journal.step_or_create(STAGING);
        let staging = staging.inspect_err(|_| self.extent = Extent::Everything)?.0;
        self.staged += 1;
        Ok((staging, format!("{}-{}", self.id, self.staged)))
    }

    /// Writes a file where there was none; false if there is one by now.
    fn move_in(
        &mut self,
        folder: &Folder,
        name: &str,
        mode: Option<Mode>,
        source: &Source<'_>,
    ) -> Result<bool> {
        let (staging, staged) = self.stage(mode, source)?;
        let moved = staging.rename_new(&staged, (folder, name));
        if !matches!(moved, Ok(true)) {
            discard(&staging, &staged);
        }
        moved
    }

    /// Replaces a file that a person may have edited; false if it is gone by now. The two change places in
    /// one step, so that what comes out is what was there last, whatever a person did in between. It stays in
    /// staging, because an editor may have it open: see [`taken_out`].
    fn swap_in(
        &mut self,
        folder: &Folder,
        name: &str,
        key: &Key,
        entry: &Entry,
        (file, status): (&OpenFile, &Status),
        source: &Source<'_>,
    ) -> Result<bool> {
        let held = match self.judge(file, status, entry)? {
            (Judged::Ours, version) => Some(version),
            (Judged::Remnant, _) => None,
            (Judged::Edited, _) => return self.keep(folder, name, key, (file, status)),
        };
        self.exchange_in(folder, name, status.mode, key, held.as_ref(), source)
    }

    /// `held` is what the file holds that is taken out; none if that may be the work of a person, which goes
    /// to `quarantine`.
    fn exchange_in(
        &mut self,
        folder: &Folder,
        name: &str,
        mode: Mode,
        key: &Key,
        held: Option<&Version>,
        source: &Source<'_>,
    ) -> Result<bool> {
        let (staging, number) = self.staged_name()?;
        let staged = taken_out::name(self.epoch, held, &number, key);
        self.stage_as(&staging, &staged, Some(mode), source)?;
        let Err(error) = staging.exchange(&staged, (folder, name)) else {
            self.look_again(&staging, &staged)?;
            return Ok(true);
        };
        let errno = errno_of(&error);
        if errno.is_some_and(is_no_call) {
            // The system has no such call. What the file held was looked at a moment ago.
            staging.rename(&staged, (folder, name)).inspect_err(|_| discard(&staging, &staged))?;
            return Ok(true);
        }
        discard(&staging, &staged);
        match errno {
            Some(Errno::NOENT) => Ok(false),
            _ => Err(failed("move a file to", &folder.path_of(name), error)),
        }
    }

    /// What the file holds, and whose it is.
    fn judge(&self, file: &OpenFile, status: &Status, entry: &Entry) -> Result<(Judged, Version)> {
        let version = hash_open(file, status)?.0;
        if entry.knows(&version) {
            return Ok((Judged::Ours, version));
        }
        let bytes = whole(file, status)?;
        let version = Version::of_content(&bytes);
        let judged = entry.judge(&version, &bytes, |value| bytes_of(self.root, value))?;
        Ok((judged, version))
    }

    /// A person's edit stays, and becomes durable: what it replaced must not come back after a crash.
    ///
    /// If its name, or its bytes, may have been lost, a copy of it takes its place. False if it is gone by
    /// now.
    fn keep(
        &mut self,
        folder: &Folder,
        name: &str,
        key: &Key,
        (file, status): (&OpenFile, &Status),
    ) -> Result<bool> {
        if !self.again {
            self.sync_written(file)?;
            return Ok(true);
        }
        let bytes = whole(file, status)?;
        let held = Version::of_content(&bytes);
        self.exchange_in(folder, name, status.mode, key, Some(&held), &Source::Journal(&bytes))
    }

    /// Looks at what was taken out, where a person cannot replace it any more. What changed since the look
    /// before is theirs.
    fn look_again(&mut self, staging: &Folder, name: &str) -> Result<()> {
        let kept = match taken_out::is_unchanged(staging, name) {
            Ok(true) => Ok(()),
            Ok(false) => taken_out::keep(self.journal, staging, name, name),
            Err(error) => Err(error),
        };
        kept.inspect_err(|_| self.extent = Extent::Unkept)
    }

    /// The folder of a key, if it is there. The names on the way to it, and those in it, become durable with
    /// the files.
    fn find(&mut self, key: &Key) -> Result<Option<Folder>> {
        if let Some(folder) = self.known(key) {
            return Ok(Some(folder));
        }
        match self.root.walk(split(key).0)? {
            Walk::There(folder) => Ok(Some(self.arrive(key, folder))),
            Walk::Missing(deepest) => {
                self.touch(&deepest);
                Ok(None)
            }
            Walk::Blocked(..) => Ok(None),
        }
    }

    /// The same, made if need be.
    fn open_or_create(&mut self, key: &Key) -> Result<Folder> {
        if let Some(known) = self.known(key) {
            return Ok(known);
        }
        let mut here = self.root.clone();
        for name in split(key).0 {
            self.touch(&here);
            here = here.step_or_create(name)?.0;
        }
        Ok(self.arrive(key, here))
    }

    fn known(&self, key: &Key) -> Option<Folder> {
        let (_, folder) = self.last.as_ref().filter(|(last, _)| last == path_of(key))?;
        Some(folder.clone())
    }

    fn arrive(&mut self, key: &Key, folder: Folder) -> Folder {
        if self.touched.len() > self.most_touched {
            self.sync_touched();
        }
        self.touch(&folder);
        self.last = Some((path_of(key).to_owned(), folder.clone()));
        folder
    }

    /// IMPORTANT: also where nothing is changed, and all folders on the way: whoever made or removed a name
    /// there may have died before it was durable.
    fn touch(&mut self, folder: &Folder) {
        if self.sync == Sync::Each {
            let above = folder.path().ancestors().skip(1);
            for path in above.take_while(|path| path.starts_with(self.root.path())) {
                self.touched.entry(path.to_owned()).or_default();
            }
            self.touched.entry(folder.path().to_owned()).or_default().get_or_insert_with(|| folder.clone());
        }
    }
}

/// Where the bytes of a value are.
enum Source<'a> {
    Journal(&'a Bytes),
    /// A part of a file in `values/`, from an offset on, that may be larger than what should be in memory.
    Kept(OpenFile, u64, &'a Value),
}

impl<'a> Source<'a> {
    /// None if its file in `values/` is gone.
    fn of(root: &Folder, value: &'a Value) -> Result<Option<Self>> {
        Ok(match &value.content {
            Content::Inline(bytes) => Some(Self::Journal(bytes)),
            Content::Kept { name, at } => {
                kept_file(root, name)?.map(|(file, _)| Self::Kept(file, *at, value))
            }
        })
    }

    fn write_to(&self, file: &OpenFile) -> Result<()> {
        match self {
            Self::Journal(bytes) => file.write_at(bytes, 0),
            Self::Kept(kept, at, value) if copy_part(kept, *at, value.size, file)? == value.version => Ok(()),
            Self::Kept(kept, ..) => Err(not_what_was_committed(kept)),
        }
    }
}

/// The folder that a key is in.
pub(crate) fn path_of(key: &Key) -> &str {
    key.as_str().rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn discard(staging: &Folder, name: &str) {
    if let Err(error) = staging.remove_file(name) {
        tracing::debug!(%error, path = %staging.path_of(Path::new(name)).display(), "a staged file stays until it is swept");
    }
}

/// Removes a tree of folders from its leaves up. What somebody put there meanwhile makes it fail.
pub(crate) fn remove_folders(parent: &Folder, name: &str) -> Result<()> {
    if let Step::Folder(folder) = parent.step(name)? {
        for (below, _) in folder.names()? {
            // Another name than a text has no business here; the folder is not empty then, and removing it
            // says so.
            if let Some(below) = below.to_str() {
                remove_folders(&folder, below)?;
            }
        }
        parent.remove_folder(name)?;
    }
    Ok(())
}
