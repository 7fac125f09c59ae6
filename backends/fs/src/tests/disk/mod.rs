//! A disk in memory that knows what a loss of power may leave of it.
//!
//! It keeps what is durable and, in order, every effect that is not: each sector that was written, each
//! length, each name. **A crash leaves what is durable and any of the others**: POSIX promises no order
//! between them, not even within one file or one folder. A move is one effect, and so is an exchange.
//!
//! After a failed write-back, whether a sync reports it or the system fails in the background, the page cache
//! no longer shows what is on the medium (Rebello et al., "Can Applications Recover from fsync Failures?",
//! USENIX ATC 2020). What was to be written can still be read, counts as clean, and no later sync makes it
//! durable:
//! - **A file whose bytes were lost stays lost.** Bytes that are written into the same file later can be
//!   read, their sync succeeds, and they are not on the medium. ext4 does this to blocks that were allocated
//!   and could not be written. Only a new file is durable.
//! - **A name that was lost stays lost until the same name is changed again**: a directory block that could
//!   not be written counts as clean. Of a move between two folders each half is lost by itself.
//! - **A bad block fails for ever**: see [`BadBlock`].

mod crash;
mod fault;
mod image;
mod medium;
mod process;
mod trouble;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use rustix::fs::Mode;

use crate::medium::Descriptor;
use image::{Effect, Image, Ino, Inode, pieces};

pub(crate) use crash::{Budget, Crash};
pub(crate) use fault::BadBlock;
pub(crate) use process::Simulated;
pub(crate) use trouble::{Call, Called, Hand, Trouble};

/// What all processes of a machine share.
#[derive(Debug)]
pub(crate) struct Disk {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What everybody sees.
    live: Image,
    durable: Image,
    /// Of the effects that are durable: the same set gives the same sum, whatever their order.
    durable_sum: u64,
    /// What is not durable, by the number of the effect.
    pending: Vec<(u64, Effect)>,
    effects: u64,
    /// Rises with every change of anything above.
    changes: u64,
    modes: BTreeMap<Ino, Mode>,
    modified: BTreeMap<Ino, u64>,
    next: u64,
    nodes: BTreeMap<u64, Opened>,
    /// Locked files, and by which node.
    locks: BTreeMap<Ino, u64>,
    dead: BTreeSet<u64>,
    /// How often the system failed to write something of a file or folder, or of anything.
    failures: BTreeMap<Ino, u64>,
    failures_of_all: u64,
    /// Files of which bytes were lost: no byte that is written into them becomes durable.
    lost: BTreeSet<Ino>,
    bad_blocks: Vec<BadBlock>,
    traits: Traits,
    /// The number of the device since the machine started.
    device: i128,
}

/// What differs from one system to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    /// Linux has a sync of the whole file system that tells failures.
    pub(crate) syncs_file_systems: bool,
    /// Two names can change places in one step, and a name can be given on the condition that nothing has it.
    pub(crate) exchanges: bool,
    /// A file and a folder know when they were made.
    pub(crate) tells_births: bool,
}

impl Traits {
    pub(crate) const LINUX: Self = Self { syncs_file_systems: true, exchanges: true, tells_births: true };
    pub(crate) const MACOS: Self = Self { syncs_file_systems: false, exchanges: true, tells_births: true };
    /// A file system that knows none of it.
    pub(crate) const POOR: Self = Self { syncs_file_systems: false, exchanges: false, tells_births: false };
}

/// An open file or folder of a process.
#[derive(Debug)]
struct Opened {
    ino: Ino,
    path: PathBuf,
    process: u64,
    alive: Weak<Descriptor>,
    writable: bool,
    /// The failures that it need not be told of any more.
    told: u64,
    told_of_all: u64,
}

impl Disk {
    pub(crate) fn new(traits: Traits) -> Arc<Self> {
        Self::of(Image::new(), BTreeMap::new(), traits)
    }

