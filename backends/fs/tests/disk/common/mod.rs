//! What the tests share.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use futures::TryStreamExt;
use pflow_backend::{
    Batch, Commit, Conflict, Environment, Key, ManualEnvironment, Operation, Prefix, StorageBackend,
    SystemEnvironment, Versions,
};
use pflow_backend_fs::{FsBackend, FsOptions};

/// Returns whether no other test runs in this process. If others may, runs the test `name` (with its module)
/// in a process of its own, and checks that it succeeds there; the caller then has nothing to do.
pub(crate) fn is_alone(name: &str) -> bool {
    const ALONE: &str = "PFLOW_FS_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut alone = Command::new(std::env::current_exe().unwrap());
    let output = alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    print!("{said}");
    false
}

pub(crate) fn key(name: &str) -> Key {
    Key::parse(name).unwrap()
}

pub(crate) fn put(name: &str, bytes: &str) -> Operation {
    Operation::put(key(name), bytes.to_owned())
}

pub(crate) fn one(operation: Operation) -> Batch {
    Batch::new().stage([operation])
}

pub(crate) fn system() -> Arc<dyn Environment> {
    Arc::new(SystemEnvironment::new().unwrap())
}

/// A backend whose clock moves only while it sleeps, and whose files follow when it is closed.
pub(crate) async fn manual(place: &Path) -> FsBackend {
    FsOptions::new().follow(false).open(place, Arc::new(ManualEnvironment::new(7))).await.unwrap()
}

/// Writes, and brings the folder to rest: what was written is a plain file.
pub(crate) async fn write_through(backend: &FsBackend, operation: Operation) {
    write(backend, operation).await;
    backend.close().await.unwrap();
}

pub(crate) fn committed(commit: Commit) -> Versions {
    match commit {
        Commit::Committed(versions) => versions,
        refused => panic!("{refused:?}"),
    }
}

pub(crate) fn conflict(commit: Commit) -> Conflict {
    match commit {
        Commit::Conflict(conflict) => conflict,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn write(backend: &FsBackend, operation: Operation) -> Versions {
    committed(backend.commit(one(operation)).await.unwrap())
}

pub(crate) async fn read(backend: &FsBackend, name: &str) -> Option<String> {
    let object = backend.get(&key(name)).await.unwrap()?;
    Some(String::from_utf8(object.bytes.to_vec()).unwrap())
}

pub(crate) async fn names(backend: &FsBackend, prefix: &str, after: Option<&str>) -> Vec<String> {
    let prefix = if prefix.is_empty() { Prefix::root() } else { Prefix::parse(prefix).unwrap() };
    let after = after.map(key);
    let listed: Vec<_> = backend.list(&prefix, after.as_ref()).try_collect().await.unwrap();
    listed.into_iter().map(|it| it.key.as_str().to_owned()).collect()
}

/// Everything below a folder but `.journal`: what it is, its mode and its bytes.
pub(crate) fn dump(place: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![place.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(place).unwrap().to_string_lossy().into_owned();
            if name == ".journal" {
                continue;
            }
            let meta = path.symlink_metadata().unwrap();
            let content = if meta.is_file() {
                format!("{:?}", std::fs::read(&path).unwrap())
            } else if meta.is_symlink() {
                format!("-> {}", std::fs::read_link(&path).unwrap().display())
            } else {
                String::new()
            };
            found.insert(name, format!("{:o} {content}", meta.permissions().mode()));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// What is left in `.journal` of work that is not finished. A copy that was taken out of its place stays for
/// a while without being any.
pub(crate) fn unfinished(place: &Path) -> Vec<String> {
    let mut left = Vec::new();
    for name in ["staging", "values"] {
        let files = std::fs::read_dir(place.join(".journal").join(name)).into_iter().flatten();
        let files = files.map(|file| file.unwrap());
        let files = files.filter(|file| !file.file_name().to_string_lossy().starts_with("out."));
        left.extend(files.map(|file| file.path().display().to_string()));
    }
    left.extend(
        std::fs::metadata(place.join(".journal/journal"))
            .ok()
            .filter(|meta| meta.len() > 0)
            .map(|meta| format!("{} bytes of journal", meta.len())),
    );
    left
}

pub(crate) fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A small file system of its own, where this process may mount one.
pub(crate) struct SmallDisk {
    path: PathBuf,
    /// The folder that it is mounted on, if it was made for it.
    _place: Option<tempfile::TempDir>,
}

impl SmallDisk {
    pub(crate) fn mount(test: &str, size: &str) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mut disk = Self::mount_at(test, size, place.path())?;
        disk._place = Some(place);
        Some(disk)
    }

    pub(crate) fn mount_at(test: &str, size: &str, path: &Path) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(path)
            .output();
        if mount.is_ok_and(|it| it.status.success()) {
            return Some(Self { path: path.to_owned(), _place: None });
        }
        eprintln!("{test}: skipped, this process may not mount a small file system");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn make_read_only(&self) {
        self.remount("ro");
    }

    pub(crate) fn resize(&self, size: &str) {
        self.remount(&format!("size={size}"));
    }

    /// A thread that has just answered may hold the files of a handle that was dropped for a moment more.
    fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        let tried =
            || Command::new("mount").args(["-o", &options]).arg(self.path()).status().unwrap().success();
        assert!((0..50).any(|_| tried()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = Command::new("umount").arg("-l").arg(&self.path).status() {
            eprintln!("{} stays mounted: {error}", self.path.display());
        }
    }
}
