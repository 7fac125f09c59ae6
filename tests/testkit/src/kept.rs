//! Copies of the stores that tests leave on a disk, for `tests/reader/compare.py`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
};

/// Copies the folder of a store when it is dropped, to `$PFLOW_TEST_KEEP_STORES/<test name>-<n>`, if that
/// variable is set and the test has not failed. Handles may still be open, so the journal may have work in it.
pub(crate) struct Kept(pub(crate) Option<PathBuf>);

impl Drop for Kept {
    fn drop(&mut self) {
        let (Some(folder), Some(to)) = (&self.0, std::env::var_os("PFLOW_TEST_KEEP_STORES")) else { return };
        if !thread::panicking() {
            keep(folder, Path::new(&to)).unwrap();
        }
    }
}

fn keep(folder: &Path, to: &Path) -> io::Result<()> {
    let name = thread::current().name().unwrap_or("unnamed").replace("::", ".");
    fs::create_dir_all(to)?;
    let mut number = 1;
    let copy = loop {
        let copy = to.join(format!("{name}-{number}"));
        match fs::create_dir(&copy) {
            Ok(()) => break copy,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    };
    copy_store(folder, &copy)
}

/// Copies the folder of a store, while handles may write into it. The copy has everything that was committed
/// before this call.
pub fn copy_store(folder: &Path, copy: &Path) -> io::Result<()> {
    // IMPORTANT: the journal before the files. What it says is in them later is written into them before it
    // leaves the journal, so a copy of an earlier journal and later files is complete. The journal and its
    // values are one state if the state is the same before and after.
    let journal = folder.join(".journal");
    loop {
        let before = marks(&journal)?;
        copy_folder(&journal, &copy.join(".journal"), None)?;
        if marks(&journal)? == before {
            break;
        }
        fs::remove_dir_all(copy.join(".journal"))?;
    }
    copy_folder(folder, copy, Some(".journal"))
}

/// Returns what changes whenever records leave the journal: its state, and the names of its values.
fn marks(journal: &Path) -> io::Result<(Option<Vec<u8>>, Vec<PathBuf>)> {
    let mut values: Vec<_> =
        entries(&journal.join("values"))?.into_iter().map(|entry| entry.path()).collect();
    values.sort();
    Ok((there(fs::read(journal.join("state")))?, values))
}

/// Copies all files of a folder into which no handle writes.
pub fn copy_files(from: &Path, to: &Path) {
    copy_folder(from, to, None).unwrap();
}

/// Copies all files but those of the folder `except`. Files may be removed meanwhile.
fn copy_folder(from: &Path, to: &Path, except: Option<&str>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in entries(from)? {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let Some(kind) = there(entry.file_type())? else { continue };
        if kind.is_dir() && except.is_none_or(|except| entry.file_name() != except) {
            copy_folder(&path, &target, None)?;
        } else if kind.is_file()
            && let Some(bytes) = there(fs::read(&path))?
        {
            fs::write(&target, bytes)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    there(fs::read_dir(folder))?.map_or_else(|| Ok(Vec::new()), Iterator::collect)
}

fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
