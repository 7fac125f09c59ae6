//! Each call, as the system does it.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::Path,
    sync::Arc,
};

use rustix::{fs::FileType, io::Errno};

use super::{
    Call, Simulated, State, Trouble,
    image::{Effect, Inode},
    process::{At, number},
    trouble::Fate,
};
use crate::medium::{FileId, Kind, Medium, Node, Open, Origin, Status};

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
                (Err(error), Open::Read | Open::Write) => return Err(error),
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

    fn origin(&self, node: &Node) -> io::Result<Origin> {
        self.call(Call::Status, At::Node(node), |state, ino, _| {
            // No number is given twice.
            let birth = state.traits.tells_births.then(|| (i64::try_from(ino).unwrap_or(0), 0));
            Ok(Origin { inode: Some(ino), birth, device: state.device, volume: None })
        })
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
        let read = self.call(Call::Read, At::Node(file), |state, ino, _| {
            let content = state.live.bytes(ino).ok_or(Errno::ISDIR)?;
            let from = content.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
            let read = bytes.len().min(content.len() - from);
            bytes[..read].copy_from_slice(&content[from..from + read]);
            Ok(read)
        })?;
        self.calls().bytes_read += read;
        Ok(read)
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

    fn rename_new(&self, from: (&Node, &OsStr), to: (&Node, &OsStr)) -> io::Result<()> {
        self.call(Call::RenameNew, At::Name(to.0, to.1), |state, target, _| {
            if !state.traits.exchanges {
                return Err(Errno::INVAL.into());
            }
            let source = state.opened(from.0)?.ino;
            let moved = state.named(source, from.1)?;
            state.check_new(target, to.1)?;
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
        self.disk().state().traits.syncs_file_systems
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
