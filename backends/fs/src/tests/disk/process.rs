//! A process, and what it has open.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pflow_backend::DateTime;
use rustix::{
    fs::{FileType, Mode},
    io::Errno,
};

use super::{
    Call, Called, Disk, Hand, Opened, State, Trouble,
    image::{Effect, Ino},
    trouble::{Calls, Fate},
};
use crate::medium::{Descriptor, FileId, Node, Status};

/// The disk as one process sees it. It ends when it is [killed](Self::kill), whoever holds it.
#[derive(Debug)]
pub(crate) struct Simulated {
    disk: Arc<Disk>,
    process: u64,
    calls: Mutex<Calls>,
}

impl Simulated {
    pub(super) fn new(disk: Arc<Disk>, process: u64) -> Self {
        Self { disk, process, calls: Mutex::default() }
    }

    pub(crate) fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// From now on this goes wrong too.
    pub(crate) fn afflict(&self, trouble: Trouble) {
        self.calls().troubles.push(trouble);
    }

    /// From now on nothing goes wrong.
    pub(crate) fn heal(&self) {
        self.calls().troubles.clear();
    }

    /// From now on every file can be changed again.
    pub(crate) fn unblock(&self) {
        self.calls().troubles.retain(|trouble| !matches!(trouble, Trouble::Of(..)));
    }

    /// The next sync fails, and what it covers is lost.
    pub(crate) fn lose_the_next_sync(&self) {
        self.lose_a_sync_after(0);
    }

    /// After so many more syncs, one fails, and what it covers is lost.
    pub(crate) fn lose_a_sync_after(&self, syncs: usize) {
        let mut calls = self.calls();
        let number = calls.syncs + syncs;
        calls.troubles.push(Trouble::LosingSync(number));
    }

    /// What it has asked for so far.
    pub(crate) fn made(&self) -> Vec<Called> {
        self.calls().made.clone()
    }

    /// The same, and counting begins anew.
    pub(crate) fn take_made(&self) -> Vec<Called> {
        std::mem::take(&mut *self.calls()).made
    }

    /// How many bytes it has read since the last look.
    pub(crate) fn take_bytes_read(&self) -> usize {
        std::mem::take(&mut self.calls().bytes_read)
    }

    /// Whether nothing that it asks for happens any more.
    pub(crate) fn is_dead(&self) -> bool {
        let calls = self.calls();
        let is_over = |trouble: &Trouble| match trouble {
            Trouble::DeadFrom(from) | Trouble::DeadWithin(from) => calls.made.len() > *from,
            _ => false,
        };
        calls.troubles.iter().any(is_over)
    }

    /// Ends it: its locks are free, and whatever it still asks for fails.
    pub(crate) fn kill(&self) {
        self.afflict(Trouble::DeadFrom(0));
        self.disk.state().dead.insert(self.process);
    }

    pub(super) fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn call<T>(
        &self,
        call: Call,
        at: At<'_>,
        work: impl FnOnce(&mut State, Ino, Fate) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut calls = self.calls();
        let mut state = self.disk.state();
        let (ino, path) = match at {
            At::Path(path) => (state.live.find(path), path.to_owned()),
            At::Node(node) => state.opened(node).map(|it| (Some(it.ino), it.path.clone()))?,
            At::Name(node, name) => state.opened(node).map(|it| (Some(it.ino), it.path.join(name)))?,
        };
        match calls.before(call, &path.display().to_string()) {
            Some(Hand::Writes(text)) => state.edit(&path, text.as_bytes(), false),
            Some(Hand::Removes) => {
                let folder = path.parent().and_then(|folder| state.live.find(folder)).ok_or(Errno::NOENT)?;
                state.name(folder, path.file_name().unwrap_or_default(), None);
            }
            None => {}
        }
        let fate = calls.begin(call, path.display().to_string());
        if let Fate::Fails(errno) = fate {
            return Err(errno.into());
        }
        let before = state.changes;
        let done = ino.ok_or(Errno::NOENT.into()).and_then(|ino| work(&mut state, ino, fate));
        if let Some(last) = calls.made.last_mut() {
            last.changed = state.changes != before;
        }
        done
    }

