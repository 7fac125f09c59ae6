//! The machine on which the figures were measured. Figures of different machines cannot be compared; ratios
//! can, with care.

use std::{
    fs::{self, File},
    io::Write,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::disk::Ground;

const LOCK: &str = include_str!("../Cargo.lock");
/// The packages whose versions matter.
const PACKAGES: [&str; 6] = ["fjall", "libsqlite3-sys", "object_store", "redb", "rusqlite", "tokio"];

/// The machine, its disk, and the versions of the peers.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
    pub(crate) mount_options: String,
    /// How many times per second 4 KiB can be appended to a file and synced (`fdatasync`), before and after
    /// the run. If they differ much, other programs were using the disk.
    pub(crate) appends_per_second: Vec<f64>,
    pub(crate) sqlite: &'static str,
    pub(crate) packages: Vec<String>,
}

impl Machine {
    pub(crate) fn of(ground: &Ground) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |path: &str, name: &str| {
            let text = read(path);
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':'));
            line.map_or_else(|| "unknown".to_owned(), |value| value.trim().to_owned())
        };
        let kib = |text: &str| text.trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores: thread::available_parallelism().map_or(0, usize::from),
            memory_mib: kib(&field("/proc/meminfo", "MemTotal")) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: ground.mount.kind.clone(),
            mount_options: ground.mount.options.clone(),
            appends_per_second: vec![appends_per_second(ground)],
            sqlite: rusqlite::version(),
            packages: PACKAGES.iter().filter_map(|name| locked(name)).collect(),
        }
    }

    /// Measures the disk again after the run.
    pub(crate) fn look_again(&mut self, ground: &Ground) {
        self.appends_per_second.push(appends_per_second(ground));
    }
}

/// Returns the package with the version that this program was built with.
fn locked(name: &str) -> Option<String> {
    let (_, rest) = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(format!("{name} {}", rest.split('"').next()?))
}

fn appends_per_second(ground: &Ground) -> f64 {
    ground.settle();
    let path = ground.place("appends");
    let mut file = File::create(&path).unwrap();
    let (began, page) = (Instant::now(), [0x5A; 4096]);
    let mut appended = 0_u32;
    while began.elapsed() < Duration::from_millis(500) {
        file.write_all(&page).unwrap();
        file.sync_data().unwrap();
        appended += 1;
    }
    let rate = f64::from(appended) / began.elapsed().as_secs_f64();
    fs::remove_file(path).unwrap();
    rate
}
