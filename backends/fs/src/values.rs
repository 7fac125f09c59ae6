//! Objects too large for the journal: files of their own, durable before the record that names them.

use pflow_backend::{Bytes, Result, Version};

use crate::{
    folder::{Folder, OpenFile},
    journal::{
        VALUES,
        record::{Content, Value},
    },
};

/// The largest object that is written into the journal itself, where it is synced with all others of its group.
const LARGEST_INLINE: usize = 256 * 1024;
/// What one batch may have of those. Beyond it a file for each costs less than a journal that cannot hold them.
const LARGEST_SUM: usize = 1024 * 1024;

/// Keeps the large values of one batch.
///
/// Dropping it removes them again, unless the record that names them [was written](Self::release).
#[derive(Debug)]
pub(crate) struct Keeper<'a> {
    journal: &'a Folder,
    /// Names the files; never given before.
    id: String,
    inline: usize,
    kept: Vec<String>,
    folder: Option<Folder>,
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(journal: &'a Folder, id: String) -> Self {
        Self { journal, id, inline: 0, kept: Vec::new(), folder: None }
    }

    /// The value for a record.
    ///
    /// # Errors
    /// A file could not be written.
    pub(crate) fn value(&mut self, bytes: &Bytes) -> Result<Value> {
        if bytes.len() <= LARGEST_INLINE && self.inline + bytes.len() <= LARGEST_SUM {
            self.inline += bytes.len();
            return Ok(Value::inline(bytes.clone()));
        }
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => self.journal.step_or_create(VALUES)?.0,
        };
        let name = format!("{}-{}", self.id, self.kept.len());
        self.kept.push(name.clone());
        let written = write(&folder, &name, bytes);
        self.folder = Some(folder);
        written?;
        Ok(Value {
            version: Version::of_content(bytes),
            size: bytes.len() as u64,
            content: Content::Kept(name),
        })
    }

    /// Makes the names durable, so that a record may name them.
    pub(crate) fn sync(&self) -> Result<()> {
        match &self.folder {
            None => Ok(()),
            Some(folder) => {
                folder.sync()?;
                // IMPORTANT: the name of `values` itself too, which may be new.
                self.journal.sync()
            }
        }
    }

    /// A record names them now, or may.
    pub(crate) fn release(mut self) {
        self.kept.clear();
    }
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        let Some(folder) = &self.folder else { return };
        for name in &self.kept {
            if let Err(error) = folder.remove_file(name) {
                tracing::debug!(%error, "a value that nothing names stays until the journal is at rest");
            }
        }
    }
}

fn write(folder: &Folder, name: &str, bytes: &[u8]) -> Result<()> {
    let file: OpenFile = folder.create_file(name, None)?;
    file.write_at(bytes, 0)?;
    file.sync_data()
}
