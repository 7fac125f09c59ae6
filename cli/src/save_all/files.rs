//! Finds the files of a batch and derives the ids of their workflows.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::FileTypeExt,
    path::{Component, Path, PathBuf},
};

use clap::ValueEnum;
use pflow_store::WorkflowId;

use crate::{
    failure::{Failure, Result},
    session::shown,
};

/// The ends of the names of documents. The first one that fits is not part of the id.
const EXTENSIONS: [&str; 2] = [".pflow.md", ".json"];

/// The source of a workflow's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum IdFrom {
    /// The file's name without `.json` or `.pflow.md`
    #[default]
    Name,
    /// The path of the file, with dots between the names: below the given folder, or as given for a file.
    /// `etl/daily.json` is `etl.daily`
    Path,
}

/// How ids are derived from files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Naming {
    pub(super) id_from: IdFrom,
    /// Whether a name that is no valid id is replaced by a similar valid id.
    pub(super) rename: bool,
}

/// A file of the batch. If it cannot be saved, it fails alone when its turn comes.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) id: std::result::Result<WorkflowId, Unusable>,
}

/// Why a file is not saved.
#[derive(Debug)]
pub(super) enum Unusable {
    /// Its name is no valid id. There may be a similar id that is valid.
    Name {
        name: String,
        offered: Option<WorkflowId>,
    },
    Other(Failure),
}

/// The files that the arguments name.
#[derive(Debug, Default)]
pub(super) struct Expanded {
    pub(super) files: Vec<File>,
    /// The paths that were skipped in folders because they are not regular files, and what they are.
    pub(super) skipped: Vec<(PathBuf, &'static str)>,
}

/// Finds the files, in the order of the arguments and by name within a folder. Folders within a folder are
/// searched only if their names are part of the id.
///
/// # Errors
/// Two files have the same workflow id: it is not clear which of them to save.
pub(super) fn expand(paths: &[PathBuf], naming: Naming) -> Result<Expanded> {
    let mut expanded = Expanded::default();
    for path in paths {
        expanded.add(path, naming);
    }
    let mut known: HashMap<&WorkflowId, &Path> = HashMap::new();
    for file in &expanded.files {
        let Ok(id) = &file.id else { continue };
        if let Some(first) = known.insert(id, &file.path) {
            let both = format!("{} and {} would both be {id}", shown(first), shown(&file.path));
            return Err(Failure::usage(both).with_hint(
                "save one of them with `save`, under another id, or name them by their folders too with `--id-from path`",
            ));
        }
    }
    Ok(expanded)
}

impl Expanded {
    fn add(&mut self, path: &Path, naming: Naming) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.add_folder(path, path, naming),
            // The caller named this path, so it is an error and not only skipped.
            Ok(metadata) if !metadata.is_file() => {
                let what = kind(&metadata);
                let failure = Failure::refused(format!("it is {what}, not a regular file"))
                    .with_hint("save it with `save`, which reads from anything");
                self.fail(path, failure);
            }
            Ok(_) => self.push(path, path, naming),
            Err(error) => self.fail(path, Failure::file("read", shown(path), &error)),
        }
    }

    fn add_folder(&mut self, root: &Path, folder: &Path, naming: Naming) {
        let names: io::Result<Vec<PathBuf>> = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
        let mut paths = match names {
            Ok(paths) => paths,
            Err(error) => return self.fail(folder, Failure::file("read", shown(folder), &error)),
        };
        paths.sort();
        for path in paths.into_iter().filter(|path| !is_hidden(path)) {
            match fs::metadata(&path) {
                // Links to folders are not followed, because they may form a cycle.
                Ok(metadata) if metadata.is_dir() => {
                    if naming.id_from == IdFrom::Path && !path.is_symlink() {
                        self.add_folder(root, &path, naming);
                    }
                }
                _ if !is_document(&path) => {}
                Ok(metadata) if !metadata.is_file() => self.skipped.push((path, kind(&metadata))),
                // A broken link is part of the batch, so its failure is reported.
                _ => self.push(path.strip_prefix(root).unwrap_or(&path), &path, naming),
            }
        }
    }

    fn fail(&mut self, path: &Path, failure: Failure) {
        self.files.push(File { path: path.to_owned(), id: Err(Unusable::Other(failure)) });
    }

    /// Adds a file whose id is derived from `named`.
    fn push(&mut self, named: &Path, path: &Path, naming: Naming) {
        self.files.push(File { path: path.to_owned(), id: id_of(named, naming) });
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().unwrap_or_default().as_encoded_bytes().starts_with(b".")
}

