//! What is in `staging/` before a checkpoint begins: copies that earlier ones took out ([`taken_out`]), and
//! what a process left that died while it moved files in.
//!
//! Most of the latter is ours: a value that had not got its place yet, or one that had left it. But a process
//! that dies between an exchange and the look at what came out leaves there what had the name last, and that
//! may be an edit which a person made at that very moment.

use std::collections::BTreeSet;

use pflow_backend::{Result, Version};
use rustix::fs::FileType;

use crate::{
    current::bytes_of,
    files::whole,
    folder::{Folder, Step},
    journal::STAGING,
    overlay::{Entry, Judged},
    taken_out,
    writer::Journal,
};

/// Removes what is ours and moves what no journaled value explains to `quarantine/`. The caller holds the
/// lock and has staged nothing yet.
///
/// What cannot be looked at or moved stays, and its name is returned: one such file must not keep all others
/// from being written.
pub(crate) fn rescue(journal: &Journal<'_>) -> BTreeSet<String> {
    let mut left = BTreeSet::new();
    let names = match journal.folder.step(STAGING) {
        Ok(Step::Folder(staging)) => staging.names().map(|names| (staging, names)),
        Ok(_) => return left,
        Err(error) => Err(error),
    };
    let (staging, names) = match names {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "what is in staging stays there");
            return left;
        }
    };
    for (name, kind) in names {
        // Nothing else is ever staged, or edited.
        let Some(name) = name.to_str().filter(|_| kind == FileType::RegularFile) else { continue };
        if let Err(error) = rescue_one(journal, &staging, name) {
            tracing::debug!(%error, name, "a file in staging stays there");
            left.insert(name.to_owned());
        }
    }
    left
}

fn rescue_one(journal: &Journal<'_>, staging: &Folder, name: &str) -> Result<()> {
    let was_taken_out = taken_out::held(name).is_some();
    if was_taken_out && taken_out::is_unchanged(staging, name)? {
        return staging.remove_file(name);
    }
    let Some((file, status)) = staging.open_file(name)? else { return Ok(()) };
    if is_ours(journal, &whole(&file, &status)?, was_taken_out)? {
        return staging.remove_file(name);
    }
    taken_out::keep(journal.folder, staging, name, name)
}

/// Whether a file holds a value of ours, or what a crash left of one. A part of one in a file that was taken
/// out may be the work of a person, and is none of ours.
fn is_ours(journal: &Journal<'_>, bytes: &[u8], was_taken_out: bool) -> Result<bool> {
    if !was_taken_out && bytes.iter().all(|byte| *byte == 0) {
        return Ok(true);
    }
    let (root, version) = (journal.root.folder(), Version::of_content(bytes));
    // Cloned, so that other threads need not wait for the view while files are read.
    let entries: Vec<Entry> = journal.view().overlay.iter().map(|(_, entry)| entry.clone()).collect();
    for mut entry in entries {
        entry.after_crash |= !was_taken_out;
        match entry.judge(&version, bytes, |value| bytes_of(root, value))? {
            Judged::Ours => return Ok(true),
            Judged::Remnant if !was_taken_out => return Ok(true),
            Judged::Remnant | Judged::Edited => {}
        }
    }
    Ok(false)
}
