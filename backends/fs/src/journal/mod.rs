//! `.journal`: the folder that this crate keeps for itself beside the objects.
//!
//! | name | what it is |
//! |---|---|
//! | `lock` | whoever commits or writes files holds an advisory lock on it; it says who |
//! | `waiting` | whoever waits for the lock and is next holds an advisory lock on it, so that a busy holder knows to give way |
//! | `journal` | what was committed and is not durable in the files yet ([`log`]); empty at rest |
//! | `state` | how far the journal goes: readers follow it, and what it vouches for must be readable ([`state`]) |
//! | `instance` | the id of this place, and what tells it from a copy ([`instance`](crate::instance)) |
//! | `values/` | objects too large for the journal, until they are in their files for good |
//! | `staging/` | files on their way into their places, and copies that were taken out of theirs ([`taken_out`](crate::taken_out)) |
//! | `moved/` | folders whose names are given again, for a moment |
//! | `quarantine/` | what people had written and a commit replaced without having seen it |

pub(crate) mod frame;
pub(crate) mod log;
pub(crate) mod lost;
pub(crate) mod record;
pub(crate) mod state;

use pflow_backend::Result;
use rustix::fs::FileType;

use crate::{
    files,
    folder::{Folder, Step},
};

pub(crate) const JOURNAL: &str = ".journal";
pub(crate) const LOCK: &str = "lock";
pub(crate) const WAITING: &str = "waiting";
pub(crate) const LOG: &str = "journal";
pub(crate) const NEW_LOG: &str = "journal.new";
/// A file on its way to be this folder's alone.
const PARTED: &str = "parted";
pub(crate) const STATE: &str = "state";
pub(crate) const NEW_STATE: &str = "state.new";
pub(crate) const INSTANCE: &str = "instance";
pub(crate) const NEW_INSTANCE: &str = "instance.new";
pub(crate) const VALUES: &str = "values";
pub(crate) const STAGING: &str = "staging";
pub(crate) const MOVED: &str = "moved";
pub(crate) const QUARANTINE: &str = "quarantine";

/// The journal's folder; none if there is none, or something else in its place.
pub(crate) fn find(root: &Folder) -> Result<Option<Folder>> {
    Ok(match root.step(JOURNAL)? {
        Step::Folder(folder) => Some(folder),
        Step::Missing | Step::Other(_) => None,
    })
}

/// The journal's folder, made if need be. Its own name is not durable yet then.
pub(crate) fn find_or_create(root: &Folder) -> Result<Folder> {
    Ok(root.step_or_create(JOURNAL)?.0)
}

/// Gives a file of ours that is another folder's too to this folder alone: a copy of the folder by hard links
/// is a snapshot, and neither may write to what the other one has. The caller holds the lock.
pub(crate) fn part(journal: &Folder, name: &str) -> Result<()> {
    let Some((shared, status)) = journal.open_file(name)? else { return Ok(()) };
    journal.remove_file(PARTED)?;
    let own = journal.create_file(PARTED, Some(status.mode))?;
    files::copy(&shared, &own)?;
    own.sync_data()?;
    journal.rename(PARTED, (journal, name))?;
    journal.sync()
}

/// Removes the files in a folder of ours but for those that are needed, and the folder too if asked to and
/// nothing is left in it. The caller holds the lock, so no other process works on them.
pub(crate) fn sweep(
    journal: &Folder,
    name: &str,
    with_the_folder: bool,
    is_needed: &dyn Fn(&str) -> bool,
) -> Result<()> {
    let Step::Folder(folder) = journal.step(name)? else { return Ok(()) };
    let mut others = false;
    for (name, kind) in folder.names()? {
        // Names of ours are text, and there is no folder in there.
        match name.to_str().filter(|name| kind != FileType::Directory && !is_needed(name)) {
            Some(name) => folder.remove_file(name)?,
            None => others = true,
        }
    }
    if with_the_folder && !others {
        journal.remove_folder(name)?;
    }
    Ok(())
}
