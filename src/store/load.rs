use bytes::Bytes;
use futures::future::join;
use pflow_backend::{Batch, Key, Object, Operation, Precondition};
use serde::de::DeserializeOwned;

use super::{
    Shared, Store,
    copy::{CopyState, EditedCopy, LOOKS, Look},
};
use crate::{
    Error, NoContent, Result,
    conflict::{Conflict, Expect},
    document::{ContentHash, DocumentFormat, why_not_read},
    format::{Current, Head, StoredVersion, VersionRecord, WorkflowId, keys},
    register::{Around, EncodedHead, swap_head},
    repo::{StoredHead, corrupt, unreadable},
};

/// How often a load tries again if the workflow changes meanwhile.
const ATTEMPTS: u32 = 16;

/// How many versions below a deletion a leftover copy is compared with.
const LATE: usize = 32;

/// A loaded workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loaded {
    /// The workflow.
    pub id: WorkflowId,
    /// The record of the version.
    pub record: VersionRecord,
    /// The exact bytes that were saved.
    pub content: Bytes,
}

/// A working copy as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveCopy {
    /// The workflow.
    pub id: WorkflowId,
    /// The record of the current version.
    pub record: VersionRecord,
    /// The bytes of the file.
    pub content: Bytes,
    /// How it differs from the current version.
    pub state: LiveState,
}

/// How a working copy differs from the current version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LiveState {
    /// Not at all.
    Saved,
    /// Only in values that programs note, such as the count of runs.
    Noted,
    /// A person or a program changed it, and no version has the change.
    Edited,
}

impl LiveCopy {
    /// Returns the expectation for a change that builds on the current version.
    pub fn expect(&self) -> Expect {
        Expect::Version(self.record.version_id)
    }
}

impl Loaded {
    /// Returns the expectation for a change that builds on this version: it is still the current one.
    pub fn expect(&self) -> Expect {
        Expect::Version(self.record.version_id)
    }

    /// The format in which the content is read; none if only a newer program knows it.
    pub fn format(&self) -> Option<DocumentFormat> {
        self.record.media_type.known().ok().map(DocumentFormat::of_stored)
    }

    /// Reads the content as a value of the caller's type.
    ///
    /// ```
    /// use pflow_store::{Expect, SaveRequest, Store, WorkflowId};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), pflow_store::Error> {
    /// # let store = Store::builder("memory:").init().await?;
    /// let id = WorkflowId::parse("greet")?;
    /// store.save(SaveRequest::new(id.clone(), r#"{ "nodes": [], "runs": 7 }"#, Expect::Absent)).await?;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Counted {
    ///     runs: u64,
    /// }
    /// assert_eq!(store.load(&id).await?.json::<Counted>()?.runs, 7);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::OtherType`] if the content has another form.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.content).map_err(|source| Error::OtherType {
            id: self.id.clone(),
            generation: self.record.generation,
            line: source.line(),
            column: source.column(),
            reason: why_not_read(&source),
        })
    }
}

