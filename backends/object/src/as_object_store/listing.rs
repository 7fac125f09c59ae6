//! Listing, in the order of the paths.

use std::sync::Arc;

use futures::{
    StreamExt, TryStreamExt, future,
    stream::{self, BoxStream},
};
use object_store::{Extensions, ListResult, ObjectMeta, Result, path::Path};
use pflow_backend::{Key, Listed, Prefix, StorageBackend};

use super::{error::failed, escape};

/// How many objects of one folder are passed over before a new listing begins behind it. A listing that goes
/// on costs a page of these at most; a new one costs a request, or the reading of the folders above.
const PASSED_OVER: usize = 1_000;

/// The objects below `prefix`.
pub(super) fn all(
    backend: &Arc<dyn StorageBackend>,
    prefix: Option<&Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    match escape::folder(prefix) {
        Ok(folder) => objects(backend, &folder, None),
        // A folder that no key can name holds nothing.
        Err(_) => stream::empty().boxed(),
    }
}

/// The objects below `prefix` whose paths are greater than `offset`.
pub(super) fn behind(
    backend: &Arc<dyn StorageBackend>,
    prefix: Option<&Path>,
    offset: &Path,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let Ok(folder) = escape::folder(prefix) else { return stream::empty().boxed() };
    // An offset without a key (the root, or one that is too long) does not shorten the way, but holds all the
    // same.
    let after = escape::key(offset).ok();
    let offset = offset.clone();
    let listed = objects(backend, &folder, after.as_ref());
    listed.try_filter(move |it| future::ready(it.location > offset)).boxed()
}

/// What stands directly below `prefix`.
///
/// The objects of a folder stand together, so memory holds what is answered and no more.
pub(super) async fn one_level(
    backend: &Arc<dyn StorageBackend>,
    prefix: Option<&Path>,
) -> Result<ListResult> {
    let mut level =
        ListResult { common_prefixes: Vec::new(), objects: Vec::new(), extensions: Extensions::new() };
    let Ok(folder) = escape::folder(prefix) else { return Ok(level) };
    let prefix = prefix.cloned().unwrap_or_default();

    let mut listed = objects(backend, &folder, None);
    let mut passed_over = 0;
    while let Some(object) = listed.try_next().await? {
        let Some(mut parts) = object.location.prefix_match(&prefix) else { continue };
        let Some(first) = parts.next() else { continue };
        if parts.next().is_none() {
            drop(parts);
            level.objects.push(object);
            continue;
        }
        let below = prefix.clone().join(first);
        if level.common_prefixes.last() != Some(&below) {
            level.common_prefixes.push(below);
            passed_over = 0;
            continue;
        }
        passed_over += 1;
        if passed_over == PASSED_OVER
            && let Some(after) = escape::behind(&below)
        {
            listed = objects(backend, &folder, Some(&after));
        }
    }
    Ok(level)
}

fn objects(
    backend: &Arc<dyn StorageBackend>,
    folder: &Prefix,
    after: Option<&Key>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    // Where the listing broke off, for the error.
    let mut last = Path::ROOT;
    let listed = backend.list(folder, after).filter_map(move |entry| {
        future::ready(match entry {
            // Whose name is none of ours is a foreign object and passed over, as backends do with foreign
            // files.
            Ok(entry) => described(entry).map(|it| {
                last.clone_from(&it.location);
                Ok(it)
            }),
            Err(error) => Some(Err(failed(&last, error))),
        })
    });
    listed.boxed()
}

fn described(entry: Listed) -> Option<ObjectMeta> {
    Some(ObjectMeta {
        location: escape::path(&entry.key)?,
        last_modified: entry.modified,
        size: entry.size,
        e_tag: None,
        version: None,
    })
}
