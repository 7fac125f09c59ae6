//! Values that the journal does not hold itself: one file for each batch that has some, durable before the
//! record that names them.
//!
//! However many there are, they cost one sync of that file and two of its names.

use std::{cell::RefCell, fmt};

use pflow_backend::{Bytes, Result, Version};

use crate::{
    folder::{Folder, OpenFile},
    journal::{
        self, VALUES,
        record::{Content, Value},
    },
};

/// The largest object that is written into the journal itself, where it is synced with all others of its
/// group.
const LARGEST_INLINE: usize = 256 * 1024;
/// What one batch may have of those. Beyond it all go to the batch's file, so that journal and memory stay
/// small.
const LARGEST_SUM: usize = 1024 * 1024;

/// The folder `values/`, for the batches of a group.
pub(crate) struct Values<'a> {
    journal: &'a Folder,
    is_named: &'a dyn Fn() -> bool,
    state: RefCell<State>,
}

#[derive(Debug)]
enum State {
    /// It was not needed yet.
    Unknown,
    /// A record names a file in it, so its own name is durable.
    Named,
    /// No record does, and its name may have been lost by a sync that failed, of whichever process.
    Unnamed,
    /// Made by this group, and not synced yet.
    Made(Folder),
}

/// Keeps the values of one batch.
///
/// Dropping it removes them again, unless the record that names them [was written](Self::release).
#[derive(Debug)]
pub(crate) struct Keeper<'a> {
    values: &'a Values<'a>,
    /// Names the file; never given before.
    id: String,
    inline: usize,
    file: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    folder: Folder,
    file: OpenFile,
    size: u64,
}

impl<'a> Values<'a> {
    /// `is_named`: whether a record of this epoch names a file in the folder.
    pub(crate) fn new(journal: &'a Folder, is_named: &'a dyn Fn() -> bool) -> Self {
        Self { journal, is_named, state: RefCell::new(State::Unknown) }
    }

    fn folder(&self) -> Result<Folder> {
        let mut state = self.state.borrow_mut();
        if matches!(*state, State::Unknown) {
            *state = if (self.is_named)() { State::Named } else { State::Unnamed };
        }
        match &*state {
            State::Named => Ok(self.journal.step_or_create(VALUES)?.0),
            State::Made(folder) => Ok(folder.clone()),
            State::Unknown | State::Unnamed => {
                // IMPORTANT: made again, because a sync succeeds without a name that an earlier one lost (see
                // `Medium`). Nothing names what is in it.
                journal::sweep(self.journal, VALUES, true, &|_| false)?;
                let folder = self.journal.step_or_create(VALUES)?.0;
                *state = State::Made(folder.clone());
                Ok(folder)
            }
        }
    }

    fn sync(&self, kept: &Kept) -> Result<()> {
        let synced =
            kept.file.sync_data().and_then(|()| kept.folder.sync()).and_then(|()| self.journal.sync());
        let mut state = self.state.borrow_mut();
        match (&*state, &synced) {
            (State::Made(_), Ok(())) => *state = State::Named,
            (State::Made(_), Err(_)) => *state = State::Unnamed,
            _ => {}
        }
        synced
    }
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("state", &self.state).finish_non_exhaustive()
    }
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(values: &'a Values<'a>, id: String) -> Self {
        Self { values, id, inline: 0, file: None }
    }

    /// The value for a record.
    ///
    /// # Errors
    /// The batch's file could not be written.
    pub(crate) fn value(&mut self, bytes: &Bytes) -> Result<Value> {
        if bytes.len() <= LARGEST_INLINE && self.inline + bytes.len() <= LARGEST_SUM {
            self.inline += bytes.len();
            return Ok(Value::inline(bytes.clone()));
        }
        let kept = match &mut self.file {
            Some(kept) => kept,
            none => {
                let folder = self.values.folder()?;
                let file = folder.create_file(&self.id, None)?;
                none.insert(Kept { folder, file, size: 0 })
            }
        };
        let at = kept.size;
        kept.file.write_at(bytes, at)?;
        kept.size += bytes.len() as u64;
        Ok(Value {
            version: Version::of_content(bytes),
            size: bytes.len() as u64,
            content: Content::Kept { name: self.id.clone(), at },
        })
    }

    /// Makes the file and its names durable, so that a record may name it.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.as_ref().map_or(Ok(()), |kept| self.values.sync(kept))
    }

    /// A record names the file now, or may.
    pub(crate) fn release(mut self) {
        self.file = None;
    }
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        let Some(Kept { folder, .. }) = &self.file else { return };
        if let Err(error) = folder.remove_file(&self.id) {
            tracing::debug!(%error, "a value that nothing names stays until the journal is at rest");
        }
    }
}