    fn of(image: Image, modes: BTreeMap<Ino, Mode>, traits: Traits) -> Arc<Self> {
        let state = State {
            live: image.clone(),
            durable: image,
            durable_sum: 0,
            pending: Vec::new(),
            effects: 0,
            changes: 0,
            modes,
            modified: BTreeMap::new(),
            next: 1_000,
            nodes: BTreeMap::new(),
            locks: BTreeMap::new(),
            dead: BTreeSet::new(),
            failures: BTreeMap::new(),
            failures_of_all: 0,
            lost: BTreeSet::new(),
            bad_blocks: Vec::new(),
            traits,
            device: 1,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Another disk with copies of these files, which are durable there. A copy is a new file, which has
    /// neither the number nor the time of birth of its original.
    pub(crate) fn of_copies(files: &BTreeMap<String, Arc<Vec<u8>>>, traits: Traits) -> Arc<Self> {
        /// More files than a test makes.
        const ELSEWHERE: u64 = 1_000_000;
        let disk = Self::new(traits);
        {
            let mut state = disk.state();
            // The top of all disks has the same number.
            state.next += ELSEWHERE;
            for (path, bytes) in files {
                state.make_folders(Path::new(path));
                state.edit(Path::new(path), bytes, true);
            }
            state.settle(|_| true);
        }
        disk
    }

    /// The machine starts again, and the device gets another number.
    pub(crate) fn renumber(&self) {
        self.state().device += 1;
    }

    /// A process on this machine.
    pub(crate) fn process(self: &Arc<Self>) -> Arc<Simulated> {
        Arc::new(Simulated::new(self.clone(), self.state().fresh()))
    }

    /// All files that can be seen, by their paths.
    pub(crate) fn files(&self) -> BTreeMap<String, Arc<Vec<u8>>> {
        self.state().live.files()
    }

    /// Whether there is anything at this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.state().live.find(path.as_ref()).is_some()
    }

    /// A person writes a file as an editor does: the new one takes the place of the old one, and is durable
    /// before if the editor is a good one.
    pub(crate) fn edit(&self, path: &str, bytes: &[u8], is_synced: bool) {
        self.state().edit(Path::new(path), bytes, is_synced);
    }

    /// Somebody takes a file away, for good.
    pub(crate) fn remove(&self, path: &str) {
        let mut state = self.state();
        let path = Path::new(path);
        let folder = state.live.find(path.parent().unwrap()).unwrap();
        state.change(Effect::Names(vec![(folder, path.file_name().unwrap().to_owned(), None)]));
        state.settle(|effect| effect.is_name_in(folder));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A file or folder without a name.
    fn create(&mut self, inode: Inode) -> Ino {
        let ino = self.fresh();
        self.live.add(ino, inode.clone());
        self.durable.add(ino, inode);
        ino
    }

    /// Something that can be seen from now on and is not durable.
    fn change(&mut self, effect: Effect) {
        self.live.apply(&effect);
        self.changes += 1;
        let now = self.changes;
        match &effect {
            Effect::Bytes { file, .. } | Effect::Length { file, .. } => {
                self.modified.insert(*file, now);
            }
            Effect::Names(changes) => {
                self.modified.extend(changes.iter().map(|(folder, ..)| (*folder, now)));
            }
        }
        if matches!(&effect, Effect::Bytes { file, .. } if self.lost.contains(file)) {
            return;
        }
        self.effects += 1;
        self.pending.push((self.effects, effect));
    }

    /// Makes the folders that a file needs.
    fn make_folders(&mut self, file: &Path) {
        let folders: Vec<_> = file.ancestors().skip(1).collect();
        for folder in folders.into_iter().rev() {
            if self.live.find(folder).is_none() {
                let above = self.live.find(folder.parent().unwrap()).unwrap();
                let ino = self.create(Inode::Folder(BTreeMap::new()));
                let name = folder.file_name().unwrap().to_owned();
                self.change(Effect::Names(vec![(above, name, Some(ino))]));
            }
        }
    }

    fn edit(&mut self, path: &Path, bytes: &[u8], is_synced: bool) {
        let folder = self.live.find(path.parent().unwrap()).unwrap();
        let ino = self.create(Inode::File(Arc::default()));
        if !bytes.is_empty() {
            self.write(ino, 0, bytes);
        }
        if is_synced {
            self.sync_content(ino);
        }
        self.change(Effect::Names(vec![(folder, path.file_name().unwrap().to_owned(), Some(ino))]));
    }

    fn write(&mut self, file: Ino, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        let seen = self.live.bytes(file).map_or(0, |it| it.len());
        // What a crash that loses nothing would leave: less than what can be seen if the system failed to
        // write.
        let kept = self.pending.iter().rev().find_map(|(_, effect)| match effect {
            Effect::Length { file: it, length } if *it == file => Some(*length),
            _ => None,
        });
        let kept = kept.or_else(|| self.durable.bytes(file).map(|it| it.len())).unwrap_or(0);
        if end > kept.min(seen) {
            self.change(Effect::Length { file, length: end.max(seen) });
        }
        self.live.write(file, at, bytes);
        for piece in pieces(at, bytes.len()) {
            let Some(content) = self.live.bytes(file) else { return };
            let piece = piece.start..piece.end.min(content.len());
            let bytes: Arc<[u8]> = content[piece.clone()].into();
            if !self.is_there_anyway(file, piece.start, &bytes) {
                self.change(Effect::Bytes { file, at: piece.start, bytes });
            }
        }
    }

    /// Whether a crash leaves these bytes whether they are written or not.
    fn is_there_anyway(&self, file: Ino, at: usize, bytes: &[u8]) -> bool {
        let overlaps = |effect: &Effect| {
            matches!(effect, Effect::Bytes { file: it, at: other, bytes: others }
                if *it == file && *other < at + bytes.len() && at < *other + others.len())
        };
        let shrinks = |effect: &Effect| matches!(effect, Effect::Length { file: it, length } if *it == file && *length < at + bytes.len());
        if self.pending.iter().any(|(_, effect)| overlaps(effect) || shrinks(effect)) {
            return false;
        }
        let durable = self.durable.bytes(file).map_or(&[][..], |it| it.get(at..).unwrap_or_default());
        bytes.iter().enumerate().all(|(index, byte)| durable.get(index).unwrap_or(&0) == byte)
    }

    /// Makes some effects durable, in their order.
    fn settle(&mut self, which: impl Fn(&Effect) -> bool) {
        let (settled, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|(_, effect)| which(effect));
        self.pending = left;
        self.changes += 1;
        for (number, effect) in settled {
            self.durable.apply(&effect);
            self.durable_sum ^= mix(number);
            if let Effect::Names(changes) = &effect {
                self.supersede(number, changes);
            }
        }
    }

    /// What happened earlier to a name cannot come back when something later is durable.
    fn supersede(&mut self, number: u64, changes: &[(Ino, OsString, Option<Ino>)]) {
        for (earlier, effect) in &mut self.pending {
            if let (true, Effect::Names(others)) = (*earlier < number, effect) {
                others.retain(|(folder, name, _)| !changes.iter().any(|it| (&it.0, &it.1) == (folder, name)));
            }
        }
    }

    fn sync_content(&mut self, file: Ino) {
        self.settle(|effect| effect.is_content_of(file));
    }
}

/// Spreads a small number over 64 bits.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= mixed >> 32;
    mixed = mixed.wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 29)
}
