//! A real ext4 whose free blocks cannot be written for a while: what was answered is there after the machine
//! starts again, whatever a failed write-back lost.
//!
//! Runs as root where loop devices and the tools of ext4 are there, and says so where it is skipped.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::common::{is_alone, put, system};
use pflow_backend::{Batch, Commit, StorageBackend};
use pflow_backend_fs::{FsBackend, FsOptions};

const MIB: usize = 1 << 20;
const IMAGE: usize = 64 * MIB;
/// Around the image, so that it can run out of space.
const TMPFS: &str = "size=150m";

fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An ext4 in a file in a tmpfs. The blocks that are free in it have no memory yet.
struct Device {
    place: tempfile::TempDir,
}

impl Device {
    /// None where the system has no such thing.
    fn new(features: &str) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let device = Self { place: tempfile::tempdir().unwrap() };
        for name in ["tmpfs", "mount", "cut"] {
            std::fs::create_dir(device.path(name)).unwrap();
        }
        run("mount", &["-t", "tmpfs", "-o", TMPFS, "tmpfs", &device.text("tmpfs")])?;
        let image = device.text("tmpfs/first");
        let mut file = File::create(&image).unwrap();
        let block = vec![0xff; MIB];
        (0..IMAGE / MIB).for_each(|_| file.write_all(&block).unwrap());
        drop(file);
        let options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
        run("mkfs.ext4", &["-q", "-O", features, "-E", options, &image])?;
        run("mount", &["-o", "loop", &image, &device.text("mount")])?;
        Some(device)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Mounts it again, with no memory behind the blocks that are free now.
    fn let_free_blocks_go(&self) -> Option<()> {
        let (first, image) = (self.text("tmpfs/first"), self.text("tmpfs/image"));
        run("umount", &[&self.text("mount")])?;
        run("cp", &["--sparse=never", &first, &image])?;
        std::fs::remove_file(&first).unwrap();
        let about = run("dumpe2fs", &[&image])?;
        let size: u64 =
            about.lines().find_map(|line| line.strip_prefix("Block size:"))?.trim().parse().ok()?;
        for line in about.lines().filter_map(|line| line.strip_prefix("  Free blocks: ")) {
            for range in line.split(", ").map(str::trim).filter(|it| !it.is_empty()) {
                let (from, to) = range.split_once('-').unwrap_or((range, range));
                let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
                let (offset, length) = ((from * size).to_string(), ((to - from + 1) * size).to_string());
                run("fallocate", &["-p", "-o", &offset, "-l", &length, &image])?;
            }
        }
        run("mount", &["-o", "loop", &image, &self.text("mount")]).map(drop)
    }

    /// Leaves so many pages of memory for blocks that are written for the first time.
    fn fill(&self, left: usize) -> PathBuf {
        let path = self.path("tmpfs/fill");
        let mut file = File::create(&path).unwrap();
        let page = [1; 4096];
        while file.write_all(&page).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len((length / 4096).saturating_sub(left as u64) * 4096).unwrap();
        path
    }

    /// The folder as it is after the power failed, and the file system was checked as it is when a machine starts: without a journal of
    /// its own its bitmaps may lag, and then it refuses to make a file.
    fn cut(&self) -> PathBuf {
        let copy = self.text("tmpfs/copy");
        run("cp", &["--sparse=always", &self.text("tmpfs/image"), &copy]).unwrap();
        // It ends with 1 where it corrected something.
        drop(run("e2fsck", &["-p", &copy]));
        run("mount", &["-o", "loop", &copy, &self.text("cut")]).unwrap();
        self.path("cut/store")
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        for name in ["mount", "cut", "tmpfs"] {
            drop(run("umount", &["-l", &self.text(name)]));
        }
    }
}

fn is_root() -> bool {
    run("id", &["-u"]).is_some_and(|id| id.trim() == "0")
}

/// A save as the store does it: a new version in a new folder, and a head.
fn save(id: &str, text: &str) -> Batch {
    let fill = text.repeat(100);
    Batch::new()
        .stage([put(&format!("versions/{id}/1"), &fill).fresh()])
        .stage([put(&format!("workflows/{id}/metadata.json"), text)])
        .stage([put(&format!("workflows/{id}/workflow.json"), &fill).copy()])
}

async fn open(path: &Path) -> FsBackend {
    FsOptions::new().follow(false).create(path, system()).await.unwrap()
}

async fn commit(backend: &FsBackend, batch: Batch) -> bool {
    matches!(backend.commit(batch).await, Ok(Commit::Committed(_)))
}

/// What there is of a save: all of it, or nothing.
async fn has(backend: &FsBackend, id: &str, text: &str) -> bool {
    let fill = text.repeat(100);
    let mut found = Vec::new();
    for (name, expected) in [
        (format!("versions/{id}/1"), fill.as_str()),
        (format!("workflows/{id}/metadata.json"), text),
        (format!("workflows/{id}/workflow.json"), fill.as_str()),
    ] {
        let object = backend.get(&crate::common::key(&name)).await.unwrap();
        found.push(object.map(|object| object.bytes == expected.as_bytes()));
    }
    let is_there = found.iter().all(|it| *it == Some(true));
    assert!(is_there || found.iter().all(Option::is_none), "{id}: {found:?}");
    is_there
}

/// In a process of its own: a child that another test starts has the files of this one open until it runs its
/// program, and what is open cannot be unmounted.
#[tokio::test(flavor = "multi_thread")]
async fn what_ext4_failed_to_write_back_is_there_after_a_crash() {
    if !is_alone("ext4::what_ext4_failed_to_write_back_is_there_after_a_crash") {
        return;
    }
    let mut failures = 0;
    for features in ["has_journal", "^has_journal"] {
        for left in [0, 16, 20] {
            let Some(device) = Device::new(features) else {
                println!("skipped: it needs root, mkfs.ext4 and loop devices");
                return;
            };
            let path = device.path("mount/store");
            let first = open(&path).await;
            assert!(commit(&first, save("old", "old")).await);
            first.close().await.unwrap();
            drop(first);
            device.let_free_blocks_go().unwrap();

            let backend = open(&path).await;
            assert!(has(&backend, "old", "old").await);
            run("sync", &["-f", &device.text("mount")]).unwrap();
            let fill = device.fill(left);
            let is_saved = commit(&backend, save("new", "new")).await;
            let is_saved_over =
                commit(&backend, Batch::new().stage([put("workflows/old/metadata.json", "more")])).await;
            failures += usize::from(backend.close().await.is_err());
            drop(backend);
            std::fs::remove_file(fill).unwrap();

            // Another process, which was told of nothing, ends what was begun.
            let next = open(&path).await;
            next.close().await.unwrap();
            let is_there = has(&next, "new", "new").await;
            assert!(is_there || !is_saved);
            drop(next);

            let after = open(&device.cut()).await;
            assert_eq!(has(&after, "new", "new").await, is_there, "{features}, {left} pages left");
            let head = after.get(&crate::common::key("workflows/old/metadata.json")).await.unwrap().unwrap();
            let expected: &[&[u8]] = if is_saved_over { &[b"more"] } else { &[b"old", b"more"] };
            assert!(expected.contains(&&head.bytes[..]), "{features}, {left} pages left: {head:?}");
            drop(after);
        }
    }
    println!("closes that failed: {failures}");
}
