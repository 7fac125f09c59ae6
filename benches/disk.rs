//! The folder in which the benchmark runs, and the file system below it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant},
};

const FILLED: &str = "filled";

/// The prefix of the name of a run's folder, before the process id.
const RUN: &str = "run-";

/// A folder for one run, which is removed at the end.
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
    /// The type of the file system, for example `ext4`.
    pub(crate) kind: String,
    /// The mount options.
    pub(crate) options: String,
}

impl Ground {
    /// Creates a folder below `dir`, for a run with this time limit.
    ///
    /// # Errors
    /// The folder cannot be created, or the file system is in memory.
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

    /// Returns the time since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns the time until the run must end; none if it has no limit.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        self.limit.map(|limit| limit.saturating_sub(self.elapsed()))
    }

    pub(crate) fn has_time_for(&self, more: Duration) -> bool {
        self.time_left().is_none_or(|left| left >= more)
    }

    /// Reports the progress.
    pub(crate) fn say(&self, what: &str) {
        eprintln!("{:>6.1} s  {what}", self.elapsed().as_secs_f64());
    }

    /// Returns an unused path.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Waits until the disk has written everything, so that no peer pays for data that another one left in
    /// memory.
    pub(crate) fn settle(&self) {
        #[cfg(target_os = "linux")]
        fs::File::open(&self.folder).map(rustix::fs::syncfs).unwrap().unwrap();
        #[cfg(not(target_os = "linux"))]
        rustix::fs::sync();
    }

    /// Returns the folder of a peer that is filled once and read in several scenarios.
    pub(crate) fn filled(&self, name: &str) -> PathBuf {
        self.folder.join(FILLED).join(name)
    }

    /// Removes what the cells left, except for the filled folders.
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

/// Removes what killed runs left.
fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(RUN)?.parse::<u32>().ok());
        // Without /proc it is unknown which processes are alive.
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
    /// Returns the mount of a folder; unknown if the system does not report it.
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
