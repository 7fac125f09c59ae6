//! `.journal`: the folder that this crate keeps for itself beside the objects.
//!
//! It holds `lock`, and `staging` with the files of a commit under way. A later format keeps committed objects here that
//! are not in their places yet. This version cannot read them, so it must neither answer from the files beside them nor
//! write there: both would lose what somebody was told is safe.

use pflow_backend::{Error, ErrorKind, Result};
use rustix::fs::FileType;

use crate::{
    disk::Disk,
    error::{special_file, symbolic_link},
    folder::{Folder, Step},
};

pub(crate) const JOURNAL: &str = ".journal";
pub(crate) const LOCK: &str = "lock";
pub(crate) const STAGING: &str = "staging";

/// Refuses a folder in which a newer program left work to finish. Reads only.
pub(crate) fn check_root(root: &Folder) -> Result<()> {
    match root.step(JOURNAL)? {
        Step::Folder(journal) => check(&journal),
        Step::Missing => Ok(()),
        Step::Other(FileType::Symlink) => Err(symbolic_link(&root.path_of(JOURNAL))),
        Step::Other(_) => Err(special_file(&root.path_of(JOURNAL))),
    }
}

/// The same for the journal's folder itself. Empty files mean nothing: a journal at rest may be one.
pub(crate) fn check(journal: &Folder) -> Result<()> {
    for (name, kind) in journal.names()? {
        if name == LOCK || name == STAGING {
            continue;
        }
        let empty =
            kind == FileType::RegularFile && journal.look(&name)?.is_none_or(|stat| stat.st_size == 0);
        if !empty {
            let path = journal.path_of(&name);
            return Err(Error::new(
                ErrorKind::Incompatible,
                format!(
                    "{} was left by a newer program, and this one cannot read it; open the store once with the newer \
                     program, which finishes its work",
                    path.display()
                ),
            ));
        }
    }
    Ok(())
}

/// The journal's folder, made if need be.
///
/// It is not synced: it holds nothing that anybody was promised, and whoever comes next makes it again.
pub(crate) fn folder(root: &Folder, disk: &Disk) -> Result<Folder> {
    step_or_create(root, JOURNAL, disk)
}

/// The folder of staged files, made if need be; not synced either.
pub(crate) fn staging(journal: &Folder, disk: &Disk) -> Result<Folder> {
    step_or_create(journal, STAGING, disk)
}

/// Removes what earlier commits left staged. The caller holds the lock, so nobody is at work on it: a process died.
pub(crate) fn sweep(journal: &Folder, disk: &Disk) -> Result<()> {
    let Step::Folder(staging) = journal.step(STAGING)? else { return Ok(()) };
    for (name, kind) in staging.names()? {
        // Names of ours are text, and no folder is ever staged.
        if let (Some(name), false) = (name.to_str(), kind == FileType::Directory) {
            disk.remove_file(&staging, name)?;
            tracing::debug!(path = %staging.path_of(name).display(), "removed what an interrupted commit left");
        }
    }
    Ok(())
}

fn step_or_create(parent: &Folder, name: &str, disk: &Disk) -> Result<Folder> {
    if let Step::Folder(folder) = parent.step(name)? {
        return Ok(folder);
    }
    disk.create_folder(parent, name)?;
    match parent.step(name)? {
        Step::Folder(folder) => Ok(folder),
        Step::Other(FileType::Symlink) => Err(symbolic_link(&parent.path_of(name))),
        Step::Other(_) => Err(special_file(&parent.path_of(name))),
        Step::Missing => {
            let path = parent.path_of(name);
            Err(Error::new(ErrorKind::Unavailable, format!("{} was removed while in use", path.display())))
        }
    }
}
