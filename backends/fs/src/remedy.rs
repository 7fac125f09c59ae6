//! The command that lets a file be written again, for messages.

use std::{
    fs::{Metadata, symlink_metadata},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use pflow_backend::{Error, Key};
use rustix::{io::Errno, process::geteuid};

use crate::error::cause;

/// What is in the way of a key's file, from the store's folder down. None if nothing is found that one
/// command removes.
pub(crate) fn remedy(root: &Path, key: &Key, error: &Error) -> Option<String> {
    let store = symlink_metadata(root).ok()?;
    let mut path = root.to_owned();
    let mut names = key.as_str().split('/').peekable();
    while let Some(name) = names.next() {
        path.push(name);
        let found = symlink_metadata(&path).ok()?;
        let is_last = names.peek().is_none();
        let command = of_kind(&path, &found, is_last).or_else(|| of_owner(&path, &found, &store));
        if command.is_some() {
            return command;
        }
        if found.dev() != store.dev() || is_last && cause(error) == Some(Errno::BUSY) {
            return Some(format!("sudo umount {}", quoted(&path)));
        }
    }
    None
}

/// Something is there that has not the kind that it must have.
fn of_kind(path: &Path, found: &Metadata, is_last: bool) -> Option<String> {
    let kind = found.file_type();
    let fits = if is_last { kind.is_file() } else { kind.is_dir() };
    if fits {
        return None;
    }
    // People's files and folders are moved, not removed.
    Some(match kind.is_file() || kind.is_dir() {
        true => {
            let mut away = path.as_os_str().to_owned();
            away.push(".away");
            format!("mv {} {}", quoted(path), quoted(&PathBuf::from(away)))
        }
        false => format!("rm {}", quoted(path)),
    })
}

/// It belongs to another user than the store does, or its owner may not write to it.
fn of_owner(path: &Path, found: &Metadata, store: &Metadata) -> Option<String> {
    let me = geteuid();
    if me.is_root() {
        return None;
    }
    if found.uid() != store.uid() && found.uid() != me.as_raw() {
        return Some(format!("sudo chown -R {}:{} {}", store.uid(), store.gid(), quoted(path)));
    }
    let is_mine = found.uid() == me.as_raw();
    let needed = if found.is_dir() { 0o700 } else { 0o600 };
    (is_mine && found.permissions().mode() & needed != needed)
        .then(|| format!("chmod u+rwX {}", quoted(path)))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "/._-+:,@%".contains(it);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use pflow_backend::ErrorKind;

    use super::*;

    #[test]
    fn the_remedy_names_what_is_in_the_way() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        let at = |name: &str| root.join(name).display().to_string();
        let error = Error::not_applied(ErrorKind::Io, "failed");
        let remedy = |key: &str| remedy(root, &Key::parse(key).unwrap(), &error);
        symlink("/nowhere", root.join("link")).unwrap();
        std::fs::create_dir_all(root.join("folder")).unwrap();
        std::fs::write(root.join("file"), "x").unwrap();
        assert_eq!(remedy("link"), Some(format!("rm {}", at("link"))));
        assert_eq!(remedy("link/below"), Some(format!("rm {}", at("link"))));
        assert_eq!(remedy("folder"), Some(format!("mv {} {}", at("folder"), at("folder.away"))));
        assert_eq!(remedy("file/below"), Some(format!("mv {} {}", at("file"), at("file.away"))));
        assert_eq!(remedy("file"), None);
        assert_eq!(remedy("missing/file"), None);
    }

    #[test]
    fn a_path_is_quoted_as_a_shell_takes_it() {
        assert_eq!(quoted(Path::new("/a/b-c.json")), "/a/b-c.json");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
