//! Files on their way: staged whole and synced first, then moved into their places stage by stage.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pflow_backend::{Batch, Error, ErrorKind, Operation, Outcome, Position, Result};
use rustix::fs::FileType;

use crate::{
    content::split,
    disk::Disk,
    error::{special_file, surely_changed_nothing, symbolic_link},
    folder::{Folder, Step, Walk},
    plan::Target,
};

/// How many touched folders of a stage stay open until they are synced. Beyond that they are opened a second time, so that a
/// batch of many folders does not run out of descriptors.
const KEPT_OPEN: usize = 64;

/// The puts of one batch, complete and synced, under names that nobody else uses. Dropping it removes what has not been
/// moved into place.
#[derive(Debug)]
pub(crate) struct Staged<'a> {
    disk: &'a Disk,
    folder: Folder,
    names: BTreeMap<Position, String>,
}

impl<'a> Staged<'a> {
    /// Writes and syncs every put of the batch. `id` was never given before, so a writer that has lost its lock without
    /// noticing moves none of these files.
    ///
    /// # Errors
    /// One of the files could not be written or synced. None is left, and nothing that anybody can see has changed.
    pub(crate) fn write(
        disk: &'a Disk,
        folder: Folder,
        batch: &Batch,
        targets: &[Vec<Target>],
        id: &str,
    ) -> Result<Self> {
        let mut staged = Self { disk, folder, names: BTreeMap::new() };
        for (number, (position, operation)) in batch.operations().enumerate() {
            let Operation::Put { bytes, .. } = operation else { continue };
            // Permissions that somebody gave to an object stay with it.
            let mode = match target_at(targets, position) {
                Target::Object { mode } => Some(mode),
                Target::Free | Target::EmptyFolder => None,
            };
            let name = format!("{id}-{number}");
            let path = staged.folder.path_of(&name);
            staged.names.insert(position, name.clone());
            let file = disk.create_file(&staged.folder, &name, mode)?;
            disk.write(&file, &path, bytes)?;
            // IMPORTANT: before the file gets its name. A file system may put the name on the medium first, and a crash then
            // leaves an object that is empty or torn.
            disk.sync_file(&file, &path)?;
        }
        Ok(staged)
    }

    /// Moves everything into place.
    ///
    /// # Errors
    /// With the outcome `NotApplied` everything that can be seen is durable, and what is not in place never will be. With
    /// the outcome `Unknown` something was changed and could not be synced: whoever goes on builds on sand.
    pub(crate) fn promote(mut self, root: &Folder, batch: &Batch, targets: &[Vec<Target>]) -> Result<()> {
        for (stage, operations) in batch.stages().iter().enumerate() {
            let mut touched = Touched::default();
            let mut failure = None;
            for (number, operation) in operations.iter().enumerate() {
                let position = Position { stage, operation: number };
                let target = target_at(targets, position);
                if let Err(error) = self.apply(root, operation, position, target, &mut touched) {
                    failure = Some(error);
                    break;
                }
            }
            // IMPORTANT: before the next stage begins, which must not be on the medium without this one; and after a failure
            // too, so that nobody reads what a crash then takes away.
            touched.sync(root, self.disk).map_err(|error| error.with_outcome(Outcome::Unknown))?;
            if let Some(error) = failure {
                let outcome = match surely_changed_nothing(&error) {
                    true => Outcome::NotApplied { applied: stage },
                    false => Outcome::Unknown,
                };
                return Err(error.with_outcome(outcome));
            }
        }
        Ok(())
    }

    fn apply(
        &mut self,
        root: &Folder,
        operation: &Operation,
        position: Position,
        target: Target,
        touched: &mut Touched,
    ) -> Result<()> {
        let (folders, name) = split(operation.key());
        match operation {
            Operation::Put { .. } => {
                let Some(staged) = self.names.get(&position) else { return Ok(()) };
                let folder = open_or_create(root, folders, self.disk, touched)?;
                touched.add(&folder);
                if target == Target::EmptyFolder {
                    remove_folders(&folder, name, self.disk)?;
                }
                self.disk.rename((&self.folder, staged), (&folder, name))?;
                self.names.remove(&position);
            }
            Operation::Delete { .. } => {
                if !matches!(target, Target::Object { .. }) {
                    return Ok(());
                }
                // The folder stays even if it is empty now: the next object in it would cost two more syncs to make it again,
                // and somebody may be about to put one there.
                if let Walk::There(folder) = root.walk(folders)? {
                    touched.add(&folder);
                    self.disk.remove_file(&folder, name)?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        for name in self.names.values() {
            if let Err(error) = self.disk.remove_file(&self.folder, name) {
                tracing::debug!(%error, "a staged file stays until the next commit sweeps it");
            }
        }
    }
}

/// The folders in which a stage changed a name, each once.
#[derive(Debug, Default)]
struct Touched(BTreeMap<PathBuf, Option<Folder>>);

impl Touched {
    /// To be called before the change, so that one with an unclear end is covered too.
    fn add(&mut self, folder: &Folder) {
        let room = self.0.len() < KEPT_OPEN;
        self.0.entry(folder.path().to_owned()).or_insert_with(|| room.then(|| folder.clone()));
    }

    fn sync(self, root: &Folder, disk: &Disk) -> Result<()> {
        for (path, folder) in self.0 {
            let folder = match folder {
                Some(folder) => folder,
                None => reopen(root, &path)?,
            };
            disk.sync_folder(&folder)?;
        }
        Ok(())
    }
}

fn reopen(root: &Folder, path: &std::path::Path) -> Result<Folder> {
    let below = path.strip_prefix(root.path()).unwrap_or(path);
    match root.walk(below.iter().filter_map(|name| name.to_str()))? {
        Walk::There(folder) => Ok(folder),
        Walk::Missing(_) | Walk::Blocked(..) => {
            let what = format!("{} was removed while a commit was at work in it", path.display());
            Err(Error::new(ErrorKind::Io, what))
        }
    }
}

fn open_or_create<'a>(
    root: &Folder,
    folders: impl Iterator<Item = &'a str>,
    disk: &Disk,
    touched: &mut Touched,
) -> Result<Folder> {
    let mut here = root.clone();
    for name in folders {
        let next = match here.step(name)? {
            Step::Missing => {
                touched.add(&here);
                disk.create_folder(&here, name)?;
                here.step(name)?
            }
            there => there,
        };
        here = match next {
            Step::Folder(folder) => folder,
            Step::Other(FileType::Symlink) => return Err(symbolic_link(&here.path_of(name))),
            Step::Missing | Step::Other(_) => return Err(special_file(&here.path_of(name))),
        };
    }
    Ok(here)
}

/// Removes a tree of folders from its leaves up. What somebody put there meanwhile makes it fail.
fn remove_folders(parent: &Folder, name: &str, disk: &Disk) -> Result<()> {
    if let Step::Folder(folder) = parent.step(name)? {
        for (below, _) in folder.names()? {
            // Another name than a text has no business here; the folder is not empty then, and removing it says so.
            if let Some(below) = below.to_str() {
                remove_folders(&folder, below, disk)?;
            }
        }
        disk.remove_folder(parent, name)?;
    }
    Ok(())
}

fn target_at(targets: &[Vec<Target>], at: Position) -> Target {
    targets.get(at.stage).and_then(|stage| stage.get(at.operation)).copied().unwrap_or(Target::Free)
}
