//! Files and folders as they stand at one moment, and the smallest steps from one such moment to another.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    ops::Range,
    path::{Component, Path},
    sync::Arc,
};

/// The number of a file or folder.
pub(crate) type Ino = u64;
/// `/`.
pub(crate) const TOP: Ino = 1;

/// What a device writes whole or not at all.
const SECTOR: usize = 512;
const PAGE: usize = 4096;
/// So large writes do not fall into more pieces than anybody can try out.
const EXTENT: usize = 64 * 1024;

#[derive(Debug, Clone)]
pub(crate) enum Inode {
    File(Arc<Vec<u8>>),
    Folder(BTreeMap<OsString, Ino>),
}

/// What a crash leaves or loses as a whole.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// Whole sectors, as they were in memory after the write. What is behind the file's length is lost.
    Bytes { file: Ino, at: usize, bytes: Arc<[u8]> },
    /// The file is longer, with zeros, or shorter.
    Length { file: Ino, length: usize },
    /// Names get these meanings, all in one step: two of them if something was moved.
    Names(Vec<(Ino, OsString, Option<Ino>)>),
}

#[derive(Debug, Clone)]
pub(crate) struct Image {
    inodes: BTreeMap<Ino, Inode>,
}

impl Image {
    pub(crate) fn new() -> Self {
        Self { inodes: BTreeMap::from([(TOP, Inode::Folder(BTreeMap::new()))]) }
    }

    pub(crate) fn add(&mut self, ino: Ino, inode: Inode) {
        self.inodes.insert(ino, inode);
    }

    pub(crate) fn bytes(&self, file: Ino) -> Option<&Arc<Vec<u8>>> {
        match self.inodes.get(&file) {
            Some(Inode::File(bytes)) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn names(&self, folder: Ino) -> Option<&BTreeMap<OsString, Ino>> {
        match self.inodes.get(&folder) {
            Some(Inode::Folder(names)) => Some(names),
            _ => None,
        }
    }

    pub(crate) fn write(&mut self, file: Ino, at: usize, bytes: &[u8]) {
        if let Some(Inode::File(content)) = self.inodes.get_mut(&file) {
            let end = content.len().min(at + bytes.len());
            if let Some(room) = Arc::make_mut(content).get_mut(at..end) {
                room.copy_from_slice(&bytes[..room.len()]);
            }
        }
    }

    pub(crate) fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Bytes { file, at, bytes } => self.write(*file, *at, bytes),
            Effect::Length { file, length } => {
                if let Some(Inode::File(content)) = self.inodes.get_mut(file) {
                    Arc::make_mut(content).resize(*length, 0);
                }
            }
            Effect::Names(changes) => {
                for (folder, name, meaning) in changes {
                    let Some(Inode::Folder(names)) = self.inodes.get_mut(folder) else { continue };
                    match meaning {
                        Some(ino) => names.insert(name.clone(), *ino),
                        None => names.remove(name),
                    };
                }
            }
        }
    }

    /// What an absolute path leads to.
    pub(crate) fn find(&self, path: &Path) -> Option<Ino> {
        let mut here = TOP;
        for part in path.components() {
            if let Component::Normal(name) = part {
                here = *self.names(here)?.get(name)?;
            }
        }
        Some(here)
    }

    /// All files and folders by their paths.
    pub(crate) fn paths(&self) -> BTreeMap<String, Ino> {
        let mut paths = BTreeMap::new();
        let mut waiting = vec![(String::new(), TOP)];
        while let Some((path, ino)) = waiting.pop() {
            let below = |(name, ino): (&OsString, &Ino)| (format!("{path}/{}", name.display()), *ino);
            waiting.extend(self.names(ino).into_iter().flatten().map(below));
            paths.insert(path, ino);
        }
        paths
    }

    /// All files by their paths.
    pub(crate) fn files(&self) -> BTreeMap<String, Arc<Vec<u8>>> {
        let mut files = BTreeMap::new();
        let mut waiting = vec![(String::new(), TOP)];
        while let Some((path, ino)) = waiting.pop() {
            match self.inodes.get(&ino) {
                Some(Inode::File(bytes)) => drop(files.insert(path, bytes.clone())),
                Some(Inode::Folder(names)) => {
                    let below = |(name, ino): (&OsString, &Ino)| (format!("{path}/{}", name.display()), *ino);
                    waiting.extend(names.iter().map(below));
                }
                None => {}
            }
        }
        files
    }

    /// What no name leads to is gone.
    pub(crate) fn forget_the_nameless(&mut self) {
        let (mut reached, mut waiting) = (BTreeSet::from([TOP]), vec![TOP]);
        while let Some(ino) = waiting.pop() {
            let below = self.names(ino).into_iter().flat_map(BTreeMap::values);
            waiting.extend(below.filter(|ino| reached.insert(**ino)));
        }
        self.inodes.retain(|ino, _| reached.contains(ino));
    }
}

impl Effect {
    /// Whether it changes what is in this file.
    pub(crate) fn is_content_of(&self, ino: Ino) -> bool {
        matches!(self, Self::Bytes { file, .. } | Self::Length { file, .. } if *file == ino)
    }

    /// Whether it changes a name in this folder.
    pub(crate) fn is_name_in(&self, ino: Ino) -> bool {
        matches!(self, Self::Names(changes) if changes.iter().any(|(folder, ..)| *folder == ino))
    }

    /// Two effects with the same slot write the same place: only one of them can be there.
    pub(crate) fn slot(&self) -> Option<(Ino, usize, usize)> {
        match self {
            Self::Bytes { file, at, bytes } => Some((*file, *at, bytes.len())),
            _ => None,
        }
    }
}

/// The pieces of a write that a crash may tear apart: sectors of a small one, pages or more of a large one,
/// whose first and last sector are pieces of their own.
pub(crate) fn pieces(at: usize, length: usize) -> Vec<Range<usize>> {
    let (first, end) = (at / SECTOR * SECTOR, (at + length).next_multiple_of(SECTOR));
    let unit = if length <= PAGE {
        SECTOR
    } else if length <= EXTENT {
        PAGE
    } else {
        EXTENT
    };
    let mut cuts: BTreeSet<usize> = (first.next_multiple_of(unit)..end).step_by(unit).collect();
    cuts.extend([first, first + SECTOR, end - SECTOR, end]);
    let cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= end).collect();
    cuts.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

#[test]
fn a_write_falls_into_sectors_that_cover_it() {
    assert_eq!(pieces(600, 10).first(), Some(&(512..1024)));
    assert_eq!(pieces(1000, 100), [512..1024, 1024..1536]);
    assert_eq!(pieces(4096, 8192), [4096..4608, 4608..8192, 8192..11776, 11776..12288]);
    for (at, length) in [(0, 1), (511, 2), (4100, 70_000), (512, 4096), (0, 300_000)] {
        let pieces = pieces(at, length);
        assert!(pieces.windows(2).all(|pair| pair[0].end == pair[1].start), "{pieces:?}");
        assert!(pieces[0].start <= at && pieces.last().unwrap().end >= at + length, "{pieces:?}");
        assert!(pieces.len() < 40, "{}", pieces.len());
    }
}