    pub(super) fn sync_call(
        &self,
        call: Call,
        node: &Node,
        what: impl Fn(&mut State, Ino),
    ) -> io::Result<()> {
        self.call(call, At::Node(node), |state, ino, fate| {
            match (fate, call) {
                (Fate::Loses, Call::SyncFileSystem) => state.lose_everything(),
                (Fate::Loses, _) => state.lose(ino),
                _ => {}
            }
            let is_bad = state.lose_what_is_bad((call != Call::SyncFileSystem).then_some(ino));
            if is_bad && call == Call::SyncFileSystem {
                // The rest of it becomes durable.
                what(state, ino);
            }
            let (failures, all) = (state.failures.get(&ino).copied().unwrap_or(0), state.failures_of_all);
            let opened = state.nodes.get_mut(&number(node)?).ok_or(Errno::BADF)?;
            // A failure is told once to each who had the file open, and never to who came later.
            let is_news = match call {
                Call::SyncFileSystem => std::mem::replace(&mut opened.told_of_all, all) != all,
                _ => std::mem::replace(&mut opened.told, failures) != failures,
            };
            if is_news || is_bad || fate == Fate::Loses {
                return Err(Errno::IO.into());
            }
            what(state, ino);
            Ok(())
        })
    }

    pub(super) fn open_at(&self, state: &mut State, ino: Ino, path: PathBuf, writable: bool) -> Node {
        let number = state.fresh();
        let node = Arc::new(Descriptor::Simulated(number));
        let opened = Opened {
            ino,
            path,
            process: self.process,
            alive: Arc::downgrade(&node),
            writable,
            told: state.failures.get(&ino).copied().unwrap_or(0),
            told_of_all: state.failures_of_all,
        };
        state.nodes.insert(number, opened);
        node
    }
}

/// What a call is about.
pub(super) enum At<'a> {
    Path(&'a Path),
    Node(&'a Node),
    Name(&'a Node, &'a OsStr),
}

pub(super) fn number(node: &Node) -> io::Result<u64> {
    match node.as_ref() {
        Descriptor::Simulated(number) => Ok(*number),
        Descriptor::System(_) => Err(Errno::BADF.into()),
    }
}

impl State {
    pub(super) fn opened(&self, node: &Node) -> io::Result<&Opened> {
        Ok(self.nodes.get(&number(node)?).ok_or(Errno::BADF)?)
    }

    pub(super) fn status(&self, ino: Ino) -> io::Result<Status> {
        let (kind, size) = match self.live.bytes(ino) {
            Some(bytes) => (FileType::RegularFile, bytes.len() as u64),
            None => (FileType::Directory, 0),
        };
        let modified = self.modified.get(&ino).map_or(0, |it| i64::try_from(*it).unwrap_or(0));
        Ok(Status {
            id: FileId { device: self.device, inode: ino },
            kind,
            mode: self.modes.get(&ino).copied().unwrap_or(Mode::from_raw_mode(0o644)),
            size,
            has_other_names: false,
            modified: DateTime::from_timestamp_millis(modified).unwrap_or_default(),
        })
    }

    pub(super) fn named(&self, folder: Ino, name: &OsStr) -> io::Result<Ino> {
        let names = self.live.names(folder).ok_or(Errno::NOTDIR)?;
        Ok(*names.get(name).ok_or(Errno::NOENT)?)
    }

    /// Whether a new name can be in a folder.
    pub(super) fn check_new(&self, folder: Ino, name: &OsStr) -> io::Result<()> {
        match self.named(folder, name) {
            Ok(_) => Err(Errno::EXIST.into()),
            Err(_) if name.len() > 255 => Err(Errno::NAMETOOLONG.into()),
            Err(_) if self.live.names(folder).is_none() => Err(Errno::NOTDIR.into()),
            Err(_) => Ok(()),
        }
    }

    pub(super) fn name(&mut self, folder: Ino, name: &OsStr, meaning: Option<Ino>) {
        self.change(Effect::Names(vec![(folder, name.to_owned(), meaning)]));
    }
}
