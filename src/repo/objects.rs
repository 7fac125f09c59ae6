use std::{collections::BTreeMap, fmt, sync::Arc};

use chrono::{DateTime, SubsecRound, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use pflow_backend::{Batch, Commit, Environment, Key, Object, Prefix, StorageBackend, Version};

use super::{StoredHead, Traits, VersionName, heads::KnownHeads, records::KnownRecords};
use crate::format::{
    ContentPlace, FormatError, Head, Jump, StoredRecord, StoredVersion, VersionId, VersionRecord, VersionRef,
    WorkflowId, keys,
};
use crate::{Error, Result, document::ContentHash};

/// How many objects are read at the same time.
const READ_AHEAD: usize = 32;
/// How many bytes of a version are read for its record. Most records with their envelope have some 1,200.
const RECORD_AHEAD: u64 = 4096;

/// The backend and the environment, with typed reads of the stored objects.
#[derive(Clone)]
pub(crate) struct Objects {
    pub(crate) backend: Arc<dyn StorageBackend>,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) traits: Traits,
    known: Arc<KnownHeads>,
    records: Arc<KnownRecords>,
}

impl Objects {
    pub(crate) fn new(backend: Arc<dyn StorageBackend>, environment: Arc<dyn Environment>) -> Self {
        let traits = backend.capabilities().into();
        Self { backend, environment, traits, known: Arc::default(), records: Arc::default() }
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

    /// Caches the record of a version that was read, or is about to be written.
    pub(crate) fn remember_record(&self, record: &VersionRecord, record_hash: ContentHash) {
        self.records.keep(Arc::new(record.clone()), record_hash);
    }

    /// Whether this process has the record of that version cached.
    pub(crate) fn knows_record(&self, named: &VersionRef) -> bool {
        self.records.get(named).is_some()
    }

    /// Reads the records of versions of which only the names are known, many at a time, and caches them. What
    /// is missing or cannot be read is left to the reader that needs it, who has its hash.
    ///
    /// # Errors
    /// The storage cannot be reached.
    pub(crate) async fn fetch_records(&self, names: Vec<(WorkflowId, VersionName)>) -> Result<()> {
        let unknown = names.into_iter().filter(|(_, (_, version_id))| !self.records.has(version_id));
        let mut reads = stream::iter(unknown)
            .map(|(id, name)| async move { self.unvouched_record(&id, &name).await })
            .buffer_unordered(READ_AHEAD);
        while let Some(read) = reads.next().await {
            match read {
                Ok(Some(version)) => self.remember_record(&version.record, version.record_hash),
                Ok(None) => {}
                Err(error) if error.spares_others() => {
                    tracing::debug!(%error, "a record was not read ahead");
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Returns the record of a version that a head or another record names. It may be cached: then its object
    /// need not be there any more.
    pub(crate) async fn record(&self, id: &WorkflowId, named: &VersionRef) -> Result<Arc<VersionRecord>> {
        if let Some(record) = self.records.get(named) {
            return Ok(record);
        }
        let record = Arc::new(self.vouched_record(id, named).await?);
        self.records.keep(Arc::clone(&record), named.record_hash);
        Ok(record)
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
        let version = self.vouched_version(id, named).await?;
        let ContentPlace::External { object } = &version.place else { return Ok(version) };
        let key = keys::version(id, named.generation, &named.version_id);
        let invalid =
            |_| corrupt(&key, format!("it says that its content is in {object:?}, which is no key"));
        let object = Key::parse(object.as_str()).map_err(invalid)?;
        let stored = self.get(&object).await?;
        let content = stored.ok_or_else(|| corrupt(&object, "it is missing".to_owned()))?.bytes;
        version.record.check_content(&content).map_err(|source| unreadable(&object, source))?;
        Ok(StoredVersion { content: Some(content), ..version })
    }

    /// The same without a content that is in an object of its own.
    async fn vouched_version(&self, id: &WorkflowId, named: &VersionRef) -> Result<StoredVersion> {
        let key = keys::version(id, named.generation, &named.version_id);
        let object = self.get(&key).await?.ok_or_else(|| missing(&key))?;
        let version = StoredVersion::decode(id, &object.bytes).map_err(|source| unreadable(&key, source))?;
        check_name(&key, (&version.record, version.record_hash), named)?;
        Ok(version)
    }

    /// The same without the content.
    async fn vouched_record(&self, id: &WorkflowId, named: &VersionRef) -> Result<VersionRecord> {
        let key = keys::version(id, named.generation, &named.version_id);
        let stored = self.stored_record(id, &key).await?.ok_or_else(|| missing(&key))?;
        check_name(&key, (&stored.record, stored.record_hash), named)?;
        Ok(stored.record)
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
        check_key(&key, &version.record, name)?;
        Ok(Some(version))
    }

    /// The same without the content.
    pub(crate) async fn unvouched_record(
        &self,
        id: &WorkflowId,
        name: &VersionName,
    ) -> Result<Option<StoredRecord>> {
        let key = keys::version(id, name.0, &name.1);
        let Some(stored) = self.stored_record(id, &key).await? else { return Ok(None) };
        check_key(&key, &stored.record, name)?;
        Ok(Some(stored))
    }

    /// Reads the record in a version object; none if there is no such object. A backend that reads ranges is
    /// asked for the first bytes alone: nearly every record ends there, and a longer one is read as a whole.
    async fn stored_record(&self, id: &WorkflowId, key: &Key) -> Result<Option<StoredRecord>> {
        if self.traits.ranged_reads {
            let excerpt = self.backend.get_range(key, 0..RECORD_AHEAD).await.map_err(Error::Storage)?;
            let Some(excerpt) = excerpt else { return Ok(None) };
            let decoded = StoredRecord::decode(id, &excerpt.bytes, excerpt.size);
            if let Some(stored) = decoded.map_err(|source| unreadable(key, source))? {
                return Ok(Some(stored));
            }
        }
        let Some(object) = self.get(key).await? else { return Ok(None) };
        let decoded = StoredRecord::decode(id, &object.bytes, object.bytes.len() as u64);
        decoded.map_err(|source| unreadable(key, source))
    }

    /// Returns the version of that generation among the first parents of `head`; none if there is none. It
    /// follows the jumps, so it costs one read for each of the latest generations and at most some thirty for
    /// any other.
    pub(crate) async fn generation(&self, head: &Head, generation: u64) -> Result<Option<StoredVersion>> {
        let Some(current) = &head.current else { return Ok(None) };
        let mut next = match current.record.generation == generation {
            true => Some(current.reference()),
            false => current.nearest(generation),
        };
        while let Some(named) = next {
            if named.generation == generation {
                return self.named_version(&head.id, &named).await.map(Some);
            }
            next = self.record(&head.id, &named).await?.towards(generation);
        }
        Ok(None)
    }

    /// Returns the version of that generation among all ancestors of `head`; none if there is none, and if there
    /// are several, as after a merge of two branches. It reads the records between only where a merge came in
    /// between.
    pub(crate) async fn only_generation(
        &self,
        head: &Head,
        generation: u64,
    ) -> Result<Option<StoredVersion>> {
        let first = self.generation(head, generation).await?;
        let merges = head.current.as_ref().map_or(0, |current| current.record.merges);
        if merges == 0 || first.as_ref().is_some_and(|first| first.record.merges == merges) {
            return Ok(first);
        }
        let mut found: Vec<VersionRef> = Vec::new();
        self.ancestors(head, generation, |named| {
            if named.generation == generation {
                found.push(named.clone());
            }
            false
        })
        .await?;
        match found.as_slice() {
            [only] => self.named_version(&head.id, only).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the version of that id among all ancestors of `head`; none if there is none. It reads the records
    /// down to it, those of which this process does not know.
    pub(crate) async fn version_of_id(
        &self,
        head: &Head,
        version_id: &VersionId,
    ) -> Result<Option<StoredVersion>> {
        match self.ancestors(head, 1, |named| named.version_id == *version_id).await? {
            Some(named) => self.named_version(&head.id, &named).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether the version of that name is the current one or an ancestor of it.
    pub(crate) async fn has_ancestor(&self, head: &Head, name: &VersionName) -> Result<bool> {
        let is_named = |named: &VersionRef| (named.generation, named.version_id) == *name;
        Ok(self.ancestors(head, name.0, is_named).await?.is_some())
    }

    /// Visits the current version and its ancestors along all parents, from the highest generation down to
    /// `lowest`, each once, until `is_sought` says so. Returns the one that was sought.
    ///
    /// # Errors
    /// A record cannot be read, and none of the other ancestors, which jumps lead to, was the one.
    async fn ancestors(
        &self,
        head: &Head,
        lowest: u64,
        mut is_sought: impl FnMut(&VersionRef) -> bool,
    ) -> Result<Option<VersionRef>> {
        let name = |named: &VersionRef| (named.generation, named.version_id);
        let mut open = BTreeMap::new();
        let mut damage = None;
        if let Some(current) = &head.current {
            let known = current.chain().map(Jump::reference).filter(|named| named.generation >= lowest);
            open.extend(known.chain([current.reference()]).map(|named| (name(&named), named)));
        }
        while let Some((_, named)) = open.pop_last() {
            if is_sought(&named) {
                return Ok(Some(named));
            }
            if named.generation <= lowest {
                continue;
            }
            match self.record(&head.id, &named).await {
                Ok(record) => {
                    let jump = record.jump.as_ref().map(Jump::reference);
                    let below = record.older_parents().cloned().chain(jump);
                    let below = below.filter(|it| it.is_below(named.generation) && it.generation >= lowest);
                    open.extend(below.map(|it| (name(&it), it)));
                }
                Err(error) if error.spares_others() => damage = Some(error),
                Err(other) => return Err(other),
            }
        }
        damage.map_or(Ok(None), Err)
    }

    /// Walks back along first parents, from the first parent of `record`.
    pub(crate) fn walk(&self, id: &WorkflowId, record: &VersionRecord) -> Walk {
        let mut walk = Walk { id: id.clone(), next: None, jumps: BTreeMap::new() };
        walk.pass(record);
        walk
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

/// A walk along the first parents, the newest version first. See [`Objects::walk`].
#[derive(Debug)]
pub(crate) struct Walk {
    id: WorkflowId,
    next: Option<VersionRef>,
    /// The jumps of the versions so far, by their generation.
    jumps: BTreeMap<u64, VersionRef>,
}

impl Walk {
    fn pass(&mut self, record: &VersionRecord) {
        self.next = record.replaced().cloned();
        self.jumps.extend(record.jump.iter().map(|jump| (jump.generation, jump.reference())));
    }

    /// The version that comes next; none at the end. Costs no read.
    pub(crate) fn next(&self) -> Option<&VersionRef> {
        self.next.as_ref()
    }

    /// Returns the version that comes next with its record, verified by the hash that names it; none at the
    /// end. Where a record cannot be read, logs a warning and goes on at the nearest version below it that a
    /// jump has named: the caller can do with less. `verify` reports the damage.
    pub(crate) async fn go(&mut self, objects: &Objects) -> Result<Option<(VersionRef, Arc<VersionRecord>)>> {
        while let Some(named) = self.next.take() {
            match objects.record(&self.id, &named).await {
                Ok(record) => {
                    self.pass(&record);
                    return Ok(Some((named, record)));
                }
                Err(error) if error.spares_others() => {
                    tracing::warn!(id = %self.id, %error, "a version of its chain cannot be read");
                    self.next =
                        self.jumps.range(..named.generation).next_back().map(|(_, jump)| jump.clone());
                }
                Err(other) => return Err(other),
            }
        }
        Ok(None)
    }
}

pub(crate) fn unreadable(key: &Key, source: FormatError) -> Error {
    Error::Format { key: key.to_string(), source }
}

fn missing(key: &Key) -> Error {
    corrupt(key, "it is missing".to_owned())
}

/// Checks that a record is the one that its key names.
fn check_key(key: &Key, record: &VersionRecord, name: &VersionName) -> Result<()> {
    let VersionRecord { generation, version_id, .. } = record;
    if (*generation, *version_id) == *name {
        return Ok(());
    }
    Err(corrupt(key, format!("it says that it is generation {generation} ({version_id})")))
}

/// Checks that a version is the one that is named, whose key this is.
fn check_name(
    key: &Key,
    (record, record_hash): (&VersionRecord, ContentHash),
    named: &VersionRef,
) -> Result<()> {
    check_key(key, record, &(named.generation, named.version_id))?;
    if record_hash != named.record_hash {
        return Err(corrupt(key, format!("its record has not the hash {}", named.record_hash)));
    }
    Ok(())
}

pub(crate) fn corrupt(key: &Key, reason: String) -> Error {
    Error::Corrupt { key: key.to_string(), reason }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.backend.fmt(f)
    }
}
