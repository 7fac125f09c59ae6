//! Listing: a walk in key order, a page of it at a time, of the files and of what the journal has over them.

use std::{collections::BTreeMap, sync::Arc};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use pflow_backend::{DateTime, Error, Key, Listed, Prefix, Result, Utc, Version};
use rustix::fs::FileType;

use crate::{
    backend::blocking,
    current::edited,
    folder::{Folder, Step},
    store::Store,
};

/// How many objects are looked at in one go on a blocking thread.
const PAGE: usize = 1_000;

/// The objects below `prefix` behind `after`.
///
/// Memory holds a page, and the names of the folders on the way from the prefix to the current one. A
/// folder's names are read when the walk comes to it.
pub(crate) fn list(
    store: Arc<Store>,
    prefix: Prefix,
    after: Option<Key>,
) -> BoxStream<'static, Result<Listed>> {
    let start = Walker { store, after, progress: Progress::Start(prefix) };
    let pages = stream::unfold(Some(start), |walker| async move {
        let mut walker = walker?;
        let page = blocking(move || {
            let mut page = Vec::new();
            let more = walker.fill(&mut page);
            Ok((page, more, walker))
        });
        match page.await {
            Ok((page, more, walker)) => {
                let (next, last) = match more {
                    Ok(true) => (Some(walker), None),
                    Ok(false) => (None, None),
                    Err(error) => (None, Some(Err(error))),
                };
                let page: Vec<Result<Listed>> = page.into_iter().map(Ok).chain(last).collect();
                Some((page, next))
            }
            Err(error) => Some((vec![Err(error)], None)),
        }
    });
    pages.map(stream::iter).flatten().boxed()
}

struct Walker {
    store: Arc<Store>,
    after: Option<Key>,
    progress: Progress,
}

enum Progress {
    /// Nothing was looked at yet.
    Start(Prefix),
    /// The open folders, outermost first.
    Below(Vec<Level>),
}

/// A folder that the walk is in.
struct Level {
    /// None where only the journal knows of it.
    folder: Option<Folder>,
    /// What every key in here begins with: empty, or ending in a slash.
    prefix: String,
    /// What is left, **last first**. A folder's name ends in a slash, and this is why the walk is in key
    /// order: the keys below `a/` are behind `a-b` and `a.b`, because `/` is behind `-` and `.`.
    names: Vec<String>,
    /// Size and time of those names of which the journal knew when the folder was read.
    known: BTreeMap<String, (u64, DateTime<Utc>)>,
}

impl Walker {
    /// Appends up to a page; true if there may be more. What was appended stands even where this fails.
    fn fill(&mut self, page: &mut Vec<Listed>) -> Result<bool> {
        if let Progress::Start(prefix) = &self.progress {
            self.store.root.check_in_place()?;
            let text = prefix.key().map(|key| format!("{key}/")).unwrap_or_default();
            self.progress = Progress::Below(vec![Level::read(&self.store, text, self.after.as_ref())?]);
        }
        let Progress::Below(levels) = &mut self.progress else { return Ok(false) };
        while page.len() < PAGE {
            let Some(level) = levels.last_mut() else { return Ok(false) };
            let Some(name) = level.names.pop() else {
                levels.pop();
                continue;
            };
            if name.ends_with('/') {
                let prefix = format!("{}{name}", level.prefix);
                levels.push(Level::read(&self.store, prefix, self.after.as_ref())?);
                continue;
            }
            let Ok(key) = Key::parse(format!("{}{name}", level.prefix)) else { continue };
            if let Some((size, modified)) = level.known.remove(&name) {
                page.push(Listed::new(key, size, modified));
            } else if let Some(folder) = &level.folder
                && let Some(status) = folder.look(&name)?
                && status.kind == FileType::RegularFile
            {
                page.push(Listed::new(key, status.size, status.modified));
            }
        }
        Ok(true)
    }
}

