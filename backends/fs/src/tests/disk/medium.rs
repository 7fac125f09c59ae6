//! The disk as one process sees it.

use std::{
    ffi::{OsStr, OsString},
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
    Call, Called, Disk, Opened, State, Trouble,
    image::{Effect, Ino, Inode},
    trouble::{Calls, Fate},
};
use crate::medium::{Descriptor, FileId, Kind, Medium, Node, Open, Status};

/// See the module. It ends when it is [killed](Self::kill), whoever holds it.
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

    /// The next sync fails, and what it covers is lost.
    pub(crate) fn lose_the_next_sync(&self) {
        let mut calls = self.calls();
        let so_far = calls.syncs;
        calls.troubles.push(Trouble::LosingSync(so_far));
    }

    /// What it has asked for so far.
    pub(crate) fn made(&self) -> Vec<Called> {
        self.calls().made.clone()
    }

    /// The same, and counting begins anew.
    pub(crate) fn take_made(&self) -> Vec<Called> {
        std::mem::take(&mut *self.calls()).made
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

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call<T>(
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

    fn sync_call(&self, call: Call, node: &Node, what: impl FnOnce(&mut State, Ino)) -> io::Result<()> {
        self.call(call, At::Node(node), |state, ino, fate| {
            if fate == Fate::Loses {
                match call {
                    Call::SyncFileSystem => state.lose_everything(),
                    _ => state.lose(ino),
                }
            }
            let (failures, all) = (state.failures.get(&ino).copied().unwrap_or(0), state.failures_of_all);
            let opened = state.nodes.get_mut(&number(node)?).ok_or(Errno::BADF)?;
            // A failure is told once to each who had the file open, and never to who came later.
            let is_news = match call {
                Call::SyncFileSystem => std::mem::replace(&mut opened.told_of_all, all) != all,
                _ => std::mem::replace(&mut opened.told, failures) != failures,
            };
            if is_news || fate == Fate::Loses {
                return Err(Errno::IO.into());
            }
            what(state, ino);
            Ok(())
        })
    }

    fn open_at(&self, state: &mut State, ino: Ino, path: PathBuf, writable: bool) -> Node {
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
enum At<'a> {
    Path(&'a Path),
    Node(&'a Node),
    Name(&'a Node, &'a OsStr),
}

fn number(node: &Node) -> io::Result<u64> {
    match node.as_ref() {
        Descriptor::Simulated(number) => Ok(*number),
        Descriptor::System(_) => Err(Errno::BADF.into()),
    }
}

impl State {
    fn opened(&self, node: &Node) -> io::Result<&Opened> {
        Ok(self.nodes.get(&number(node)?).ok_or(Errno::BADF)?)
    }

    fn status(&self, ino: Ino) -> io::Result<Status> {
        let (kind, size) = match self.live.bytes(ino) {
            Some(bytes) => (FileType::RegularFile, bytes.len() as u64),
            None => (FileType::Directory, 0),
        };
        let modified = self.modified.get(&ino).map_or(0, |it| i64::try_from(*it).unwrap_or(0));
        Ok(Status {
            id: FileId { device: 1, inode: ino },
            kind,
            mode: self.modes.get(&ino).copied().unwrap_or(Mode::from_raw_mode(0o644)),
            size,
            modified: DateTime::from_timestamp_millis(modified).unwrap_or_default(),
        })
    }

    fn named(&self, folder: Ino, name: &OsStr) -> io::Result<Ino> {
        let names = self.live.names(folder).ok_or(Errno::NOTDIR)?;
        Ok(*names.get(name).ok_or(Errno::NOENT)?)
    }

    /// Whether a new name can be in a folder.
    fn check_new(&self, folder: Ino, name: &OsStr) -> io::Result<()> {
        match self.named(folder, name) {
            Ok(_) => Err(Errno::EXIST.into()),
            Err(_) if name.len() > 255 => Err(Errno::NAMETOOLONG.into()),
            Err(_) if self.live.names(folder).is_none() => Err(Errno::NOTDIR.into()),
            Err(_) => Ok(()),
        }
    }

    fn name(&mut self, folder: Ino, name: &OsStr, meaning: Option<Ino>) {
        self.change(Effect::Names(vec![(folder, name.to_owned(), meaning)]));
    }
}

impl Medium for Simulated {
    fn open_root(&self, path: &Path) -> io::Result<Node> {
        self.call(Call::OpenRoot, At::Path(path), |state, ino, _| {
            state.live.names(ino).ok_or(Errno::NOTDIR)?;
            Ok(self.open_at(state, ino, path.to_owned(), false))
        })
    }

    fn identify(&self, path: &Path) -> io::Result<FileId> {
        self.call(Call::Identify, At::Path(path), |state, ino, _| Ok(state.status(ino)?.id))
    }

    fn open_folder(&self, at: &Node, name: &OsStr) -> io::Result<Node> {
        self.call(Call::OpenFolder, At::Name(at, name), |state, folder, _| {
            let ino = state.named(folder, name)?;
            state.live.names(ino).ok_or(Errno::NOTDIR)?;
            let path = state.opened(at)?.path.join(name);
            Ok(self.open_at(state, ino, path, false))
        })
    }

    fn open(&self, at: &Node, name: &OsStr, how: Open) -> io::Result<Node> {
        let read_only =
            how != Open::Read && self.calls().troubles.iter().any(|it| matches!(it, Trouble::ReadOnly));
        self.call(Call::Open, At::Name(at, name), |state, folder, _| {
            if read_only {
                return Err(Errno::ROFS.into());
            }
            let ino = match (state.named(folder, name), how) {
                (Ok(_), Open::New(_)) => return Err(Errno::EXIST.into()),
                (Ok(ino), Open::Create) if state.live.names(ino).is_some() => return Err(Errno::ISDIR.into()),
                (Ok(ino), _) => ino,
                (Err(error), Open::Read) => return Err(error),
                (Err(_), Open::Create | Open::New(_)) => {
                    state.check_new(folder, name)?;
                    let ino = state.create(Inode::File(Arc::default()));
                    if let Open::New(Some(mode)) = how {
                        state.modes.insert(ino, mode);
                    }
                    state.name(folder, name, Some(ino));
                    ino
                }
            };
            let path = state.opened(at)?.path.join(name);
            Ok(self.open_at(state, ino, path, how != Open::Read))
        })
    }

    fn status(&self, node: &Node) -> io::Result<Status> {
        self.call(Call::Status, At::Node(node), |state, ino, _| state.status(ino))
    }

    fn look(&self, at: &Node, name: &OsStr) -> io::Result<Status> {
        self.call(Call::Look, At::Name(at, name), |state, folder, _| state.status(state.named(folder, name)?))
    }

    fn names(&self, at: &Node) -> io::Result<Vec<(OsString, FileType)>> {
        self.call(Call::Names, At::Node(at), |state, folder, _| {
            let names = state.live.names(folder).ok_or(Errno::NOTDIR)?;
            names.iter().map(|(name, ino)| Ok((name.clone(), state.status(*ino)?.kind))).collect()
        })
    }

    fn read_at(&self, file: &Node, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(Call::Read, At::Node(file), |state, ino, _| {
            let content = state.live.bytes(ino).ok_or(Errno::ISDIR)?;
            let from = content.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
            let read = bytes.len().min(content.len() - from);
            bytes[..read].copy_from_slice(&content[from..from + read]);
            Ok(read)
        })
    }

    fn write_at(&self, file: &Node, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.call(Call::Write, At::Node(file), |state, ino, fate| {
            if !state.opened(file)?.writable {
                return Err(Errno::BADF.into());
            }
            let most = if fate == Fate::Partly { bytes.len().div_ceil(2) } else { bytes.len() };
            state.write(ino, usize::try_from(offset).unwrap_or(usize::MAX), &bytes[..most]);
            Ok(most)
        })
    }

    fn set_length(&self, file: &Node, length: u64) -> io::Result<()> {
        self.call(Call::SetLength, At::Node(file), |state, file, _| {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if state.live.bytes(file).is_some_and(|it| it.len() != length) {
                state.change(Effect::Length { file, length });
            }
            Ok(())
        })
    }

    fn create_folder(&self, at: &Node, name: &OsStr) -> io::Result<()> {
        self.call(Call::CreateFolder, At::Name(at, name), |state, folder, _| {
            state.check_new(folder, name)?;
            let ino = state.create(Inode::Folder(std::collections::BTreeMap::new()));
            state.name(folder, name, Some(ino));
            Ok(())
        })
    }

    fn rename(&self, from: (&Node, &OsStr), to: (&Node, &OsStr)) -> io::Result<()> {
        self.call(Call::Rename, At::Name(to.0, to.1), |state, target, _| {
            let source = state.opened(from.0)?.ino;
            let moved = state.named(source, from.1)?;
            if state.named(target, to.1).is_ok_and(|it| state.live.names(it).is_some()) {
                return Err(Errno::ISDIR.into());
            }
            let names = vec![(source, from.1.to_owned(), None), (target, to.1.to_owned(), Some(moved))];
            state.change(Effect::Names(names));
            Ok(())
        })
    }

    fn exchange(&self, one: (&Node, &OsStr), other: (&Node, &OsStr)) -> io::Result<()> {
        self.call(Call::Exchange, At::Name(other.0, other.1), |state, folder, _| {
            if !state.traits.exchanges {
                return Err(Errno::INVAL.into());
            }
            let source = state.opened(one.0)?.ino;
            let (here, there) = (state.named(source, one.1)?, state.named(folder, other.1)?);
            let names =
                vec![(source, one.1.to_owned(), Some(there)), (folder, other.1.to_owned(), Some(here))];
            state.change(Effect::Names(names));
            Ok(())
        })
    }

    fn remove_file(&self, at: &Node, name: &OsStr) -> io::Result<()> {
        self.call(Call::RemoveFile, At::Name(at, name), |state, folder, _| {
            let ino = state.named(folder, name)?;
            state.live.bytes(ino).ok_or(Errno::ISDIR)?;
            state.name(folder, name, None);
            Ok(())
        })
    }

    fn remove_folder(&self, at: &Node, name: &OsStr) -> io::Result<()> {
        self.call(Call::RemoveFolder, At::Name(at, name), |state, folder, _| {
            let ino = state.named(folder, name)?;
            if !state.live.names(ino).ok_or(Errno::NOTDIR)?.is_empty() {
                return Err(Errno::NOTEMPTY.into());
            }
            state.name(folder, name, None);
            Ok(())
        })
    }

    fn sync_data(&self, file: &Node) -> io::Result<()> {
        self.sync_call(Call::SyncData, file, State::sync_content)
    }

    fn sync(&self, node: &Node) -> io::Result<()> {
        self.sync_call(Call::Sync, node, |state, ino| {
            state.settle(|effect| effect.is_content_of(ino) || effect.is_name_in(ino));
        })
    }

    fn syncs_file_systems(&self) -> bool {
        self.disk.state().traits.syncs_file_systems
    }

    fn sync_file_system(&self, node: &Node) -> io::Result<()> {
        self.sync_call(Call::SyncFileSystem, node, |state, _| state.settle(|_| true))
    }

    fn try_lock(&self, file: &Node) -> io::Result<bool> {
        self.call(Call::TryLock, At::Node(file), |state, ino, _| {
            let me = number(file)?;
            let holds = |node: &u64| {
                let opened = state.nodes.get(node);
                opened.is_some_and(|it| it.alive.strong_count() > 0 && !state.dead.contains(&it.process))
            };
            if state.locks.get(&ino).is_some_and(|holder| *holder != me && holds(holder)) {
                return Ok(false);
            }
            state.locks.insert(ino, me);
            Ok(true)
        })
    }

    fn unlock(&self, file: &Node) -> io::Result<()> {
        self.call(Call::Unlock, At::Node(file), |state, ino, _| {
            if state.locks.get(&ino) == Some(&number(file)?) {
                state.locks.remove(&ino);
            }
            Ok(())
        })
    }

    fn kind(&self, node: &Node) -> io::Result<(String, Kind)> {
        self.call(Call::Kind, At::Node(node), |_, _, _| Ok(("simulated".to_owned(), Kind::Local)))
    }
}
