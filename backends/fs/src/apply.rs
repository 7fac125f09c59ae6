//! Writing what the journal holds into the files.
//!
//! Nothing here needs an order: until the files are durable and the journal has ended, the journal stands over them, for readers and after a
//! crash.

use std::{collections::BTreeSet, path::Path};

use pflow_backend::{Bytes, Key, Result, Version};
use rustix::{
    fs::{FileType, Mode},
    io::Errno,
};

use crate::{
    current::{bytes_of, value_is_gone},
    error::{errno_of, failed, special_file, symbolic_link},
    files::{split, whole},
    folder::{Folder, OpenFile, Step, Walk},
    journal::{QUARANTINE, STAGING},
    medium::Status,
    overlay::{Entry, Judged},
};

/// How what is written becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// All of the file system at once, by whoever calls.
    Later,
    /// Each file before it gets its name, and the folders by [`Applier::sync_folders`].
    Each,
}

/// Writes entries into their files. The caller holds the lock.
#[derive(Debug)]
pub(crate) struct Applier<'a> {
    root: &'a Folder,
    journal: &'a Folder,
    sync: Sync,
    /// Names the staged files; never given before.
    id: String,
    staged: usize,
    /// The folder that was gone to last: keys come in order.
    last: Option<(String, Folder)>,
    /// Paths of folders in which a name changed, now or when somebody else was at it.
    touched: BTreeSet<std::path::PathBuf>,
}

impl<'a> Applier<'a> {
    pub(crate) fn new(root: &'a Folder, journal: &'a Folder, sync: Sync, id: String) -> Self {
        Self { root, journal, sync, id, staged: 0, last: None, touched: BTreeSet::new() }
    }

    /// Makes the file of a key hold what the entry says. A person's edit stays.
    ///
    /// # Errors
    /// It does not, or does and may not be durable. The journal has it still.
    pub(crate) fn apply(&mut self, key: &Key, entry: &Entry) -> Result<()> {
        match &entry.now {
            None => self.delete(key, entry),
            Some(value) => match bytes_of(self.root, value)? {
                Some(bytes) => self.put(key, entry, &bytes),
                None => Err(value_is_gone(self.root, key)),
            },
        }
    }

    /// Makes the names durable that lead to what was written, and the removal of others.
    pub(crate) fn sync_folders(&mut self) -> Result<()> {
        for path in std::mem::take(&mut self.touched) {
            let below = path.strip_prefix(self.root.path()).unwrap_or(&path).to_owned();
            // What is gone needs no sync: the folder above it, which was touched too, does not name it.
            if let Walk::There(folder) = self.root.walk(below.iter().filter_map(|name| name.to_str()))? {
                folder.sync()?;
            }
        }
        Ok(())
    }

