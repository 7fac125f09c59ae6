use std::{collections::BTreeMap, sync::Arc};

use pflow_backend::{Key, Version};

use super::{
    Entry,
    parts::{Part, Root, Segment, decode_base},
};
use crate::{
    Error, Result,
    document::ContentHash,
    stored::{FormatError, Objects, WorkflowId, layout, unreadable},
};

/// How often a reader tries again when the root changes under it. Each time somebody's fold got through.
const ATTEMPTS: u32 = 8;

pub(super) type Entries = BTreeMap<WorkflowId, Arc<Entry>>;

/// What a root says, read in full.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) root: Root,
    /// What a swap of the root must name; none if there is none.
    pub(super) version: Option<Version>,
    pub(super) entries: Arc<Entries>,
    /// The index was missing or damaged, and this was made from the heads.
    pub(super) rebuilt: bool,
}

/// Why a part could not be had.
enum Loss {
    /// Not there: the root may have moved on and left it behind.
    Missing(String),
    Damaged(Error),
}

impl Table {
    /// Reads the root and, of its parts, what `known` does not have.
    pub(super) async fn load(objects: &Objects, known: Option<&Self>) -> Result<Self> {
        let key = layout::index_root();
        let mut missing = None;
        for _ in 0..ATTEMPTS {
            let Some(object) = objects.get(&key).await? else {
                return Self::rebuild(objects, None, "it is missing").await;
            };
            let version = object.meta.version;
            if let Some(known) = known
                && known.version.as_ref() == Some(&version)
                && !known.rebuilt
            {
                return Ok(known.clone());
            }
            let root = match Root::decode(&object.bytes) {
                Ok(root) => root,
                Err(newer @ FormatError::TooNew { .. }) => return Err(unreadable(&key, newer)),
                Err(damaged) => return Self::rebuild(objects, Some(version), &damaged.to_string()).await,
            };
            // A part that is missing under the same root twice is lost; under another root it was cleaned up.
            let again = missing.as_ref() == Some(&version);
            match read_parts(objects, &root, known).await? {
                Ok(entries) => {
                    return Ok(Self {
                        root,
                        version: Some(version),
                        entries: Arc::new(entries),
                        rebuilt: false,
                    });
                }
                Err(Loss::Missing(_)) if !again => missing = Some(version),
                Err(Loss::Missing(part)) => {
                    return Self::rebuild(objects, Some(version), &format!("{part} is missing")).await;
                }
                Err(Loss::Damaged(reason)) => {
                    return Self::rebuild(objects, Some(version), &reason.to_string()).await;
                }
            }
        }
        Err(Error::IndexBusy { attempts: ATTEMPTS })
    }

    /// Makes the table from the heads. `version` is that of a root which is there and of no use.
    async fn rebuild(objects: &Objects, version: Option<Version>, reason: &str) -> Result<Self> {
        tracing::warn!(
            reason,
            "the index is lost; reading every workflow instead (`reindex` writes a new one)"
        );
        let entries = Arc::new(from_heads(objects).await?);
        let root = Root::empty(String::new());
        Ok(Self { root, version, entries, rebuilt: true })
    }
}

/// The entries of all heads. A head that cannot be read is named in a warning and left out: `verify` says what is wrong with it.
pub(super) async fn from_heads(objects: &Objects) -> Result<Entries> {
    let keys = objects.keys(&layout::workflows()).await?;
    let ids = keys.iter().filter_map(layout::parse_head).collect();
    let mut entries = Entries::new();
    for (id, read) in objects.heads(ids).await {
        match read {
            Ok(stored) => {
                if let Some(entry) = Entry::of(&stored.head) {
                    entries.insert(id, Arc::new(entry));
                }
            }
            Err(unreadable @ (Error::Corrupt { .. } | Error::Format { .. })) => {
                tracing::warn!(%id, error = %unreadable, "left out of the index");
            }
            Err(other) => return Err(other),
        }
    }
    Ok(entries)
}

async fn read_parts(
    objects: &Objects,
    root: &Root,
    known: Option<&Table>,
) -> Result<std::result::Result<Entries, Loss>> {
    // Parts never change, so what an older root named too needs no reading.
    let known = known.filter(|known| {
        !known.rebuilt && known.root.base == root.base && root.segments.starts_with(&known.root.segments)
    });
    let (mut entries, read_before) = match known {
        Some(known) => ((*known.entries).clone(), known.root.segments.len()),
        None => {
            let mut entries = Entries::new();
            if let Some(base) = &root.base {
                match read_part(objects, base, decode_base).await? {
                    Ok(read) => {
                        entries.extend(read.into_iter().map(|entry| (entry.id.clone(), Arc::new(entry))))
                    }
                    Err(loss) => return Ok(Err(loss)),
                }
            }
            (entries, 0)
        }
    };
    for part in root.segments.iter().skip(read_before) {
        match read_part(objects, part, Segment::decode).await? {
            Ok(read) => {
                entries.extend(read.entries.into_iter().map(|entry| (entry.id.clone(), Arc::new(entry))));
            }
            Err(loss) => return Ok(Err(loss)),
        }
    }
    Ok(Ok(entries))
}

/// One part, if its bytes are those that the root names.
async fn read_part<T>(
    objects: &Objects,
    part: &Part,
    decode: impl FnOnce(&[u8]) -> std::result::Result<T, FormatError>,
) -> Result<std::result::Result<T, Loss>> {
    let damaged = |reason: String| Loss::Damaged(Error::Corrupt { key: part.key.clone(), reason });
    let key = match Key::parse(part.key.as_str()) {
        Ok(key) => key,
        Err(invalid) => return Ok(Err(damaged(invalid.to_string()))),
    };
    let Some(object) = objects.get(&key).await? else { return Ok(Err(Loss::Missing(part.key.clone()))) };
    if ContentHash::of(&object.bytes) != part.hash {
        return Ok(Err(damaged("it has not the hash that the root names".to_owned())));
    }
    Ok(decode(&object.bytes).map_err(|source| Loss::Damaged(unreadable(&key, source))))
}
