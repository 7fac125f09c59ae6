use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt, stream};
use pflow_backend::{Key, Version};

use super::{
    Entry,
    parts::{Part, Root, Segment, decode_base},
    texts::Texts,
};
use crate::{
    Error, Result, Unreadable,
    document::ContentHash,
    format::{FormatError, WorkflowId, keys},
    repo::{Objects, unreadable},
};

/// How often a reader tries again when the root changes under it. Each time somebody's fold got through.
const ATTEMPTS: u32 = 8;
/// How many segments are read side by side.
const READ_AHEAD: usize = 32;

pub(super) type Entries = BTreeMap<WorkflowId, Arc<Entry>>;

/// What a root says, read in full.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) root: Root,
    /// What a swap of the root must name; none if there is none.
    pub(super) version: Option<Version>,
    pub(super) entries: Arc<Entries>,
    /// Why this was made from the heads instead; none where it was not.
    pub(super) lost: Option<Lost>,
    /// Workflows whose heads could not be read then, so that `entries` lacks them.
    pub(super) unreadable: Arc<[Unreadable]>,
}

/// What became of a stored index that is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The root, or a part that it names, is not there.
    Missing,
    /// Bytes are there that nobody wrote like that.
    Damaged,
}

/// Why a part could not be had.
enum Loss {
    /// Not there: the root may have moved on and left it behind.
    Missing(String),
    Damaged(Error),
}

impl Table {
    /// Reads the root and, of its parts, what `known` does not have.
    pub(super) async fn load(objects: &Objects, texts: &Texts, known: Option<&Self>) -> Result<Self> {
        let key = keys::index_root();
        let mut missing = None;
        for _ in 0..ATTEMPTS {
            let Some(object) = objects.get(&key).await? else {
                let none = Root::empty(String::new());
                return Self::rebuild(objects, texts, none, None, Lost::Missing, "it is missing").await;
            };
            let version = object.meta.version;
            if let Some(known) = known
                && known.version.as_ref() == Some(&version)
                && known.lost.is_none()
            {
                return Ok(known.clone());
            }
            let (root, lost, reason) = match Root::decode(&object.bytes) {
                Err(newer @ FormatError::TooNew { .. }) => return Err(unreadable(&key, newer)),
                Err(damaged) => (Root::empty(String::new()), Lost::Damaged, damaged.to_string()),
                Ok(root) => match read_parts(objects, texts, &root, known).await? {
                    Ok(entries) => {
                        let (entries, unreadable) = (Arc::new(entries), Arc::default());
                        return Ok(Self { root, version: Some(version), entries, lost: None, unreadable });
                    }
                    // A part that is missing under the same root twice is lost; under another root it was
                    // cleaned up.
                    Err(Loss::Missing(_)) if missing.as_ref() != Some(&version) => {
                        missing = Some(version);
                        continue;
                    }
                    Err(Loss::Missing(part)) => {
                        (root.without_parts(), Lost::Missing, format!("{part} is missing"))
                    }
                    Err(Loss::Damaged(reason)) => (root.without_parts(), Lost::Damaged, reason.to_string()),
                },
            };
            return Self::rebuild(objects, texts, root, Some(version), lost, &reason).await;
        }
        Err(Error::IndexBusy { attempts: ATTEMPTS })
    }

    /// Makes the table from the heads. `root` is what is left of the root, `version` that of the object which
    /// is there.
    async fn rebuild(
        objects: &Objects,
        texts: &Texts,
        root: Root,
        version: Option<Version>,
        lost: Lost,
        reason: &str,
    ) -> Result<Self> {
        tracing::warn!(
            reason,
            "the index is lost; reading every workflow instead (`reindex` writes a new one)"
        );
        let (entries, unreadable) = from_heads(objects, texts).await?;
        let (entries, unreadable) = (Arc::new(entries), unreadable.into());
        Ok(Self { root, version, entries, lost: Some(lost), unreadable })
    }
}