    fn put(&mut self, key: &Key, entry: &Entry, bytes: &Bytes) -> Result<()> {
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
            // IMPORTANT: in place only where there was nothing and nobody edits. Whoever sees a part of it has the journal over it.
            None if !entry.may_be_edited() => self.write(&folder, name, None, bytes),
            None => self.move_in(&folder, name, None, bytes),
            Some(it) if !entry.may_be_edited() => self.move_in(&folder, name, Some(it.mode), bytes),
            Some(it) => self.swap_in(&folder, name, it.mode, key, entry, bytes),
        }
    }

    fn delete(&mut self, key: &Key, entry: &Entry) -> Result<()> {
        let name = split(key).1;
        // The folder stays even if it is empty then: somebody may be about to put the next object there.
        let Some(folder) = self.find(key)? else { return Ok(()) };
        let Some((file, status)) = folder.open_file(name)? else { return Ok(()) };
        if entry.may_be_edited() && self.is_edited(&file, &status, entry)? {
            return self.keep(&file);
        }
        folder.remove_file(name)
    }

    fn write(&self, folder: &Folder, name: &str, mode: Option<Mode>, bytes: &[u8]) -> Result<()> {
        let file = folder.create_file(name, mode)?;
        file.write_at(bytes, 0)?;
        match self.sync {
            // IMPORTANT: by the descriptor that it was written through, which is told of every failure since.
            Sync::Each => file.sync_data(),
            Sync::Later => Ok(()),
        }
    }

    fn stage(&mut self, mode: Option<Mode>, bytes: &[u8]) -> Result<(Folder, String)> {
        let staging = self.journal.step_or_create(STAGING)?.0;
        self.staged += 1;
        let name = format!("{}-{}", self.id, self.staged);
        match self.write(&staging, &name, mode, bytes) {
            Ok(()) => Ok((staging, name)),
            Err(error) => {
                discard(&staging, &name);
                Err(error)
            }
        }
    }

    fn move_in(&mut self, folder: &Folder, name: &str, mode: Option<Mode>, bytes: &[u8]) -> Result<()> {
        let (staging, staged) = self.stage(mode, bytes)?;
        staging.rename(&staged, (folder, name)).inspect_err(|_| discard(&staging, &staged))
    }

    /// Replaces a file that a person may have edited. The two change places in one step, so that what comes out is what was there last,
    /// whatever a hand did in between.
    fn swap_in(
        &mut self,
        folder: &Folder,
        name: &str,
        mode: Mode,
        key: &Key,
        entry: &Entry,
        bytes: &Bytes,
    ) -> Result<()> {
        let Some((file, status)) = folder.open_file(name)? else {
            return self.move_in(folder, name, Some(mode), bytes);
        };
        if self.is_edited(&file, &status, entry)? {
            return self.keep(&file);
        }
        let (staging, staged) = self.stage(Some(mode), bytes)?;
        match staging.exchange(&staged, (folder, name)) {
            Ok(()) => self.dismiss(&staging, &staged, key, entry),
            Err(error) => match errno_of(&error) {
                // The system has no such call, or somebody took the file away. What it held was looked at a moment ago.
                Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOENT) => {
                    staging.rename(&staged, (folder, name)).inspect_err(|_| discard(&staging, &staged))
                }
                _ => {
                    discard(&staging, &staged);
                    Err(failed("move a file to", &folder.path_of(name), error))
                }
            },
        }
    }

    fn is_edited(&self, file: &OpenFile, status: &Status, entry: &Entry) -> Result<bool> {
        let bytes = whole(file, status)?;
        let judged = entry.judge(&Version::of_content(&bytes), &bytes, |value| bytes_of(self.root, value))?;
        Ok(judged == Judged::Edited)
    }

    /// A person's edit stays. What it came in the place of must not come back in its stead.
    fn keep(&self, file: &OpenFile) -> Result<()> {
        match self.sync {
            Sync::Each => file.sync_data(),
            Sync::Later => Ok(()),
        }
    }

    /// What came out goes, if it is ours.
    fn dismiss(&mut self, staging: &Folder, name: &str, key: &Key, entry: &Entry) -> Result<()> {
        if let Some((file, status)) = staging.open_file(name)? {
            let bytes = whole(&file, &status)?;
            if bytes.iter().any(|byte| *byte != 0) && !entry.knows(&Version::of_content(&bytes)) {
                let quarantine = self.journal.step_or_create(QUARANTINE)?.0;
                let kept = format!("{}.{name}", key.as_str().replace('/', "-"));
                let kept = kept.get(kept.len().saturating_sub(200)..).unwrap_or(name).to_owned();
                staging.rename(name, (&quarantine, &kept))?;
                self.touch(&quarantine);
                tracing::warn!(%key, path = %quarantine.path_of(&kept).display(), "kept what somebody had written");
                return Ok(());
            }
        }
        staging.remove_file(name)
    }

    /// The folder of a key, if it is there. The names on the way to it, and those in it, become durable with the files.
    fn find(&mut self, key: &Key) -> Result<Option<Folder>> {
        let path = path_of(key);
        if let Some((_, folder)) = self.last.as_ref().filter(|(last, _)| last == path) {
            return Ok(Some(folder.clone()));
        }
        match self.root.walk(split(key).0)? {
            Walk::There(folder) => Ok(Some(self.arrive(path, folder))),
            Walk::Missing(deepest) => {
                self.touch(&deepest);
                Ok(None)
            }
            Walk::Blocked(..) => Ok(None),
        }
    }

    /// The same, made if need be.
    fn open_or_create(&mut self, key: &Key) -> Result<Folder> {
        if let Some(folder) = self.find(key)? {
            return Ok(folder);
        }
        let mut here = self.root.clone();
        for name in split(key).0 {
            here = here.step_or_create(name)?.0;
        }
        Ok(self.arrive(path_of(key), here))
    }

    fn arrive(&mut self, path: &str, folder: Folder) -> Folder {
        self.touch(&folder);
        self.last = Some((path.to_owned(), folder.clone()));
        folder
    }

    /// IMPORTANT: also where nothing is changed, and all folders on the way: whoever made or removed a name there may have died before it was durable.
    fn touch(&mut self, folder: &Folder) {
        if self.sync == Sync::Each {
            let way = folder.path().ancestors().take_while(|path| path.starts_with(self.root.path()));
            self.touched.extend(way.map(Path::to_owned));
        }
    }
}

fn path_of(key: &Key) -> &str {
    key.as_str().rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn discard(staging: &Folder, name: &str) {
    if let Err(error) = staging.remove_file(name) {
        tracing::debug!(%error, path = %staging.path_of(Path::new(name)).display(), "a staged file stays until it is swept");
    }
}

/// Removes a tree of folders from its leaves up. What somebody put there meanwhile makes it fail.
fn remove_folders(parent: &Folder, name: &str) -> Result<()> {
    if let Step::Folder(folder) = parent.step(name)? {
        for (below, _) in folder.names()? {
            // Another name than a text has no business here; the folder is not empty then, and removing it says so.
            if let Some(below) = below.to_str() {
                remove_folders(&folder, below)?;
            }
        }
        parent.remove_folder(name)?;
    }
    Ok(())
}
