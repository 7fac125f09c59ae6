//! `index.json`, in the seed's schema: an object of entries by id. For people and older tools; nothing here
//! reads it.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use pflow_backend::{Batch, Key, Operation};
use serde::{Serialize, Serializer};

use super::{Entry, table::Entries};
use crate::{
    Result,
    document::ContentHash,
    format::{encode_pretty_into, keys},
    repo::{Objects, unreadable},
};

#[derive(Serialize)]
struct Exported<'a> {
    name: &'a str,
    description: &'a str,
    created: DateTime<Utc>,
    modified: DateTime<Utc>,
    nodes: &'a [Arc<str>],
    tags: &'a [Arc<str>],
    hash: Option<ContentHash>,
    version: Option<&'a str>,
    path: String,
}

impl<'a> Exported<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            name: entry.title(),
            description: entry.description.as_deref().unwrap_or_default(),
            created: entry.created,
            modified: entry.modified,
            nodes: &entry.nodes,
            tags: &entry.tags,
            hash: entry.hash,
            version: entry.version.as_deref(),
            path: format!(".pflow/{}", path(entry)),
        }
    }
}

/// Where the content is: in the file that its media type has, or in its version if only a newer program knows
/// that file.
fn path(entry: &Entry) -> Key {
    match entry.media_type.known() {
        Ok(media_type) => keys::copy(&entry.id, media_type),
        Err(_) => keys::version(&entry.id, entry.generation, &entry.version_id),
    }
}

/// Brings the export up to date; it will have about `size` bytes. It has a commit of its own, because nothing
/// may depend on it: what fails here is a warning, and the next export makes up for it.
pub(super) async fn write(objects: &Objects, entries: &Entries, size: u64) {
    if let Err(error) = try_write(objects, entries, size).await {
        tracing::warn!(%error, "index.json could not be written");
    }
}

/// All of them by id, encoded one after the other.
struct Export<'a>(&'a Entries);

impl Serialize for Export<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let present = self.0.iter().filter(|(_, entry)| !entry.deleted);
        serializer.collect_map(present.map(|(id, entry)| (id, Exported::of(entry))))
    }
}

/// The present export becomes the backup before the new one takes its place. So there is no moment without an
/// export, and the backup is whole whenever the export is being replaced.
async fn try_write(objects: &Objects, entries: &Entries, size: u64) -> Result<()> {
    let key = keys::index_export();
    let bytes = encode(entries, size)?;
    let present = objects.get(&key).await?;
    if present.as_ref().is_some_and(|present| present.bytes == bytes) {
        return Ok(());
    }
    let backup = present.map(|present| Operation::put(keys::index_backup(), present.bytes).copy());
    let batch = Batch::new().stage(backup).stage([Operation::put(key, bytes).copy()]);
    // Writes without a condition meet no conflict.
    objects.commit(batch, || "the export of the index".to_owned()).await.map(drop)
}

fn encode(entries: &Entries, size: u64) -> Result<Bytes> {
    // As large as it will be: growing step by step it would be in memory twice.
    let text = Vec::with_capacity(usize::try_from(size + size / 8).unwrap_or(0));
    let encoded = encode_pretty_into(text, &Export(entries))
        .map_err(|source| unreadable(&keys::index_export(), source))?;
    Ok(encoded.into())
}
