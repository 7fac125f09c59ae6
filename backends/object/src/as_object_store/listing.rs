//! Listing, in the order of the paths.

use std::sync::Arc;

use futures::{
    StreamExt, TryStreamExt, future,
    stream::{self, BoxStream},
};
use object_store::{Extensions, ListResult, ObjectMeta, Result, path::Path};
use pflow_backend::{Key, Listed, Prefix, StorageBackend};

use super::{error::failed, escape};

/// How many objects of one folder are skipped before a new listing begins after the folder. Continuing the
/// listing costs at most a page of these; a new listing costs a request, or reading the parent folders.
const PASSED_OVER: usize = 1_000;

/// Lists the objects below `prefix`.
pub(super) fn all(
    backend: &Arc<dyn StorageBackend>,
    prefix: Option<&Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    match escape::folder(prefix) {
        Ok(folder) => objects(backend, &folder, None),
        // A prefix that is too long for a key contains no objects.
        Err(_) => stream::empty().boxed(),
    }
}

/// Lists the objects below `prefix` whose paths are greater than `offset`.
pub(super) fn behind(
    backend: &Arc<dyn StorageBackend>,
    prefix: Option<&Path>,
    offset: &Path,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let Ok(folder) = escape::folder(prefix) else { return stream::empty().boxed() };
    // An offset without a key (the root, or a path that is too long) does not shorten the listing; the filter
    // below still applies it.
    let after = escape::key(offset).ok();
    let offset = offset.clone();
    let listed = objects(backend, &folder, after.as_ref());
    listed.try_filter(move |it| future::ready(it.location > offset)).boxed()
}

/// Lists the objects and folders directly below `prefix`.
///
/// The objects of a folder are adjacent in the listing, so memory holds only the result.
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
    // The last object before a failure, for the error.
    let mut last = Path::ROOT;
    let listed = backend.list(folder, after).filter_map(move |entry| {
        future::ready(match entry {
            // An object whose key does not have our format is foreign and skipped, as backends do with
            // foreign files.
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
