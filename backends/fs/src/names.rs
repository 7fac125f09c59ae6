//! Names that are given again, because a failed sync may have lost them.
//!
//! If the system fails to write a folder back, it calls the folder clean all the same, and the next sync of
//! it succeeds without the names. A name becomes durable only if it is changed again and synced then. For
//! files the write does it: each gets a new file that is moved into place. Folders that were made in this
//! epoch are moved to `moved/` and back here, and so are the files in `quarantine/`, of which there is no
//! other copy.
//!
//! A folder that was there before the epoch has a durable name and must not be moved: readers of what is at
//! rest in it would miss it for a moment. **Only a folder in which the journal names everything is moved.**
//! Our readers miss nothing meanwhile, because the journal counts for them.
//!
//! # Limits
//! - A folder that was made in this epoch and holds a file of another program, or a folder that cannot be
//!   read, is taken for one that was there before. If its name was lost, and nothing else changes it in its
//!   folder, a crash of the machine takes the folder.
//! - For a moment another program does not find a folder that is moved. A reader of ours sees the committed
//!   value in place of a person's edit in it.
//! - A crash between the two moves leaves the folder in `moved/`, below the same path as in the store. The
//!   next handle that opens the store, or the next checkpoint, brings back what the journal does not have
//!   ([`crate::moved`]). Until then a handle that is open already sees the committed value in place of a
//!   person's edit. If a process that renewed the journal dies before that, the folder goes to `quarantine/`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use pflow_backend::{ErrorKind, Key, Result};

use crate::{
    apply::{path_of, remove_folders},
    failed::FailedFolders,
    folder::{Folder, Step, Walk},
    journal::{JOURNAL, MOVED, QUARANTINE},
    moved::rescue_folders,
    writer::Journal,
};

/// How many folders stay open until they are synced with everything else.
const MOST_OPEN: usize = 64;

/// What came of giving names again.
#[derive(Debug)]
pub(crate) struct Renamed {
    /// What must be synced before the names are durable.
    pub(crate) to_sync: Vec<Folder>,
    /// Folders whose names, or the names in which, may not be durable.
    pub(crate) failures: FailedFolders,
}

/// Gives all names again that lead to the files of the journal's entries, but not those of the files
/// themselves. The caller holds the lock.
///
/// # Errors
/// A folder was moved and could not be moved back, or something failed that concerns more than one folder.
/// The journal has all values still.
pub(crate) fn name_folders_again(journal: &Journal<'_>) -> Result<Renamed> {
    rescue_folders(journal)?;
    let epoch = journal.view().position.map_or(0, |position| position.epoch);
    let renamed = Renamed { to_sync: Vec::new(), failures: FailedFolders::new(journal.folder) };
    let mut mover = Mover { journal: journal.folder, epoch, groups: 0, renamed };
    let root = journal.root.folder();
    let is_named = |path: &Path| {
        let below = path.strip_prefix(root.path()).ok().and_then(Path::to_str);
        let key = below.and_then(|below| Key::parse(below).ok());
        key.is_some_and(|key| journal.view().overlay.get(&key).is_some())
    };
    // Each folder before those that it is in.
    for (above, names) in folders_of_values(journal).into_iter().rev() {
        let parent = match root.walk(steps(&above)) {
            Ok(Walk::There(parent)) => parent,
            // What is there in its place is reported when the files are written.
            Ok(Walk::Missing(_) | Walk::Blocked(..)) => continue,
            Err(error) => {
                mover.renamed.failures.push(root.path_of(&above), error);
                continue;
            }
        };
        let mut new = Vec::new();
        for name in names {
            // IMPORTANT: a name that could not be looked at is not given again, so nothing below it counts as
            // written: the cause may have passed by then.
            match is_new(&parent, &name, &is_named) {
                Ok(true) => new.push(name),
                Ok(false) => {}
                Err(error) => mover.renamed.failures.push(parent.path_of(&name), error),
            }
        }
        mover.move_there_and_back(parent, &above, &new)?;
    }
    if let Step::Folder(quarantine) = journal.folder.step(QUARANTINE)? {
        let names = quarantine.names()?.into_iter().filter_map(|(name, _)| name.into_string().ok());
        let names: Vec<String> = names.collect();
        mover.move_there_and_back(quarantine, &format!("{JOURNAL}/{QUARANTINE}"), &names)?;
        mover.move_there_and_back(journal.folder.clone(), JOURNAL, &[QUARANTINE.to_owned()])?;
    }
    // So that a crash does not bring back empty copies of paths.
    mover.renamed.to_sync.push(journal.folder.clone());
    Ok(mover.renamed)
}

/// Whether the journal names everything in a folder, so that it may have been made in this epoch.
fn is_new(parent: &Folder, name: &str, is_named: &dyn Fn(&Path) -> bool) -> Result<bool> {
    let Step::Folder(folder) = parent.step(name)? else { return Ok(false) };
    match folder.first_inhabitant(is_named) {
        Ok(inhabitant) => Ok(inhabitant.is_none()),
        // This passes, and then nothing would tell that the name was not given again.
        Err(error) if error.kind() == ErrorKind::Exhausted => Err(error),
        Err(error) => {
            tracing::debug!(%error, "a folder in which not everything can be read is not moved");
            Ok(false)
        }
    }
}

/// The names of all folders on the way to a value, by the path of the folder that they are in.
fn folders_of_values(journal: &Journal<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let view = journal.view();
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, _) in view.overlay.iter().filter(|(_, entry)| entry.now.is_some()) {
        let mut path = path_of(key);
        while !path.is_empty() {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
            if !names.entry(above.to_owned()).or_default().insert(name.to_owned()) {
                break;
            }
            path = above;
        }
    }
    names
}

fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|it| !it.is_empty())
}

struct Mover<'a> {
    journal: &'a Folder,
    epoch: u64,
    groups: usize,
    renamed: Renamed,
}

impl Mover<'_> {
    /// Moves all of these names of a folder. `above` is its path below the store's folder.
    fn move_there_and_back(&mut self, parent: Folder, above: &str, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        self.groups += 1;
        let group = format!("{}-{}", self.epoch, self.groups);
        // IMPORTANT: all of the way is new, and durable before anything is moved there. A crash must not
        // leave a folder without a name.
        let moved = self.journal.step_or_create(MOVED)?.0;
        let mut place = moved.step_or_create(&group)?.0;
        self.journal.sync()?;
        moved.sync()?;
        for step in steps(above) {
            let next = place.step_or_create(step)?.0;
            place.sync()?;
            place = next;
        }
        for name in names {
            match parent.rename(name, (&place, name)) {
                Ok(()) => place.rename(name, (&parent, name))?,
                Err(error) => self.renamed.failures.push(parent.path_of(name), error),
            }
        }
        // Only an empty copy of the way is left.
        remove_folders(self.journal, MOVED)?;
        self.renamed.to_sync.push(parent);
        if self.renamed.to_sync.len() >= MOST_OPEN {
            self.renamed.failures.sync(std::mem::take(&mut self.renamed.to_sync));
        }
        Ok(())
    }
}
