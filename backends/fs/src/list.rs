//! Listing: a walk in key order, a page of it at a time.

use std::sync::Arc;

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use pflow_backend::{Key, Listed, Prefix, Result};
use rustix::fs::FileType;

use crate::{
    backend::{Store, blocking},
    folder::{Folder, Step, modified, type_of},
};

/// How many objects are looked at in one go on a blocking thread.
const PAGE: usize = 1_000;

/// The objects below `prefix` behind `after`.
///
/// Memory holds a page, and the names of the folders on the way from the prefix to the current one. A folder's names
/// are read when the walk comes to it.
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
    folder: Folder,
    /// What every key in here begins with: empty, or ending in a slash.
    prefix: String,
    /// What is left, **last first**. A folder's name ends in a slash, and this is why the walk is in key order: the keys below
    /// `a/` are behind `a-b` and `a.b`, because `/` is behind `-` and `.`.
    names: Vec<String>,
}

impl Walker {
    /// Appends up to a page; true if there may be more. What was appended stands even where this fails.
    fn fill(&mut self, page: &mut Vec<Listed>) -> Result<bool> {
        if let Progress::Start(prefix) = &self.progress {
            self.store.root.check_in_place()?;
            let levels = self.enter_prefix(prefix)?.into_iter().collect();
            self.progress = Progress::Below(levels);
        }
        let Progress::Below(levels) = &mut self.progress else { return Ok(false) };
        while page.len() < PAGE {
            let Some(level) = levels.last_mut() else { return Ok(false) };
            let Some(name) = level.names.pop() else {
                levels.pop();
                continue;
            };
            if let Some(name) = name.strip_suffix('/') {
                if let Step::Folder(folder) = level.folder.step(name)? {
                    let prefix = format!("{}{name}/", level.prefix);
                    levels.push(Level::read(folder, prefix, self.after.as_ref())?);
                }
            } else if let Some(stat) = level.folder.look(&name)?
                && type_of(&stat) == FileType::RegularFile
                && let Ok(key) = Key::parse(format!("{}{name}", level.prefix))
            {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                page.push(Listed { key, size, modified: modified(&stat) });
            }
        }
        Ok(true)
    }

    /// The folder of the prefix; none where there is no such folder, or a link in its place.
    fn enter_prefix(&self, prefix: &Prefix) -> Result<Option<Level>> {
        let mut folder = self.store.root.folder().clone();
        let mut text = String::new();
        if let Some(key) = prefix.key() {
            for name in key.segments() {
                let Step::Folder(next) = folder.step(name)? else { return Ok(None) };
                folder = next;
            }
            text = format!("{key}/");
        }
        Level::read(folder, text, self.after.as_ref()).map(Some)
    }
}

impl Level {
    fn read(folder: Folder, prefix: String, after: Option<&Key>) -> Result<Self> {
        let mut names = Vec::new();
        for (name, kind) in folder.names_while_others_write()? {
            let Some(name) = name.to_str() else { continue };
            // What is no key is not ours, and neither is anything below it. No key begins with `.journal`, however it is spelt.
            let key = format!("{prefix}{name}");
            if Key::parse(key.as_str()).is_err() {
                continue;
            }
            match kind {
                FileType::RegularFile if after.is_none_or(|after| key.as_str() > after.as_str()) => {
                    names.push(name.to_owned());
                }
                FileType::Directory if after.is_none_or(|after| may_follow(&key, after)) => {
                    names.push(format!("{name}/"));
                }
                _ => {}
            }
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        names.dedup();
        Ok(Self { folder, prefix, names })
    }
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
