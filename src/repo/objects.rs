use std::{fmt, sync::Arc};

use chrono::{DateTime, SubsecRound, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use pflow_backend::{Batch, Commit, Environment, Key, Object, Prefix, StorageBackend, Version};

use super::{StoredHead, Traits, VersionName, heads::KnownHeads};
use crate::format::{Ancestor, Current, FormatError, Head, StoredVersion, VersionRef, WorkflowId, keys};
use crate::{Error, Result};

/// How many objects are read at the same time.
const READ_AHEAD: usize = 32;

/// The backend and the environment, with typed reads of the stored objects.
#[derive(Clone)]
pub(crate) struct Objects {
    pub(crate) backend: Arc<dyn StorageBackend>,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) traits: Traits,
    known: Arc<KnownHeads>,
}

impl Objects {
    pub(crate) fn new(backend: Arc<dyn StorageBackend>, environment: Arc<dyn Environment>) -> Self {
        let traits = backend.capabilities().into();
        Self { backend, environment, traits, known: Arc::default() }
    }

    /// Returns the wall clock time in the precision that is stored.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.environment.now().trunc_subsecs(3)
    }

    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.backend.get(key).await.map_err(Error::Storage)
    }

    pub(crate) async fn commit(&self, batch: Batch, what: impl FnOnce() -> String) -> Result<Commit> {
        self.backend.commit(batch).await.map_err(|source| Error::of_commit(what, source))
    }

    /// Returns the head of `id`, and caches it; an empty head without a version if there is none.
    pub(crate) async fn head(&self, id: &WorkflowId) -> Result<StoredHead> {
        let stored = self.read_head(id).await?;
        self.remember_head(&stored.head, stored.version.as_ref());
        Ok(stored)
    }

    /// Returns the head of `id` as this process last saw it. It may be outdated: use it for a swap that names
    /// its version, or for facts that stay true.
    pub(crate) fn known_head(&self, id: &WorkflowId) -> Option<Arc<StoredHead>> {
        self.known.get(id)
    }

    /// Caches a head that is current, or was a moment ago.
    pub(crate) fn remember_head(&self, head: &Head, version: Option<&Version>) {
        match version {
            Some(version) => {
                self.known.keep(StoredHead { head: head.clone(), version: Some(version.clone()) })
            }
            None => self.known.forget(&head.id),
        }
    }

    /// Invalidates the cached head.
    pub(crate) fn forget_head(&self, id: &WorkflowId) {
        self.known.forget(id);
    }

    async fn read_head(&self, id: &WorkflowId) -> Result<StoredHead> {
        let key = keys::head(id);
        match self.get(&key).await? {
            None => Ok(StoredHead { head: Head::new(id.clone()), version: None }),
            Some(object) => {
                let head = Head::decode(id, &object.bytes).map_err(|source| unreadable(&key, source))?;
                Ok(StoredHead { head, version: Some(object.meta.version) })
            }
        }
    }

    /// Returns the head of `id`. If the head cannot be read, returns an empty one with the storage version of
    /// the object, and the reason. A head that a newer program wrote is an error.
    pub(crate) async fn head_or_damage(&self, id: &WorkflowId) -> Result<(StoredHead, Option<Error>)> {
        let key = keys::head(id);
        let empty = |version| StoredHead { head: Head::new(id.clone()), version };
        match self.get(&key).await {
            Ok(None) => Ok((empty(None), None)),
            Ok(Some(object)) => {
                let version = Some(object.meta.version);
                match Head::decode(id, &object.bytes).map_err(|source| unreadable(&key, source)) {
                    Ok(head) => Ok((StoredHead { head, version }, None)),
                    Err(error) if error.is_of_one_object() => Ok((empty(version), Some(error))),
                    Err(other) => Err(other),
                }
            }
            Err(other) => Err(other),
        }
    }

    /// Returns the heads of `ids`, in no particular order. They may be many, so they are not cached. Each
    /// head has its own result, so that one damaged head does not hide the others.
    pub(crate) async fn heads(&self, ids: Vec<WorkflowId>) -> Vec<(WorkflowId, Result<StoredHead>)> {
        stream::iter(ids)
            .map(|id| async move {
                let head = self.read_head(&id).await;
                (id, head)
            })
            .buffer_unordered(READ_AHEAD)
            .collect()
            .await
    }

    /// Returns the version that a head or another record names. The object must exist and be exactly that
    /// version.
    ///
    /// Invariant: this is the only way to read a version whose content is used, and every name that is passed
    /// here comes from a head or from a record that was read here. So every record is verified by the hashes
    /// along its chain from the head, and every content by the hash in its record. The head itself is taken
    /// as it is: no hash above it covers it.
    pub(crate) async fn named_version(&self, id: &WorkflowId, named: &VersionRef) -> Result<StoredVersion> {
        let key = keys::version(id, named.generation, &named.version_id);
        let object = self.get(&key).await?.ok_or_else(|| corrupt(&key, "it is missing".to_owned()))?;
        let version = match StoredVersion::decode(id, &object.bytes) {
            // A line that a newer program wrote has the hash that names it. A damaged line does not, whatever
            // its format says.
            Err(newer) if newer.is_newer() && StoredVersion::hash_of(&object.bytes) != named.record_hash => {
                return Err(corrupt(&key, format!("its record has not the hash {}", named.record_hash)));
            }
            decoded => decoded.map_err(|source| unreadable(&key, source))?,
        };
        let (generation, version_id) = (version.record.generation, &version.record.version_id);
        if (generation, version_id) != (named.generation, &named.version_id) {
            return Err(corrupt(&key, format!("it says that it is generation {generation} ({version_id})")));
        }
        if version.record_hash != named.record_hash {
            return Err(corrupt(&key, format!("its record has not the hash {}", named.record_hash)));
        }
        Ok(version)
    }

    /// Returns a version that only its key names; none if there is no such object. No hash covers its record,
    /// so it is only used to classify the version relative to a head.
    pub(crate) async fn unvouched_version(
        &self,
        id: &WorkflowId,
        name: &VersionName,
    ) -> Result<Option<StoredVersion>> {
        let key = keys::version(id, name.0, &name.1);
        let Some(object) = self.get(&key).await? else { return Ok(None) };
        let version = StoredVersion::decode(id, &object.bytes).map_err(|source| unreadable(&key, source))?;
        let says = (version.record.generation, version.record.version_id.clone());
        if says != *name {
            return Err(corrupt(&key, format!("it says that it is generation {} ({})", says.0, says.1)));
        }
        Ok(Some(version))
    }

    /// Returns the version of that generation in the chain of `head`; none if the chain does not have one. It
    /// costs one read if the head remembers the generation.
    pub(crate) async fn generation(&self, head: &Head, generation: u64) -> Result<Option<StoredVersion>> {
        // Starts from the nearest remembered version at or above the generation, and follows the parents from
        // there.
        let current = head.current.iter().flat_map(Current::lineage);
        let Some(from) = current.take_while(|known| known.generation >= generation).last() else {
            return Ok(None);
        };
        let mut version = self.named_version(&head.id, &from.reference()).await?;
        if Ancestor::of_version(&version) != from {
            let key = keys::version(&head.id, from.generation, &from.version_id);
            return Err(corrupt(&key, "it is not the version that the head remembers".to_owned()));
        }
        while version.record.generation > generation {
            let Some(parent) = version.record.parents.first() else { return Ok(None) };
            version = self.named_version(&head.id, parent).await?;
        }
        Ok((version.record.generation == generation).then_some(version))
    }

    /// The same for a version whose content is to be read as a document.
    ///
    /// # Errors
    /// Only a newer program knows its media type.
    pub(crate) async fn document_of(&self, head: &Head, generation: u64) -> Result<Option<StoredVersion>> {
        let version = self.generation(head, generation).await?;
        if let Some(StoredVersion { record, .. }) = &version {
            let key = keys::version(&head.id, record.generation, &record.version_id);
            record.media_type.known().map_err(|source| unreadable(&key, source))?;
        }
        Ok(version)
    }

    /// Walks back along first parents, from a version that the head remembers.
    pub(crate) fn walk(&self, id: &WorkflowId, from: &Ancestor) -> Walk {
        Walk { id: id.clone(), next: Next::Unread(from.reference()) }
    }

    /// All keys below `prefix`, in order.
    pub(crate) async fn keys(&self, prefix: &Prefix) -> Result<Vec<Key>> {
        self.backend
            .list(prefix, None)
            .map_ok(|listed| listed.key)
            .map_err(Error::Storage)
            .try_collect()
            .await
    }
}

