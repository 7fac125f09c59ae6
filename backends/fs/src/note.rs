//! What the lock file says: who holds the lock, and which folders may not be synced yet.
//!
//! ```text
//! pid 4242 on host builder
//! sync /
//! sync workflows/a
//! ```
//!
//! The first line is for the message of whoever waits in vain. The others stand there while a commit puts files into their
//! places, and are what a process leaves that is killed in between: names that everybody can see and that no
//! sync has covered. Whoever locks next syncs these folders before it does anything, because what it builds on them
//! must not be safer than they are. **The note itself is never synced**: it outlives a process, and after a loss of power, which
//! takes unsynced names and the note together, it is not needed.

use std::{collections::BTreeSet, fs::File, io, os::unix::fs::FileExt};

use pflow_backend::{Identity, Prefix};

const SYNC: &str = "sync ";
const ROOT: &str = "/";

/// The content of a lock file.
#[derive(Debug)]
pub(crate) struct Note {
    holder: String,
    unsynced: Vec<Prefix>,
}

impl Note {
    /// A note that names its holder and no folder.
    pub(crate) fn of(identity: &Identity) -> Self {
        let holder = format!("pid {} on host {}", identity.pid, identity.host);
        Self { holder: holder.replace(|it: char| it.is_control(), " "), unsynced: Vec::new() }
    }

    /// What the file says. Lines that make no sense, as a loss of power may leave them, say nothing.
    pub(crate) fn read(file: &File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(io::Error::other)?;
        bytes.resize(length, 0);
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines();
        let holder = lines.next().unwrap_or_default().replace(|it: char| it.is_control(), "");
        let unsynced = lines.filter_map(|line| folder(line.strip_prefix(SYNC)?)).collect();
        Ok(Self { holder, unsynced })
    }

    /// Who wrote it, in words fit for a message.
    pub(crate) fn holder(&self) -> &str {
        if self.holder.is_empty() { "an unknown process" } else { &self.holder }
    }

    /// The folders that may not be synced, the folders above them included.
    pub(crate) fn unsynced(&self) -> &[Prefix] {
        &self.unsynced
    }

    /// Makes the file say who holds it and nothing else.
    pub(crate) fn introduce(&self, file: &File) -> io::Result<()> {
        file.write_all_at(self.first_line().as_bytes(), 0)?;
        self.settle(file)
    }

    /// Adds the folders to a file that [`introduce`](Self::introduce) wrote.
    pub(crate) fn promise(&self, file: &File, folders: &BTreeSet<&str>) -> io::Result<()> {
        let lines: String = folders
            .iter()
            .map(|folder| format!("{SYNC}{}\n", if folder.is_empty() { ROOT } else { folder }))
            .collect();
        file.write_all_at(lines.as_bytes(), self.first_line().len() as u64)
    }

    /// Takes the folders out again.
    pub(crate) fn settle(&self, file: &File) -> io::Result<()> {
        file.set_len(self.first_line().len() as u64)
    }

    /// Whether `file` says this already.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.holder == other.holder && other.unsynced.is_empty()
    }

    fn first_line(&self) -> String {
        format!("{}\n", self.holder)
    }
}

fn folder(name: &str) -> Option<Prefix> {
    if name == ROOT { Some(Prefix::root()) } else { Prefix::parse(name).ok() }
}

#[cfg(test)]
mod tests {
    use pflow_backend::{Environment, ManualEnvironment};

    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Note::read(&file).unwrap().holder(), "an unknown process");
        file.write_all_at(b"somebody with a much longer name than the next holder\nsync /\nsync a\n", 0)
            .unwrap();
        let mine = Note::of(ManualEnvironment::new(1).identity());
        assert!(!mine.is(&Note::read(&file).unwrap()));
        mine.introduce(&file).unwrap();
        assert!(mine.is(&Note::read(&file).unwrap()));
        mine.promise(&file, &BTreeSet::from(["", "a/b"])).unwrap();
        let read = Note::read(&file).unwrap();
        assert_eq!(read.holder(), "pid 4242 on host host-1");
        assert_eq!(read.unsynced(), [Prefix::root(), Prefix::parse("a/b").unwrap()]);
        mine.settle(&file).unwrap();
        assert!(mine.is(&Note::read(&file).unwrap()));
    }

    #[test]
    fn what_a_loss_of_power_leaves_says_nothing_and_harms_nobody() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"\x1b[31mred\0\nsync ../x\nsync \n\0\0\nsync .journal\nsync ok\nsync to", 0)
            .unwrap();
        let read = Note::read(&file).unwrap();
        assert_eq!(read.holder(), "[31mred");
        assert_eq!(read.unsynced(), [Prefix::parse("ok").unwrap(), Prefix::parse("to").unwrap()]);
    }
}