fn is_document(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    EXTENSIONS.iter().any(|extension| name.ends_with(extension.as_bytes()))
}

fn kind(metadata: &fs::Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn id_of(path: &Path, naming: Naming) -> std::result::Result<WorkflowId, Unusable> {
    let name = match naming.id_from {
        IdFrom::Name => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        IdFrom::Path => {
            let names = path.components().filter_map(|component| match component {
                Component::Normal(name) => Some(name.to_string_lossy()),
                _ => None,
            });
            names.collect::<Vec<_>>().join(".")
        }
    };
    let name = EXTENSIONS.iter().find_map(|extension| name.strip_suffix(extension)).unwrap_or(&name);
    WorkflowId::parse(name).or_else(|_| match WorkflowId::resembling(name) {
        Some(id) if naming.rename => Ok(id),
        offered => Err(Unusable::Name { name: name.to_owned(), offered }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_NAME: Naming = Naming { id_from: IdFrom::Name, rename: false };

    fn ids(expanded: &Expanded) -> Vec<&str> {
        expanded.files.iter().map(|file| file.id.as_ref().map_or("-", WorkflowId::as_str)).collect()
    }

    #[test]
    fn a_folder_gives_its_json_files_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.json", "a.json", ".hidden.json", "notes.txt", "Bad Name.json"] {
            fs::write(folder.path().join(name), "{}").unwrap();
        }
        fs::create_dir(folder.path().join("sub.json")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("link.json")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("s.json")).unwrap();
        let expanded = expand(&[folder.path().to_owned()], BY_NAME).unwrap();
        assert_eq!(ids(&expanded), ["-", "a", "b", "link"]);
        assert_eq!(expanded.skipped, [(folder.path().join("s.json"), "a socket")]);
        let Err(Unusable::Name { name, offered }) = &expanded.files[0].id else { panic!("{expanded:?}") };
        assert_eq!((name.as_str(), offered.as_ref().unwrap().as_str()), ("Bad Name", "bad-name"));
        let renamed = expand(&[folder.path().to_owned()], Naming { rename: true, ..BY_NAME }).unwrap();
        assert_eq!(ids(&renamed), ["bad-name", "a", "b", "link"]);
        let named = expand(&[folder.path().join("s.json")], BY_NAME).unwrap();
        assert!(named.files[0].id.is_err() && named.skipped.is_empty(), "what was named fails");
    }

    #[test]
    fn a_path_may_be_the_id() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["etl/daily.json", "etl/My Plan.json", "ml/daily.json", "top.json"] {
            fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            fs::write(folder.path().join(name), "{}").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        let naming = Naming { id_from: IdFrom::Path, rename: true };
        let expanded = expand(&[folder.path().to_owned()], naming).unwrap();
        assert_eq!(ids(&expanded), ["etl.my-plan", "etl.daily", "ml.daily", "top"]);
        assert_eq!(id_of(Path::new("./plans/../x/a.json"), naming).unwrap().as_str(), "plans.x.a");
    }

    #[test]
    fn two_files_of_one_workflow_are_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        fs::write(&file, "{}").unwrap();
        let refused = expand(&[folder.path().to_owned(), file], BY_NAME).unwrap_err();
        assert_eq!(refused.exit, 2);
        fs::write(folder.path().join("A.json"), "{}").unwrap();
        let renaming = Naming { rename: true, ..BY_NAME };
        assert_eq!(expand(&[folder.path().to_owned()], renaming).unwrap_err().exit, 2, "renamed to one id");
        let missing = expand(&[folder.path().join("gone")], BY_NAME).unwrap();
        assert!(missing.files[0].id.is_err(), "a path that is not there fails alone");
    }
}