/// A walk along a chain, the newest version first. See [`Objects::walk`].
#[derive(Debug)]
pub(crate) struct Walk {
    id: WorkflowId,
    next: Next,
}

#[derive(Debug)]
enum Next {
    /// The start of the walk; its record names the parent.
    Unread(VersionRef),
    Named(VersionRef),
    End,
}

impl Walk {
    /// Returns the parent of the version before, verified by the hash that names it; none at the end. If the
    /// chain cannot be read any further, logs a warning and returns none: the caller asked for more than the
    /// head remembers, and can do with less. `verify` reports the damage.
    pub(crate) async fn parent(&mut self, objects: &Objects) -> Result<Option<StoredVersion>> {
        let read = match std::mem::replace(&mut self.next, Next::End) {
            Next::End => return Ok(None),
            Next::Named(named) => objects.named_version(&self.id, &named).await.map(Some),
            Next::Unread(from) => match objects.named_version(&self.id, &from).await {
                Ok(version) => match version.record.parents.first() {
                    Some(parent) => objects.named_version(&self.id, parent).await.map(Some),
                    None => Ok(None),
                },
                Err(error) => Err(error),
            },
        };
        match read {
            Ok(Some(version)) => {
                self.next = version.record.parents.first().cloned().map_or(Next::End, Next::Named);
                Ok(Some(version))
            }
            Ok(None) => Ok(None),
            Err(error) if error.is_of_one_object() => {
                tracing::warn!(id = %self.id, %error, "the chain cannot be read any further");
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }
}

pub(crate) fn unreadable(key: &Key, source: FormatError) -> Error {
    Error::Format { key: key.to_string(), source }
}

pub(crate) fn corrupt(key: &Key, reason: String) -> Error {
    Error::Corrupt { key: key.to_string(), reason }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.backend.fmt(f)
    }
}