impl Level {
    /// Reads what is in the folder of a prefix, which is empty or ends in a slash. A link on the way is no
    /// folder.
    ///
    /// IMPORTANT: the journal first, and only then the folder is looked for. What is there all the time is in
    /// the one or, if it went over meanwhile, in the other.
    fn read(store: &Store, prefix: String, after: Option<&Key>) -> Result<Self> {
        let is_behind = |key: &str| after.is_none_or(|after| key > after.as_str());
        let is_entered = |key: &str| after.is_none_or(|after| may_follow(key, after));
        let mut names = Vec::new();
        let mut known = BTreeMap::new();
        for told in told(store, &prefix)? {
            match told {
                Told::Folder(name) if is_entered(&format!("{prefix}{name}")) => {
                    names.push(format!("{name}/"))
                }
                Told::Object(name, size, modified) if is_behind(&format!("{prefix}{name}")) => {
                    names.push(name.clone());
                    known.insert(name, (size, modified));
                }
                Told::Folder(_) | Told::Object(..) => {}
            }
        }
        let mut folder = Some(store.root.folder().clone());
        for name in prefix.split('/').filter(|name| !name.is_empty()) {
            folder = match folder.map(|folder| folder.step(name)).transpose()? {
                Some(Step::Folder(next)) => Some(next),
                _ => None,
            };
        }
        let found = folder.as_ref().map(Folder::names_while_others_write).transpose()?;
        for (name, kind) in found.into_iter().flatten() {
            let (Some(folder), Some(name)) = (&folder, name.to_str()) else { continue };
            // What is no key is not ours, and neither is anything below it. No key begins with `.journal`,
            // however it is spelt.
            let key = format!("{prefix}{name}");
            if Key::parse(key.as_str()).is_err() {
                continue;
            }
            match kind {
                FileType::RegularFile if is_behind(&key) && !is_deleted(store, folder, &key, name)? => {
                    names.push(name.to_owned())
                }
                FileType::Directory if is_entered(&key) => names.push(format!("{name}/")),
                _ => {}
            }
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        names.dedup();
        Ok(Self { folder, prefix, names, known })
    }
}

/// What the journal says of one name in a folder.
enum Told {
    /// Objects are below it.
    Folder(String),
    /// With its size and time.
    Object(String, u64, DateTime<Utc>),
}

/// What the journal says is there below a prefix that is empty or ends in a slash.
fn told(store: &Store, prefix: &str) -> Result<Vec<Told>> {
    store.catch_up()?;
    let mut told = Vec::new();
    // Those whose files may be edits, which are looked at when the view is free again.
    let mut unsure = Vec::new();
    for (key, entry) in store.view().overlay.below(prefix.trim_end_matches('/')) {
        let Some(name) = key.as_str().strip_prefix(prefix) else { continue };
        // Of what is deleted a file may be left: whoever comes across it asks. There may be many more of
        // them.
        let Some(value) = &entry.now else { continue };
        match name.split_once('/') {
            Some((below, _)) => {
                let again = matches!(told.last(), Some(Told::Folder(last)) if last == below);
                told.extend((!again).then(|| Told::Folder(below.to_owned())));
            }
            None if entry.may_be_edited() => {
                let object = (name.to_owned(), value.size, entry.time);
                unsure.push((key.clone(), entry.clone(), object));
            }
            None => told.push(Told::Object(name.to_owned(), value.size, entry.time)),
        }
    }
    for (key, entry, (name, size, time)) in unsure {
        told.push(match edited(store.root.folder(), &key, &entry)? {
            Some((bytes, _, modified)) => Told::Object(name, bytes.len() as u64, modified),
            None => Told::Object(name, size, time),
        });
    }
    Ok(told)
}

/// Whether a file is left of an object that is deleted. Not where the file is a person's edit.
fn is_deleted(store: &Store, folder: &Folder, key: &str, name: &str) -> Result<bool> {
    let Ok(key) = Key::parse(key) else { return Ok(false) };
    let entry = store.view().overlay.get(&key).filter(|entry| entry.now.is_none()).cloned();
    // A journal that ended meanwhile took the file with it, and then its status is not found.
    let Some(entry) = entry else { return Ok(false) };
    // Records that were folded away are empty, and there are many of them: their files need not be read.
    let is_empty = || Ok::<_, Error>(folder.look(name)?.is_some_and(|status| status.size == 0));
    let was_empty = || Ok::<_, Error>(entry.knows(&Version::of_content(b"")) && is_empty()?);
    Ok(!entry.may_be_edited() || was_empty()? || edited(store.root.folder(), &key, &entry)?.is_none())
}

/// Whether a key below the folder can be behind `after`.
fn may_follow(folder: &str, after: &Key) -> bool {
    let below = format!("{folder}/");
    after.as_str().starts_with(&below) || below.as_str() > after.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_entered_only_where_keys_behind_the_given_one_can_be() {
        for (folder, after, enter) in [
            ("a", "a/b", true),
            ("a", "a-b", true),
            ("a", "a0", false),
            ("a", "b", false),
            ("b", "a", true),
            ("a/b", "a/b/c/d", true),
            ("a/b", "a/c", false),
        ] {
            assert_eq!(may_follow(folder, &Key::parse(after).unwrap()), enter, "{folder} {after}");
        }
    }
}
