//! Uploads in parts, which are collected in memory and committed as one object.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures::{FutureExt, future};
use object_store::{
    Error, MultipartId, MultipartUpload, PutMultipartOptions, PutPayload, PutResult, Result, UploadPart,
    multipart::PartId, path::Path,
};
use pflow_backend::{ErrorKind, Precondition, StorageBackend, async_trait};

use super::{
    error::{generic, no_key},
    escape, write,
};

/// The parts that were uploaded so far.
#[derive(Clone)]
struct Parts {
    location: Path,
    parts: BTreeMap<usize, PutPayload>,
    size: u64,
    most: u64,
}

impl Parts {
    fn new(backend: &dyn StorageBackend, location: &Path, options: PutMultipartOptions) -> Result<Self> {
        let PutMultipartOptions { tags, attributes, extensions: _ } = options;
        write::check_extras(!tags.is_empty(), !attributes.is_empty())?;
        escape::key(location).map_err(|why| no_key(location, why))?;
        let most = backend.capabilities().max_object_size;
        Ok(Self { location: location.clone(), parts: BTreeMap::new(), size: 0, most })
    }

    /// Adds a part, and replaces an earlier one with that number.
    fn add(&mut self, number: usize, part: PutPayload) -> Result<()> {
        let replaced = self.parts.get(&number).map_or(0, PutPayload::content_length) as u64;
        let size = (self.size - replaced).saturating_add(part.content_length() as u64);
        if size > self.most {
            let (location, most) = (&self.location, self.most);
            let what =
                format!("{location} would have {size} bytes or more; this storage takes at most {most}");
            return Err(generic(pflow_backend::Error::not_applied(ErrorKind::InvalidInput, what)));
        }
        self.size = size;
        self.parts.insert(number, part);
        Ok(())
    }

    /// Commits the parts from 0 to `count`. There must be no gap and no other part.
    async fn commit(self, backend: &dyn StorageBackend, count: usize) -> Result<PutResult> {
        if !self.parts.keys().copied().eq(0..count) {
            let has = self.parts.len();
            let what = format!("{} was not stored: {has} of its {count} parts are there", self.location);
            return Err(generic(pflow_backend::Error::not_applied(ErrorKind::InvalidInput, what)));
        }
        let whole: PutPayload = self.parts.into_values().flatten().collect();
        write::put(backend, &self.location, Bytes::from(whole), Precondition::Always).await
    }
}

/// An upload by a single caller, from its first part to its last.
pub(super) struct Upload {
    backend: Arc<dyn StorageBackend>,
    /// None once the parts were committed or dropped.
    parts: Option<Parts>,
    /// The number of parts, including refused ones: these leave a gap, so that nothing is committed.
    count: usize,
}

impl Upload {
    pub(super) fn new(
        backend: Arc<dyn StorageBackend>,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Self> {
        let parts = Some(Parts::new(&*backend, location, options)?);
        Ok(Self { backend, parts, count: 0 })
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    /// The part is added by the call, in the order of the calls, even if the future is not polled.
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let number = self.count;
        self.count += 1;
        let taken = self.parts.as_mut().ok_or_else(over).and_then(|parts| parts.add(number, data));
        future::ready(taken).boxed()
    }

    /// Makes one commit. If it fails the parts are kept, so that it may be repeated.
    async fn complete(&mut self) -> Result<PutResult> {
        let parts = self.parts.clone().ok_or_else(over)?;
        let result = parts.commit(&*self.backend, self.count).await?;
        self.parts = None;
        Ok(result)
    }

    /// Drops the parts. The effect of a `complete` with an unknown outcome is not undone.
    async fn abort(&mut self) -> Result<()> {
        self.parts.take().map(drop).ok_or_else(over)
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("parts", &self.count).finish_non_exhaustive()
    }
}

fn over() -> Error {
    generic("This upload was completed or aborted before")
}

/// The open uploads with a number, shared by several handles until the last one is dropped.
#[derive(Clone, Default)]
pub(super) struct Uploads(Arc<Mutex<Numbered>>);

#[derive(Default)]
struct Numbered {
    uploads: HashMap<MultipartId, Known>,
    /// The number of ids that were assigned, to uploads and to parts.
    given: u64,
}

#[derive(Clone)]
struct Known {
    parts: Parts,
    /// The id that each part was given when it was added.
    names: BTreeMap<usize, String>,
}

impl Uploads {
    pub(super) fn create(
        &self,
        backend: &dyn StorageBackend,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<MultipartId> {
        let parts = Parts::new(backend, location, options)?;
        let mut all = self.lock();
        let id = all.next();
        all.uploads.insert(id.clone(), Known { parts, names: BTreeMap::new() });
        Ok(id)
    }

    pub(super) fn put_part(
        &self,
        location: &Path,
        id: &MultipartId,
        number: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        let mut all = self.lock();
        let name = all.next();
        let known = all.uploads.get_mut(id).filter(|it| it.parts.location == *location);
        let known = known.ok_or_else(|| unknown(location, id))?;
        known.parts.add(number, data)?;
        known.names.insert(number, name.clone());
        Ok(PartId { content_id: name })
    }

    /// Completes an upload. It is removed only once it is committed, so that a failed one may be repeated.
    pub(super) async fn complete(
        &self,
        backend: &dyn StorageBackend,
        location: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let known = self.lock().uploads.get(id).filter(|it| it.parts.location == *location).cloned();
        let known = known.ok_or_else(|| unknown(location, id))?;
        if !parts.iter().map(|it| &it.content_id).eq(known.names.values()) {
            let what = format!(
                "{location} was not stored: the parts of upload {id} are not the ones named, in their order"
            );
            return Err(generic(pflow_backend::Error::not_applied(ErrorKind::InvalidInput, what)));
        }
        let result = known.parts.commit(backend, parts.len()).await?;
        self.lock().uploads.remove(id);
        Ok(result)
    }

    pub(super) fn abort(&self, location: &Path, id: &MultipartId) -> Result<()> {
        let mut all = self.lock();
        let known = all.uploads.get(id).is_some_and(|it| it.parts.location == *location);
        if !known {
            return Err(unknown(location, id));
        }
        all.uploads.remove(id);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Numbered> {
        // No operation under the lock can be left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbered {
    fn next(&mut self) -> String {
        self.given += 1;
        self.given.to_string()
    }
}

fn unknown(location: &Path, id: &MultipartId) -> Error {
    generic(format!("No upload {id} of {location} is under way in this process"))
}
