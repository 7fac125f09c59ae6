//! The folder that is measured in, and what lies under it.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

const FILLED: &str = "filled";

/// A folder for one run, which goes with it.
#[derive(Debug)]
pub(crate) struct Ground {
    folder: PathBuf,
    pub(crate) mount: Mount,
}

/// A mounted file system.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    /// Of the file system: `ext4`.
    pub(crate) kind: String,
    /// As it was mounted.
    pub(crate) options: String,
}

impl Ground {
    /// A new folder below `dir`.
    ///
    /// # Errors
    /// It cannot be made, or what is there is kept in memory alone.
    pub(crate) fn below(dir: &Path) -> Result<Self, String> {
        let failed =
            |error| format!("cannot make a folder in {}: {error}; choose another --dir", dir.display());
        fs::create_dir_all(dir).map_err(failed)?;
        let dir = dir.canonicalize().map_err(failed)?;
        let mount = Mount::of(&dir);
        if ["tmpfs", "ramfs"].contains(&mount.kind.as_str()) {
            let dir = dir.display();
            return Err(format!(
                "{dir} is on {}, where nothing is durable; choose a --dir on a disk",
                mount.kind
            ));
        }
        let folder = dir.join(format!("run-{}", process::id()));
        fs::create_dir(&folder).map_err(failed)?;
        Ok(Self { folder, mount })
    }

    /// A path that nobody else has, where nothing is yet.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Waits until the disk has everything, so that nobody pays for what another one left in memory.
    pub(crate) fn settle(&self) {
        rustix::fs::sync();
    }

    /// Where a peer keeps what is filled once and read in several scenarios.
    pub(crate) fn filled(&self, name: &str) -> PathBuf {
        self.folder.join(FILLED).join(name)
    }

    /// Removes what the cells left, but for what is read.
    pub(crate) fn clear(&self) {
        for entry in fs::read_dir(&self.folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != FILLED {
                fs::remove_dir_all(entry.path()).unwrap();
            }
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} stays: {error}", self.folder.display());
        }
    }
}

impl Mount {
    /// What a folder is on; unknown where the system does not tell.
    fn of(folder: &Path) -> Self {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mounts = table.lines().filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let (fields, mut kind) = (before.split(' ').collect::<Vec<_>>(), after.split(' '));
            // A later mount at the same point hides an earlier one.
            let (point, kind, _device, rest) = (*fields.get(4)?, kind.next()?, kind.next()?, kind.next()?);
            folder.starts_with(point).then(|| {
                let options = format!("{},{rest}", fields.get(5).unwrap_or(&""));
                (point.len(), Self { kind: kind.to_owned(), options })
            })
        });
        let unknown = || Self { kind: "unknown".to_owned(), options: String::new() };
        mounts.max_by_key(|(length, _)| *length).map_or_else(unknown, |(_, mount)| mount)
    }
}