/// The entries of all heads, and those that cannot be read: damaged ones, and what a newer program wrote.
/// `verify` says what is wrong with those.
pub(super) async fn from_heads(objects: &Objects, texts: &Texts) -> Result<(Entries, Vec<Unreadable>)> {
    let keys = objects.keys(&keys::workflows()).await?;
    let ids = keys.iter().filter_map(keys::parse_head).collect();
    let (mut entries, mut unreadable) = (Entries::new(), Vec::new());
    for (id, read) in objects.heads(ids).await {
        match read {
            Ok(stored) => {
                if let Some(entry) = Entry::of(&stored.head) {
                    entries.insert(id, Arc::new(texts.share(entry)));
                }
            }
            Err(error) if error.spares_others() => unreadable.push(Unreadable::new(id, &error)),
            Err(other) => return Err(other),
        }
    }
    Ok((entries, unreadable))
}

/// All entries that `root` names; a loss if a part of it cannot be had.
async fn read_parts(
    objects: &Objects,
    texts: &Texts,
    root: &Root,
    known: Option<&Table>,
) -> Result<std::result::Result<Entries, Loss>> {
    // Parts never change, so what an older root named too needs no reading.
    let known = known.filter(|known| {
        known.lost.is_none()
            && known.root.base == root.base
            && root.segments.starts_with(&known.root.segments)
    });
    let (mut entries, read_before) =
        known.map_or_else(Default::default, |known| ((*known.entries).clone(), known.root.segments.len()));
    if known.is_none()
        && let Some(base) = &root.base
    {
        match read_part(objects, base, decode_base).await {
            Ok(read) => apply(&mut entries, read, texts),
            Err(loss) => return loss.or_error(),
        }
    }
    let segments = root.segments.get(read_before..).unwrap_or_default().to_vec();
    let mut reads = stream::iter(segments)
        .map(|part| async move { read_part(objects, &part, decode_entries).await })
        .buffered(READ_AHEAD);
    // In their order: a later segment says what is newer.
    while let Some(read) = reads.next().await {
        match read {
            Ok(read) => apply(&mut entries, read, texts),
            Err(loss) => return loss.or_error(),
        }
    }
    Ok(Ok(entries))
}

fn decode_entries(bytes: &[u8]) -> std::result::Result<Vec<Entry>, FormatError> {
    Segment::decode(bytes).map(|segment| segment.entries)
}

/// Puts newer entries over older ones.
pub(super) fn apply(entries: &mut Entries, newer: impl IntoIterator<Item = Entry>, texts: &Texts) {
    entries.extend(newer.into_iter().map(|entry| (entry.id.clone(), Arc::new(texts.share(entry)))));
}

/// One part, if its bytes are those that the root names.
async fn read_part<T>(
    objects: &Objects,
    part: &Part,
    decode: impl FnOnce(&[u8]) -> std::result::Result<T, FormatError>,
) -> std::result::Result<T, Loss> {
    let damaged = |reason: String| Loss::Damaged(Error::Corrupt { key: part.key.clone(), reason });
    let key = Key::parse(part.key.as_str()).map_err(|invalid| damaged(invalid.to_string()))?;
    let object = objects.get(&key).await.map_err(Loss::Damaged)?;
    let object = object.ok_or_else(|| Loss::Missing(part.key.clone()))?;
    if ContentHash::of(&object.bytes) != part.hash {
        return Err(damaged("it has not the hash that the root names".to_owned()));
    }
    decode(&object.bytes).map_err(|source| Loss::Damaged(unreadable(&key, source)))
}

impl Loss {
    /// A loss that the heads make good, or an error that they do not: of the storage, or a part that a newer
    /// program wrote.
    fn or_error<T>(self) -> Result<std::result::Result<T, Self>> {
        match self {
            Self::Damaged(error) if !error.is_of_one_object() => Err(error),
            loss => Ok(Err(loss)),
        }
    }
}
