//! What a process left in `staging/` that died while it moved files in.
//!
//! Most of it is ours: a value that had not got its place yet, or one that had left it. But who dies between an exchange and the look at what came out
//! leaves there what stood in the place last, and that may be an edit which a person made at that very moment.

use pflow_backend::{Result, Version};
use rustix::fs::FileType;

use crate::{
    current::bytes_of,
    files::whole,
    folder::{Folder, Step},
    journal::{QUARANTINE, STAGING},
    overlay::{Entry, Judged},
    writer::Journal,
};

/// Moves what no journaled value explains to `quarantine/`. The caller holds the lock and has staged nothing yet, so whatever is there was left.
///
/// # Errors
/// It could not be looked at or moved. It stays.
pub(crate) fn rescue(journal: &Journal<'_>) -> Result<()> {
    let Step::Folder(staging) = journal.folder.step(STAGING)? else { return Ok(()) };
    for (name, kind) in staging.names()? {
        // Nothing else is ever staged, or edited.
        let Some(name) = name.to_str().filter(|_| kind == FileType::RegularFile) else { continue };
        let Some((file, status)) = staging.open_file(name)? else { continue };
        let bytes = whole(&file, &status)?;
        if is_ours(journal, &bytes)? {
            staging.remove_file(name)?;
            continue;
        }
        file.sync_data()?;
        keep(journal, &staging, name)?;
    }
    Ok(())
}

fn is_ours(journal: &Journal<'_>, bytes: &[u8]) -> Result<bool> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(true);
    }
    let (root, version) = (journal.root.folder(), Version::of_content(bytes));
    // Cloned, so that nobody waits for the view while files are read.
    let entries: Vec<Entry> = journal.view().overlay.iter().map(|(_, entry)| entry.clone()).collect();
    for entry in entries {
        if entry.judge(&version, bytes, |value| bytes_of(root, value))? == Judged::Ours {
            return Ok(true);
        }
    }
    Ok(false)
}

fn keep(journal: &Journal<'_>, staging: &Folder, name: &str) -> Result<()> {
    let quarantine = journal.folder.step_or_create(QUARANTINE)?.0;
    staging.rename(name, (&quarantine, name))?;
    quarantine.sync()?;
    journal.folder.sync()?;
    tracing::warn!(path = %quarantine.path_of(name).display(), "kept what may be an edit that somebody made");
    Ok(())
}
