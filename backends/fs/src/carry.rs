//! What cannot be written into its file: it goes on in the journal, and costs nothing but its own room there.
//!
//! A file may belong to another user, a link, a mount or a special file may have its name, or the device may
//! fail for one block. Its key alone is concerned: the checkpoint makes everything else durable and begins
//! the next epoch with a record of what is left, in a new journal file that is durable before it takes the
//! place of the old one. Readers believe the journal, as they do for every key that it names.
//!
//! **Bounds.** What is carried stops no other key, however much it is:
//! - When the carried values have more bytes than half of the journal's limit, a batch is refused that puts
//!   something where a file could not be written: in the same folder, or in a new one in the same folder
//!   ([`Ways`]).
//! - An epoch takes new values of at most the limit, less half of what is carried in the journal. So the
//!   journal has at most twice the limit, and one batch that is larger than the limit, whatever cannot be
//!   written next. Values in `values/` take room on the disk alone; they count for the refusal only.

use std::{collections::BTreeSet, path::PathBuf};

use pflow_backend::{Batch, Error, ErrorKind, Key, Operation, Result, Waiting};
use rustix::fs::FileType;

use crate::{
    error::with_cause,
    failed::Extent,
    files::{hash_open, split},
    folder::{Folder, Step, Walk},
    overlay::{Entry, Overlay},
    remedy::remedy,
    root::Root,
    writer::Journal,
};

/// How many keys a message names.
const NAMED: usize = 3;

/// A key whose file could not be written.
#[derive(Debug)]
pub(crate) struct Stuck {
    pub(crate) key: Key,
    pub(crate) error: Error,
    pub(crate) extent: Extent,
    /// Whether it failed for the first time since the key was committed.
    pub(crate) is_news: bool,
}

impl Stuck {
    pub(crate) fn new(key: &Key, error: Error, extent: Extent) -> Self {
        let extent = match (extent, error.kind()) {
            // Space, quota and descriptors.
            (Extent::OneFile, ErrorKind::Exhausted) => Extent::Everything,
            _ => extent,
        };
        Self { key: key.clone(), error, extent, is_news: true }
    }

    /// For people.
    pub(crate) fn waiting(&self, root: &Root) -> Waiting {
        Waiting::new(
            self.key.clone(),
            root.folder().path_of(self.key.as_str()).display().to_string(),
            with_cause(&self.error),
            remedy(root.path(), &self.key, &self.error),
        )
    }
}

/// Ends the epoch, whose every value is in its file, durably, but for those that are stuck: the next epoch
/// begins with them.
///
/// # Errors
/// The new journal could not be written. Nothing is lost.
pub(crate) fn carry(journal: &mut Journal<'_>, stuck: &[Stuck]) -> Result<()> {
    let left = {
        let view = journal.view();
        let is_carried_already = view.position.is_some_and(|position| position.sequence == 1)
            && view.overlay.len() == stuck.len()
            && view.overlay.iter().all(|(_, entry)| entry.carried);
        if is_carried_already {
            return Ok(());
        }
        let entries =
            stuck.iter().filter_map(|it| Some((it.key.clone(), view.overlay.get(&it.key)?.clone())));
        entries.collect::<Vec<_>>()
    };
    let mut overlay = Overlay::default();
    for (key, mut entry) in left {
        shorten(journal.root.folder(), &key, &mut entry);
        overlay.adopt(key, entry);
    }
    journal.carry(overlay)
}

/// Where the ways to the files end that could not be written.
#[derive(Debug)]
pub(crate) struct Ways<'a> {
    root: &'a Root,
    ends: BTreeSet<PathBuf>,
}

impl<'a> Ways<'a> {
    pub(crate) fn of(root: &'a Root, overlay: &Overlay) -> Self {
        let carried = overlay.iter().filter(|(_, entry)| entry.carried);
        Self { root, ends: carried.map(|(key, _)| end_of_way(root, key)).collect() }
    }

    /// Whether a batch would add to what is carried: the way to something that it puts ends in the same
    /// folder, or at the same obstacle.
    pub(crate) fn are_of(&self, batch: &Batch) -> bool {
        let is_put = |operation: &Operation| matches!(operation, Operation::Put { .. });
        let mut puts = batch.operations().filter(|(_, operation)| is_put(operation));
        puts.any(|(_, operation)| self.ends.contains(&end_of_way(self.root, operation.key())))
    }
}

/// The deepest folder that is there on the way to a key, or what is there in place of a folder.
///
/// Not the folder of the key: each new workflow has one of its own, which is not made where the folder above
/// it cannot be written.
fn end_of_way(root: &Root, key: &Key) -> PathBuf {
    let mut here = root.folder().clone();
    for name in split(key).0 {
        match here.step(name) {
            Ok(Step::Folder(next)) => here = next,
            Ok(Step::Missing) => break,
            // Every other key below it meets the same.
            Ok(Step::Other(_)) | Err(_) => return here.path_of(name),
        }
    }
    here.path().to_owned()
}

/// So much waits in the journal that nothing may be added to it.
pub(crate) fn too_much(root: &Root, stuck: &[Stuck], bytes: u64) -> Error {
    let named: Vec<String> =
        stuck.iter().take(NAMED).map(|it| format!("{} ({})", it.key, with_cause(&it.error))).collect();
    let more = match stuck.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let what = format!(
        "the journal in {} holds {bytes} bytes whose files cannot be written: {}{more}",
        root.path().display(),
        named.join(", ")
    );
    let way_out = stuck.first().and_then(|it| remedy(root.path(), &it.key, &it.error));
    let hint = match way_out {
        Some(command) => format!("run `{command}`, then repeat the command"),
        None => "remove the cause, then repeat the command; do not delete `.journal`".to_owned(),
    };
    Error::not_applied(ErrorKind::Exhausted, what).with_hint(hint)
}

/// Forgets what the file of an entry held earlier, where that is durable and known, so that a key that is
/// saved again and again takes the room of one value. Where it cannot be told everything stays.
fn shorten(root: &Folder, key: &Key, entry: &mut Entry) {
    if !entry.may_be_edited() {
        return;
    }
    let held = || {
        let (names, name) = split(key);
        let folder = match root.walk(names) {
            Ok(Walk::There(folder)) => folder,
            Ok(Walk::Missing(deepest)) => {
                deepest.sync()?;
                return Ok(None);
            }
            Ok(Walk::Blocked(..)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_file = folder.look(name)?.is_some_and(|it| it.kind == FileType::RegularFile);
        let version = match is_file.then(|| folder.open_file(name)).transpose()?.flatten() {
            None => None,
            Some((file, status)) => {
                file.sync_data()?;
                Some(hash_open(&file, &status)?.0)
            }
        };
        folder.sync()?;
        Ok::<_, Error>(version)
    };
    match held() {
        Ok(None) => entry.forget_all_but(None),
        Ok(Some(version)) if entry.knows(&version) => entry.forget_all_but(Some(&version)),
        Ok(Some(_)) => {}
        Err(error) => tracing::debug!(%key, %error, "what the file held earlier stays in the journal"),
    }
}
