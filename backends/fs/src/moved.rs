//! What a process left in `moved/` that died while it [gave the name of a folder again](crate::names).
//!
//! The values in it are in the journal. What a person or another program wrote there is brought back to where
//! it was.

use std::ffi::OsStr;

use pflow_backend::{Key, Result, Version};
use rustix::fs::FileType;

use crate::{
    current::bytes_of,
    files::whole,
    folder::{Folder, Step},
    journal::{JOURNAL, MOVED},
    overlay::Judged,
    taken_out::keep,
    writer::Journal,
};

/// Brings back what a process left that died while it [gave the name of a folder again](crate::names): edits,
/// and what other programs put there. What the journal has is removed. What cannot be brought back goes to
/// `quarantine/`.
///
/// # Errors
/// It could not be looked at or moved. It stays.
pub(crate) fn rescue_folders(journal: &Journal<'_>) -> Result<()> {
    let Step::Folder(moved) = journal.folder.step(MOVED)? else { return Ok(()) };
    let epochs = journal.epochs();
    for (name, _) in moved.names()? {
        // IMPORTANT: only of epochs whose changes the journal still has. What a crash leaves of an earlier
        // one was rescued before that ended, and the files at rest count.
        let epoch = name.to_str().and_then(|name| name.split_once('-')?.0.parse().ok());
        let is_now = epoch.zip(epochs.as_ref()).is_some_and(|(epoch, epochs)| epochs.contains(&epoch));
        if is_now && let Step::Folder(group) = moved.step(&name)? {
            rescue_from(journal, &group, "")?;
            remove_if_empty(&moved, &group, &name)?;
        }
    }
    if !moved.names()?.is_empty() {
        return keep(journal.folder, journal.folder, MOVED, &format!("{MOVED}-{}", journal.new_id()));
    }
    journal.folder.remove_folder(MOVED)?;
    journal.folder.sync()
}

/// `way` is the path below the store's folder that `moved` was at, empty or with a slash at its end.
fn rescue_from(journal: &Journal<'_>, moved: &Folder, way: &str) -> Result<()> {
    for (name, kind) in moved.names()? {
        // No name of ours, and no name of an object, is anything else than text.
        let Some(name) = name.to_str() else { continue };
        let path = format!("{way}{name}");
        match kind {
            FileType::Directory => {
                if let Step::Folder(below) = moved.step(name)? {
                    rescue_from(journal, &below, &format!("{path}/"))?;
                    remove_if_empty(moved, &below, name)?;
                }
            }
            FileType::RegularFile if holds_what_the_journal_has(journal, moved, name, &path)? => {
                moved.remove_file(name)?;
            }
            _ => bring_back(journal, moved, name, way)?,
        }
    }
    Ok(())
}

fn remove_if_empty(parent: &Folder, folder: &Folder, name: impl AsRef<OsStr>) -> Result<()> {
    if folder.names()?.is_empty() { parent.remove_folder(name) } else { Ok(()) }
}

fn holds_what_the_journal_has(journal: &Journal<'_>, moved: &Folder, name: &str, path: &str) -> Result<bool> {
    let Ok(key) = Key::parse(path) else { return Ok(false) };
    let entry = journal.view().overlay.get(&key).cloned();
    let Some(entry) = entry else { return Ok(false) };
    if !entry.may_be_edited() {
        return Ok(true);
    }
    let Some((file, status)) = moved.open_file(name)? else { return Ok(false) };
    let bytes = whole(&file, &status)?;
    let root = journal.root.folder();
    let judged = entry.judge(&Version::of_content(&bytes), &bytes, |value| bytes_of(root, value))?;
    Ok(judged == Judged::Ours)
}

/// Moves a file to where it was, durably, unless something else is there now, or it was in a folder of the
/// journal.
fn bring_back(journal: &Journal<'_>, moved: &Folder, name: &str, way: &str) -> Result<()> {
    let mut folder = journal.root.folder().clone();
    for step in way.split('/').filter(|it| !it.is_empty()) {
        if step == JOURNAL || matches!(folder.step(step)?, Step::Other(_)) {
            return Ok(());
        }
        let (next, is_new) = folder.step_or_create(step)?;
        if is_new && let Err(error) = folder.sync() {
            folder.remove_folder(step)?;
            return Err(error);
        }
        folder = next;
    }
    if !moved.rename_new(name, (&folder, name))? {
        return Ok(());
    }
    if let Err(error) = folder.sync() {
        // IMPORTANT: as in `keep`: its name may be lost, and is given again the next time.
        folder.rename(name, (moved, name))?;
        return Err(error);
    }
    Ok(())
}
