//! The files that configure git for a store inside a repository.

use pflow_backend::{Batch, Commit, Key, Operation};

use crate::{Result, format::keys, repo::Objects};

/// The files that stay out of git and that `git clean -X` may remove: lease mirrors, and in the disk
/// backend's folder only files that can be made again. The instance id is one of them: a clone is another
/// place.
///
/// IMPORTANT: never the journal, `values/` or `quarantine/`. After a crash they may hold the only copy of
/// saved data. When the store is closed the journal is an empty file.
const GITIGNORE: &str = concat!(
    "# Written by pflow-store: what belongs to this machine and this moment.\n",
    "/.journal/instance\n",
    "/.journal/lock\n",
    "/.journal/waiting\n",
    "/.journal/state\n",
    "/.journal/staging/\n",
    "/workflows/*/workflow.lock\n",
);

/// The bytes of a store are hashed, so git must not change any: no line ends (`text=auto`, `core.autocrlf`,
/// `eol`), no `$Id$`, no other encoding, whatever attribute files in parent folders say. `-text` disables
/// `eol`.
const GITATTRIBUTES: &str = "# Written by pflow-store: every byte counts, so git changes none.\n* -text -ident !working-tree-encoding\n";

/// The files for git, on storages with plain files.
pub(super) fn files(objects: &Objects) -> impl Iterator<Item = Operation> + use<> {
    texts(objects).map(|(key, text)| Operation::put(key, text))
}

fn texts(objects: &Objects) -> impl Iterator<Item = (Key, &'static str)> + use<> {
    let all = [(keys::gitignore(), GITIGNORE), (keys::gitattributes(), GITATTRIBUTES)];
    all.into_iter().filter({
        let plain = objects.traits.plain_files;
        move |_| plain
    })
}

/// Writes the files that are missing, and returns their names. An existing file of a person or an earlier
/// program is not changed.
pub(super) async fn add_missing(objects: &Objects) -> Result<Vec<String>> {
    let mut added = Vec::new();
    for (key, text) in texts(objects) {
        if objects.get(&key).await?.is_some() {
            continue;
        }
        let batch = Batch::new().stage([Operation::put(key.clone(), text).absent()]);
        if let Commit::Committed(_) = objects.commit(batch, || format!("the creation of {key}")).await? {
            added.push(key.to_string());
        }
    }
    Ok(added)
}