impl Store {
    /// Returns the current content, verified by its hash.
    ///
    /// The content is read from the working copy, in the same round trip as the head. If that file holds other
    /// bytes, the content is read from the version itself, and the working copy is updated if writing is
    /// allowed and the file is not a person's edit.
    ///
    /// # Errors
    /// [`Error::WorkflowMissing`]; [`Error::HeadHurt`] if the head was lost; [`Conflict::ModifiedOutside`] if
    /// a person edited the working copy on a disk, because returning either text silently would be wrong;
    /// [`Error::Corrupt`] if the version is missing or damaged; errors of the storage.
    pub async fn load(&self, id: &WorkflowId) -> Result<Loaded> {
        let objects = &self.shared.objects;
        let plain_files = objects.traits.plain_files;
        let (mut stored, mut copy) = self.shared.head_and_copy(id).await?;
        for _ in 0..ATTEMPTS {
            let copy_key = keys::copy_of(&stored.head);
            let current = match live(&stored.head) {
                Ok(current) => current,
                Err(missing) => {
                    match CopyState::at_a_glance(objects, &stored.head, copy.as_ref(), LATE).await {
                        Ok(Some(CopyState::Lagging(_))) => self.remove_leftover(id).await,
                        Ok(_) => {}
                        Err(error) => tracing::debug!(%id, %error, "the copy of a deleted workflow was left"),
                    }
                    return Err(self.shared.explain(missing).await);
                }
            };
            check_known(&keys::head(id), &current.record)?;
            if let Some(copy) = &copy
                && current.record.hash == Some(ContentHash::of(&copy.bytes))
            {
                let (record, content) = (current.record.clone(), copy.bytes.clone());
                return Ok(Loaded { id: id.clone(), record, content });
            }
            // A version never changes, so this is the version that the head named, whatever other writers do.
            let reference = current.reference();
            let version = objects.named_version(id, &reference);
            let version = if plain_files {
                // IMPORTANT: an edit is judged by a copy that was read between two reads of the same head.
                let (version, again) = join(version, objects.get(&copy_key)).await;
                copy = again?;
                version
            } else {
                version.await
            };
            let again = objects.head(id).await?;
            let moved = again.head.current != stored.head.current;
            match version {
                Ok(StoredVersion { content: Some(content), .. }) => {
                    if !moved {
                        self.mend_copy(&again, &content, copy.as_ref()).await?;
                    }
                    return Ok(Loaded { id: id.clone(), record: current.record.clone(), content });
                }
                // If the head moved on, the version may have been pruned since.
                Ok(_) | Err(Error::Corrupt { .. }) if moved => {
                    copy = objects.get(&keys::copy_of(&again.head)).await?;
                    stored = again;
                }
                Ok(_) => {
                    let (generation, version_id) = (current.record.generation, &current.record.version_id);
                    let key = keys::version(id, generation, version_id);
                    return Err(corrupt(&key, "its content is missing".to_owned()));
                }
                Err(error) => return Err(error),
            }
        }
        Err(Conflict::Busy { id: id.clone(), attempts: ATTEMPTS }.into())
    }

    /// Returns the working copy as it is now, which people and programs may have changed.
    ///
    /// If there is no working copy, it is the current content. On a storage where people do not edit files it
    /// always is.
    ///
    /// # Errors
    /// [`Error::WorkflowMissing`]; otherwise as [`Store::load`], except that an edit is no error.
    pub async fn load_live(&self, id: &WorkflowId) -> Result<LiveCopy> {
        let objects = &self.shared.objects;
        if objects.traits.plain_files {
            let busy = || Conflict::Busy { id: id.clone(), attempts: LOOKS };
            let Look { stored, state, copy } = Look::at(objects, id).await?.ok_or_else(busy)?;
            let current = match live(&stored.head) {
                Ok(current) => current,
                Err(missing) => return Err(self.shared.explain(missing).await),
            };
            check_known(&keys::head(id), &current.record)?;
            let state = match state {
                CopyState::Absent | CopyState::Lagging(_) => None,
                CopyState::Current(_) => Some(LiveState::Saved),
                CopyState::Noted(..) => Some(LiveState::Noted),
                CopyState::Edited(..) => {
                    // The copy of a version that a lost head had is no edit.
                    self.shared.index.refuse_hurt(id, &[]).await?;
                    Some(LiveState::Edited)
                }
            };
            if let (Some(state), Some(copy)) = (state, copy) {
                let (id, record, content) = (id.clone(), current.record.clone(), copy.bytes);
                return Ok(LiveCopy { id, record, content, state });
            }
        }
        let Loaded { id, record, content } = self.load(id).await?;
        Ok(LiveCopy { id, record, content, state: LiveState::Saved })
    }

    /// Removes the copy of a deleted workflow, which a request that landed late may have written again.
    /// Readers that do not read heads would mistake it for a workflow. A failure is only logged.
    async fn remove_leftover(&self, id: &WorkflowId) {
        let Some(_admission) = self.shared.gate.admit_optional() else { return };
        match self.bring_copy_in_line(id).await {
            Ok(removed) => tracing::debug!(%id, removed, "the copy of a deleted workflow was found"),
            Err(error) => tracing::debug!(%id, %error, "the copy of a deleted workflow was left"),
        }
    }

