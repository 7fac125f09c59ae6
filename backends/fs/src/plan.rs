//! Looking at everything that a batch is about to change, before anything is changed.

use std::path::Path;

use pflow_backend::{
    Batch, Conflict, Error, ErrorKind, Key, Operation, Position, Precondition, Result, Version,
};
use rustix::fs::{FileType, Mode};

use crate::{
    content::{hash, split},
    error::{special_file, symbolic_link},
    folder::{FileId, Folder, Step, Walk, type_of},
    root::Root,
};

/// What a replaced object hands on. Set-user-id and the like are for programs, which nobody keeps here.
const PERMISSIONS: Mode = Mode::RWXU.union(Mode::RWXG).union(Mode::RWXO);

/// What stands where an operation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nothing, or a folder that a delete does not mind.
    Free,
    /// An object, with these permission bits.
    Object { mode: Mode },
    /// A folder in which there are only folders, as deletes leave them.
    EmptyFolder,
}

/// What the look brought.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Every condition holds. What stands at each place, in the batch's own shape.
    Ready(Vec<Vec<Target>>),
    Conflict(Conflict),
}

/// Looks at every condition and every place. The caller holds the lock, so what it finds stays, but for hands that know no
/// lock.
///
/// # Errors
/// A key cannot have its place: an object is where it needs a folder or the other way round, or a link or another
/// file system is in the way.
pub(crate) fn plan(root: &Root, batch: &Batch) -> Result<Plan> {
    let mut targets = Vec::with_capacity(batch.stages().len());
    for (stage, operations) in batch.stages().iter().enumerate() {
        let mut found = Vec::with_capacity(operations.len());
        for (operation, it) in operations.iter().enumerate() {
            let place = Place::find(root, it)?;
            let when = it.precondition();
            // Only a condition on the bytes, or a failed one, is worth reading the file.
            let read = match when {
                Precondition::Always => false,
                Precondition::Absent => matches!(place.target, Target::Object { .. }),
                Precondition::Is(_) => true,
            };
            if read {
                let current = place.version()?;
                if !when.holds(current.as_ref()) {
                    let at = Position { stage, operation };
                    return Ok(Plan::Conflict(Conflict { at, current, applied: 0 }));
                }
            }
            found.push(place.target);
        }
        targets.push(found);
    }
    Ok(Plan::Ready(targets))
}

struct Place<'a> {
    /// None where the folder is not there.
    folder: Option<Folder>,
    name: &'a str,
    target: Target,
}

impl<'a> Place<'a> {
    fn find(root: &Root, operation: &'a Operation) -> Result<Self> {
        let key = operation.key();
        let is_put = matches!(operation, Operation::Put { .. });
        let (folders, name) = split(key);
        let nowhere = Self { folder: None, name, target: Target::Free };
        match root.folder().walk(folders)? {
            Walk::There(folder) => {
                check_device(root, &folder)?;
                let target = target(root, &folder, key, name, is_put)?;
                Ok(Self { folder: Some(folder), name, target })
            }
            Walk::Missing(deepest) => {
                check_device(root, &deepest)?;
                Ok(nowhere)
            }
            Walk::Blocked(..) if !is_put => Ok(nowhere),
            Walk::Blocked(path, FileType::RegularFile) => Err(beside(root, key, &path)),
            Walk::Blocked(path, _) => Err(special_file(&path)),
        }
    }

    /// What the key's present bytes are called.
    fn version(&self) -> Result<Option<Version>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let Some(file) = folder.open_file(self.name)? else { return Ok(None) };
        Ok(Some(hash(&file, &folder.path_of(self.name))?.0))
    }
}

fn target(root: &Root, folder: &Folder, key: &Key, name: &str, is_put: bool) -> Result<Target> {
    let Some(stat) = folder.look(name)? else { return Ok(Target::Free) };
    match type_of(&stat) {
        FileType::RegularFile => Ok(Target::Object { mode: Mode::from_raw_mode(stat.st_mode) & PERMISSIONS }),
        FileType::Symlink => Err(symbolic_link(&folder.path_of(name))),
        FileType::Directory if !is_put => Ok(Target::Free),
        FileType::Directory => {
            let inhabitant = match folder.step(name)? {
                Step::Folder(below) => below.first_inhabitant()?,
                Step::Missing => return Ok(Target::Free),
                Step::Other(_) => Some(folder.path_of(name)),
            };
            match inhabitant {
                Some(path) => Err(beside(root, key, &path)),
                None => Ok(Target::EmptyFolder),
            }
        }
        _ => Err(special_file(&folder.path_of(name))),
    }
}

/// A file is staged below the root and then moved, which works within one file system only.
fn check_device(root: &Root, folder: &Folder) -> Result<()> {
    let id: FileId = folder.id()?;
    if id.same_device(&root.id()) {
        return Ok(());
    }
    let (folder, root) = (folder.path().display(), root.path().display());
    let what =
        format!("{folder} is on another file system than {root}; nothing can be moved there in one step");
    Err(Error::new(ErrorKind::Unsafe, what))
}

fn beside(root: &Root, key: &Key, path: &Path) -> Error {
    let other = path.strip_prefix(root.path()).unwrap_or(path).display();
    let what = format!("{key} cannot exist beside {other} in {}", root.path().display());
    Error::new(ErrorKind::InvalidInput, what)
}
