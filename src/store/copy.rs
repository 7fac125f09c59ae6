//! The working copy of the current content, compared with the head.

use bytes::Bytes;
use pflow_backend::{Key, Object, Version};
use serde_json::{Map, Value};

use crate::{
    Result,
    document::{Body, ContentHash, MediaType},
    format::{BodyHash, Head, WorkflowId, keys},
    repo::{Objects, StoredHead},
};

/// How often to read copy and head again while other writers change the head. Each repetition means that
/// another writer finished a change.
pub(super) const LOOKS: u32 = 100;

/// The state of the working copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CopyState {
    /// Absent: not written yet, or removed.
    Absent,
    /// The current content.
    Current(Version),
    /// The current content with other values of programs, such as the count of runs: what people wrote is the
    /// same. It is no edit, and it is left as it is until the next version.
    Noted(Version, Map<String, Value>),
    /// The content of an earlier version, which a writer has not replaced yet or will never replace because
    /// it crashed. Only on storages whose batches are not atomic; see [`CopyState::of`].
    Lagging(Version),
    /// A person's edit. It must not be overwritten.
    Edited(Version, EditedCopy),
}

/// What identifies an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EditedCopy {
    /// The file.
    pub(crate) key: Key,
    /// How it is read; none if only a newer program knows its name.
    pub(crate) media_type: Option<MediaType>,
    pub(crate) hash: ContentHash,
    /// The hash of what people wrote in it; none if its format has no such part.
    pub(crate) body: Option<ContentHash>,
}

impl EditedCopy {
    pub(crate) fn of(key: Key, media_type: Option<MediaType>, bytes: &Bytes) -> Self {
        let body = media_type.and_then(|media_type| Body::of(media_type, bytes));
        Self { key, media_type, hash: ContentHash::of(bytes), body: body.map(|body| body.hash) }
    }
}

/// A working copy and the head of the same moment.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) stored: StoredHead,
    pub(super) state: CopyState,
    /// The copy itself.
    pub(super) copy: Option<Object>,
}

impl CopyState {
    /// Judges a copy that was read between two reads of the head that returned the same current version,
    /// `head`'s.
    ///
    /// Invariant: on a storage with plain files and atomic batches, every batch that changes the current
    /// version replaces or deletes the copy in the same step, so a copy and a head of the same moment differ
    /// only if a person edited the copy. Its content does not matter: a person may put an older version's
    /// bytes back. Without atomic batches a crash can leave an older copy behind, so there a copy with the
    /// content of any version of the chain lags, and only other bytes are an edit.
    pub(super) async fn of(objects: &Objects, head: &Head, copy: Option<&Object>) -> Result<Self> {
        if let Some(state) = Self::at_a_glance(objects, head, copy, 0).await? {
            return Ok(state);
        }
        let Some(copy) = copy else { return Ok(Self::Absent) };
        let version = copy.meta.version.clone();
        let key = keys::copy_of(head);
        let edit = EditedCopy::of(key.clone(), keys::media_type_of_copy(head, &key), &copy.bytes);
        if objects.traits.copies_lag() && has_version(objects, head, edit.hash).await? {
            return Ok(Self::Lagging(version));
        }
        Ok(Self::Edited(version, edit))
    }

    /// The same, as far as the head and at most so many records below it decide, for a copy that was read
    /// before or after the head: none if the order of the reads matters, or if more records would have to be
    /// read. A record that this process has cached does not count.
    pub(super) async fn at_a_glance(
        objects: &Objects,
        head: &Head,
        copy: Option<&Object>,
        reads: usize,
    ) -> Result<Option<Self>> {
        let Some(copy) = copy else { return Ok(Some(Self::Absent)) };
        let Some(current) = &head.current else { return Ok(None) };
        let (version, hash) = (copy.meta.version.clone(), ContentHash::of(&copy.bytes));
        if current.record.hash == Some(hash) {
            return Ok(Some(Self::Current(version)));
        }
        // In a bucket no program runs the copy: another one is that of an earlier version.
        if objects.traits.plain_files
            && let Some(body) = &current.record.body
            && body.rule == BodyHash::RULE
            && let Ok(media_type) = current.record.media_type.known()
            && let Some(found) = Body::of(media_type, &copy.bytes)
            && found.hash == body.hash
        {
            return Ok(Some(Self::Noted(version, found.statistics)));
        }
        if !objects.traits.copies_lag() {
            return Ok(None);
        }
        let (mut walk, mut left) = (objects.walk(&head.id, &current.record), reads);
        while let Some(named) = walk.next() {
            if !objects.knows_record(named) {
                if left == 0 {
                    break;
                }
                left -= 1;
            }
            let record = walk.go(objects).await?;
            if record.is_some_and(|(_, record)| record.hash == Some(hash)) {
                return Ok(Some(Self::Lagging(version)));
            }
        }
        Ok(None)
    }

    /// The version that a write of the copy must name, so that it overwrites only the copy that was judged.
    pub(crate) fn version(&self) -> Option<&Version> {
        match self {
            Self::Absent => None,
            Self::Current(version)
            | Self::Noted(version, _)
            | Self::Lagging(version)
            | Self::Edited(version, _) => Some(version),
        }
    }
}

impl Look {
    /// Judges the copy of a workflow whose head was `stored` a moment ago. None if other writers changed the
    /// head at every attempt.
    ///
    /// Old records are read only for a copy and a head of the same moment. A copy that another writer has
    /// just replaced looks like an edit to a reader with an older head, and searching the whole chain for it
    /// would cost a read for each version.
    pub(super) async fn from(objects: &Objects, mut stored: StoredHead) -> Result<Option<Self>> {
        let id = stored.head.id.clone();
        for _ in 0..LOOKS {
            let copy = objects.get(&keys::copy_of(&stored.head)).await?;
            let again = objects.head(&id).await?;
            // Generations never repeat, so the current version did not change between the reads.
            if again.head.current == stored.head.current {
                let state = CopyState::of(objects, &again.head, copy.as_ref()).await?;
                return Ok(Some(Self { stored: again, state, copy }));
            }
            stored = again;
        }
        Ok(None)
    }

    /// The same for a workflow whose head was not read yet.
    pub(super) async fn at(objects: &Objects, id: &WorkflowId) -> Result<Option<Self>> {
        Self::from(objects, objects.head(id).await?).await
    }
}

/// Whether a version of the chain has this content. A record that cannot be read ends the
/// search; the copy then counts as an edit, which is never overwritten.
pub(super) async fn has_version(objects: &Objects, head: &Head, hash: ContentHash) -> Result<bool> {
    let Some(current) = &head.current else { return Ok(false) };
    let mut walk = objects.walk(&head.id, &current.record);
    while let Some((_, record)) = walk.go(objects).await? {
        if record.hash == Some(hash) {
            return Ok(true);
        }
    }
    Ok(false)
}