    /// Returns the content of one generation of the present chain.
    ///
    /// # Errors
    /// [`Error::WorkflowMissing`] if there has never been a version, [`Error::GenerationMissing`] if the
    /// chain does not have it or its content was pruned; otherwise as [`Store::load`].
    pub async fn load_generation(&self, id: &WorkflowId, generation: u64) -> Result<Loaded> {
        let head = self.show(id).await?;
        let missing = || Error::GenerationMissing { id: id.clone(), generation, why: NoContent::Never };
        let version = self.shared.objects.generation(&head, generation).await?.ok_or_else(missing)?;
        if version.record.deleted {
            return Err(Error::GenerationMissing { id: id.clone(), generation, why: NoContent::Deletion });
        }
        let record = version.record.clone();
        check_known(&keys::version(id, generation, &record.version_id), &record)?;
        content_of(id, version).map(|content| Loaded { id: id.clone(), record, content })
    }

    /// Updates the working copy, if it still holds what was read as `copy` between two reads of `head`.
    ///
    /// A failed write is only logged, because the reader has the content. A person's edit is kept and
    /// returned as an error. So is a copy with the content of a version that a lost head had: it is the
    /// witness of that version, is not an edit and must not be replaced.
    ///
    /// IMPORTANT: on a storage where a copy and a head of the same moment differ only by a person's edit, a
    /// missing copy is written together with a swap of that head. Otherwise another client could delete the
    /// workflow meanwhile, and the copy would look like an edit forever. An existing copy is replaced on the
    /// condition that it is unchanged; a deletion violates that condition as well.
    async fn mend_copy(&self, stored: &StoredHead, content: &Bytes, copy: Option<&Object>) -> Result<()> {
        let Shared { objects, gate, index, .. } = self.shared.as_ref();
        let (head, id) = (&stored.head, &stored.head.id);
        let key = keys::copy_of(head);
        match CopyState::of(objects, head, copy).await? {
            CopyState::Edited(_, EditedCopy { hash: found, .. }) => {
                index.refuse_hurt(id, &[]).await?;
                if objects.traits.plain_files {
                    let (id, key, generation) = (id.clone(), key.to_string(), Some(head.generation()));
                    return Err(Conflict::ModifiedOutside { id, key, generation, found }.into());
                }
            }
            CopyState::Current(_) | CopyState::Noted(..) => return Ok(()),
            // The version that a lost head had may have another format, whose copy has another name.
            CopyState::Absent if objects.traits.plain_files => index.refuse_hurt(id, &[]).await?,
            CopyState::Absent | CopyState::Lagging(_) => {}
        }
        let Some(_admission) = gate.admit_optional() else { return Ok(()) };
        let when = copy.map_or(Precondition::Absent, |copy| Precondition::Is(copy.meta.version.clone()));
        let put = Operation::put(key, content.clone()).copy().when(when);
        let is_alone = copy.is_some() || objects.traits.copies_lag();
        if let Some(named) = stored.version.as_ref().filter(|_| !is_alone) {
            let next = head.next(objects.environment.new_id());
            let around = Around { after: vec![put], ..Around::default() };
            let swapped = swap_head(objects, Some(named), EncodedHead::of(&next)?, around).await;
            tracing::debug!(%id, ?swapped, "tried to write the copy together with the head");
            return Ok(());
        }
        match objects.backend.commit(Batch::new().stage([put])).await {
            Ok(commit) => tracing::debug!(%id, ?commit, "refreshed the copy"),
            Err(error) => tracing::debug!(%id, %error, "could not refresh the copy"),
        }
        Ok(())
    }
}

fn live(head: &Head) -> Result<&Current> {
    let deleted = head.current.is_some();
    head.live().ok_or_else(|| Error::WorkflowMissing { id: head.id.clone(), deleted })
}

/// Refuses a content with a media type that only a newer program knows.
fn check_known(key: &Key, record: &VersionRecord) -> Result<()> {
    record.media_type.known().map(drop).map_err(|source| unreadable(key, source))
}

fn content_of(id: &WorkflowId, version: StoredVersion) -> Result<Bytes> {
    let generation = version.record.generation;
    version.content.ok_or_else(|| Error::GenerationMissing {
        id: id.clone(),
        generation,
        why: NoContent::Pruned,
    })
}
