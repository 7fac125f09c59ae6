//! The folder that is measured in, and what lies under it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant},
};

const FILLED: &str = "filled";

/// What the name of a run's folder begins with, before the id of its process.
const RUN: &str = "run-";

/// A folder for one run, which goes with it.
#[derive(Debug)]
pub(crate) struct Ground {
    folder: PathBuf,
    pub(crate) mount: Mount,
    began: Instant,
    limit: Option<Duration>,
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
    /// A new folder below `dir`, for a run that may last so long.
    ///
    /// # Errors
    /// It cannot be made, or what is there is kept in memory alone.
    pub(crate) fn below(dir: &Path, limit: Option<Duration>) -> Result<Self, String> {
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
        sweep(&dir).map_err(failed)?;
        let folder = dir.join(format!("{RUN}{}", process::id()));
        fs::create_dir(&folder).map_err(failed)?;
        Ok(Self { folder, mount, began: Instant::now(), limit })
    }

    /// Since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Until the run must be over; none where it may take as long as it does.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        self.limit.map(|limit| limit.saturating_sub(self.elapsed()))
    }

    pub(crate) fn has_time_for(&self, more: Duration) -> bool {
        self.time_left().is_none_or(|left| left >= more)
    }

    /// Tells whoever waits what is going on.
    pub(crate) fn say(&self, what: &str) {
        eprintln!("{:>6.1} s  {what}", self.elapsed().as_secs_f64());
    }

    /// A path that nobody else has, where nothing is yet.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Waits until the disk has everything, so that nobody pays for what another one left in memory.
    pub(crate) fn settle(&self) {
        #[cfg(target_os = "linux")]
        fs::File::open(&self.folder).map(rustix::fs::syncfs).unwrap().unwrap();
        #[cfg(not(target_os = "linux"))]
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
                let path = entry.path();
                if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
            }
        }
    }
}

/// Removes what runs left that were killed.
fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(RUN)?.parse::<u32>().ok());
        // Without /proc nobody knows who is alive.
        let proc = Path::new("/proc");
        if process.is_some_and(|id| proc.join("self").exists() && !proc.join(id.to_string()).exists()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
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
