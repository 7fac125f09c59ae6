//! Which files a batch is made of, and what their workflows are called.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use pflow_store::WorkflowId;

use crate::cli::{
    failure::{Failure, Result},
    input,
    session::shown,
};

const EXTENSION: &str = ".json";

/// A file of the batch. One that cannot be named fails alone, when its turn comes.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) id: Result<WorkflowId>,
}

/// The files, in the order of the paths, those of a folder by name.
///
/// # Errors
/// Two files would be one workflow: which of them counts nobody can tell.
pub(super) fn expand(paths: &[PathBuf]) -> Result<Vec<File>> {
    let files: Vec<File> = paths.iter().flat_map(|path| expand_one(path)).collect();
    let mut known: HashMap<&WorkflowId, &Path> = HashMap::new();
    for file in &files {
        let Ok(id) = &file.id else { continue };
        if let Some(first) = known.insert(id, &file.path) {
            let both = format!("{} and {} would both be {id}", shown(first), shown(&file.path));
            return Err(Failure::usage(both).with_hint("save one of them with `save`, under another id"));
        }
    }
    Ok(files)
}

fn expand_one(path: &Path) -> Vec<File> {
    let failed = |error: &io::Error| {
        let id = Err(Failure::file("read", shown(path), error));
        vec![File { path: path.to_owned(), id }]
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return vec![File { path: path.to_owned(), id: id_of(path) }],
        Err(error) => return failed(&error),
    }
    let names: io::Result<Vec<PathBuf>> =
        fs::read_dir(path).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    let mut found: Vec<PathBuf> = match names {
        Ok(paths) => paths.into_iter().filter(|path| belongs(path)).collect(),
        Err(error) => return failed(&error),
    };
    found.sort();
    found.into_iter().map(|path| File { id: id_of(&path), path }).collect()
}

/// What `*.json` of a shell would name, without folders. A link that leads nowhere belongs, so that it is reported.
fn belongs(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.ends_with(EXTENSION.as_bytes()) && !name.starts_with(b".") && !path.is_dir()
}

fn id_of(path: &Path) -> Result<WorkflowId> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    input::id(name.strip_suffix(EXTENSION).unwrap_or(&name).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_json_files_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.json", "a.json", ".hidden.json", "notes.txt", "Bad Name.json"] {
            fs::write(folder.path().join(name), "{}").unwrap();
        }
        fs::create_dir(folder.path().join("sub.json")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("link.json")).unwrap();
        let files = expand(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> =
            files.iter().map(|file| file.path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(names, ["Bad Name.json", "a.json", "b.json", "link.json"]);
        assert_eq!(files[0].id.as_ref().unwrap_err().exit, 5);
        assert_eq!(files[1].id.as_ref().unwrap().as_str(), "a");
    }

    #[test]
    fn two_files_of_one_workflow_are_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        fs::write(&file, "{}").unwrap();
        let refused = expand(&[folder.path().to_owned(), file]).unwrap_err();
        assert_eq!(refused.exit, 2);
        let missing = expand(&[folder.path().join("gone")]).unwrap();
        assert!(missing[0].id.is_err(), "a path that is not there fails alone");
    }
}
