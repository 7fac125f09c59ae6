//! The objects behind the servers. One mutex makes every operation atomic.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use md5::{Digest, Md5};

/// The content of a put.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    pub(crate) bytes: Bytes,
    pub(crate) content_type: Option<String>,
    /// User metadata by name, without the protocol's prefix.
    pub(crate) metadata: HashMap<String, String>,
}

/// A stored object.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) content: Content,
    /// Without quotes. It depends only on the content, so equal content has an equal ETag, as on real
    /// servers.
    pub(crate) etag: String,
    pub(crate) modified: SystemTime,
    /// The number of the write that created it: never zero and never reused, even for the same bytes. This is
    /// GCS's generation.
    pub(crate) generation: u64,
}

/// The condition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    Absent,
    Present,
    Etag(String),
    Generation(u64),
}

/// Why an operation was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoBucket,
    NoKey,
    NoUpload,
    BadPart,
    Condition,
}

/// One page of a list.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) objects: Vec<(String, Stored)>,
    pub(crate) prefixes: Vec<String>,
    /// The name after which the next page starts, if there is one.
    pub(crate) next: Option<String>,
}

/// The request for a page.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) prefix: String,
    pub(crate) delimiter: Option<String>,
    /// Names up to and including this one are skipped.
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<String, BTreeMap<String, Stored>>,
    /// The number of the last change of every key, including removals.
    changes: HashMap<(String, String), u64>,
    clock: u64,
    uploads: BTreeMap<String, Upload>,
}

#[derive(Debug)]
struct Upload {
    bucket: String,
    key: String,
    content: Content,
    parts: BTreeMap<u32, (String, Bytes)>,
}

pub(crate) fn md5(bytes: &[u8]) -> Vec<u8> {
    Md5::digest(bytes).to_vec()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").expect("a string takes text");
        text
    })
}

impl Store {
    pub(crate) fn new(buckets: impl IntoIterator<Item = String>) -> Self {
        let buckets = buckets.into_iter().map(|name| (name, BTreeMap::new())).collect();
        Self { state: Mutex::new(State { buckets, ..State::default() }) }
    }

    pub(crate) fn get(&self, bucket: &str, key: &str) -> Result<Stored, Refusal> {
        self.lock().objects(bucket)?.get(key).cloned().ok_or(Refusal::NoKey)
    }

    /// Checks the condition and writes, atomically.
    pub(crate) fn put(
        &self,
        bucket: &str,
        key: &str,
        content: Content,
        when: &When,
    ) -> Result<Stored, Refusal> {
        let mut state = self.lock();
        state.check(bucket, key, when)?;
        let etag = hex(&md5(&content.bytes));
        state.write(bucket, key, content, etag)
    }

    /// Whether a write under this condition would succeed now.
    pub(crate) fn check(&self, bucket: &str, key: &str, when: &When) -> Result<(), Refusal> {
        self.lock().check(bucket, key, when)
    }

    /// Returns the number of the key's last change; zero if there was none.
    pub(crate) fn changed(&self, bucket: &str, key: &str) -> u64 {
        self.lock().changes.get(&(bucket.to_owned(), key.to_owned())).copied().unwrap_or(0)
    }

    /// Removes one object. Returns whether it existed.
    pub(crate) fn delete(&self, bucket: &str, key: &str, when: &When) -> Result<bool, Refusal> {
        let mut state = self.lock();
        state.check(bucket, key, when)?;
        let removed = state.objects_mut(bucket)?.remove(key).is_some();
        if removed {
            state.tick(bucket, key);
        }
        Ok(removed)
    }

    pub(crate) fn copy(
        &self,
        from: (&str, &str),
        to: (&str, &str),
        metadata: Option<HashMap<String, String>>,
        when: &When,
    ) -> Result<Stored, Refusal> {
        let mut state = self.lock();
        let source = state.objects(from.0)?.get(from.1).cloned().ok_or(Refusal::NoKey)?;
        state.check(to.0, to.1, when)?;
        let mut content = source.content;
        if let Some(metadata) = metadata {
            content.metadata = metadata;
        }
        state.write(to.0, to.1, content, source.etag)
    }

    /// Returns one page, in byte order of the keys.
    pub(crate) fn list(&self, bucket: &str, query: &Query) -> Result<Page, Refusal> {
        let state = self.lock();
        let objects = state.objects(bucket)?;
        let start = query.after.as_deref().unwrap_or("").max(query.prefix.as_str());
        let mut page = Page::default();
        let mut last: Option<String> = None;
        for (key, object) in objects.range::<str, _>((Bound::Included(start), Bound::Unbounded)) {
            let Some(rest) = key.strip_prefix(&query.prefix) else { break };
            let group =
                query.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty()).and_then(|delimiter| {
                    let (head, _) = rest.split_once(delimiter)?;
                    Some(format!("{}{head}{delimiter}", query.prefix))
                });
            let name = group.as_ref().unwrap_or(key);
            // A group that was returned already, or that ended the previous page, is not returned again.
            let given = |done: &String| name <= done;
            if query.after.as_ref().is_some_and(given) || last.as_ref().is_some_and(given) {
                continue;
            }
            if page.objects.len() + page.prefixes.len() == query.limit {
                page.next = last;
                break;
            }
            last = Some(name.clone());
            match group {
                Some(group) => page.prefixes.push(group),
                None => page.objects.push((key.clone(), object.clone())),
            }
        }
        Ok(page)
    }

    pub(crate) fn begin_upload(&self, bucket: &str, key: &str, content: Content) -> Result<String, Refusal> {
        let mut state = self.lock();
        state.objects(bucket)?;
        state.clock += 1;
        let id = format!("upload-{:08}", state.clock);
        let upload =
            Upload { bucket: bucket.to_owned(), key: key.to_owned(), content, parts: BTreeMap::new() };
        state.uploads.insert(id.clone(), upload);
        Ok(id)
    }

    /// Stores a part. Returns its ETag.
    pub(crate) fn upload_part(
        &self,
        at: (&str, &str),
        id: &str,
        number: u32,
        bytes: Bytes,
    ) -> Result<String, Refusal> {
        let mut state = self.lock();
        let etag = hex(&md5(&bytes));
        let upload = state.uploads.get_mut(id).filter(|upload| upload.is_at(at)).ok_or(Refusal::NoUpload)?;
        upload.parts.insert(number, (etag.clone(), bytes));
        Ok(etag)
    }

    /// Joins the named parts in the order of their numbers, atomically.
    pub(crate) fn complete_upload(
        &self,
        at: (&str, &str),
        id: &str,
        parts: &[(u32, String)],
        when: &When,
    ) -> Result<Stored, Refusal> {
        let mut state = self.lock();
        let upload = state.uploads.get(id).filter(|upload| upload.is_at(at)).ok_or(Refusal::NoUpload)?;
        let mut content = upload.content.clone();
        let (mut bytes, mut sums) = (Vec::new(), Vec::new());
        let ordered = parts.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b));
        if parts.is_empty() || !ordered {
            return Err(Refusal::BadPart);
        }
        for (number, etag) in parts {
            let (expected, part) = upload.parts.get(number).ok_or(Refusal::BadPart)?;
            if expected != etag {
                return Err(Refusal::BadPart);
            }
            bytes.extend_from_slice(part);
            sums.extend(md5(part));
        }
        content.bytes = bytes.into();
        state.check(at.0, at.1, when)?;
        state.uploads.remove(id);
        // The ETag of a multipart object is the hash of the parts' hashes, followed by the number of parts.
        state.write(at.0, at.1, content, format!("{}-{}", hex(&md5(&sums)), parts.len()))
    }

    pub(crate) fn abort_upload(&self, at: (&str, &str), id: &str) -> Result<(), Refusal> {
        let mut state = self.lock();
        state.uploads.get(id).filter(|upload| upload.is_at(at)).ok_or(Refusal::NoUpload)?;
        state.uploads.remove(id);
        Ok(())
    }

    fn uploads(&self, bucket: &str) -> usize {
        self.lock().uploads.values().filter(|upload| upload.bucket == bucket).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    fn is_at(&self, (bucket, key): (&str, &str)) -> bool {
        self.bucket == bucket && self.key == key
    }
}

impl State {
    fn objects(&self, bucket: &str) -> Result<&BTreeMap<String, Stored>, Refusal> {
        self.buckets.get(bucket).ok_or(Refusal::NoBucket)
    }

    fn objects_mut(&mut self, bucket: &str) -> Result<&mut BTreeMap<String, Stored>, Refusal> {
        self.buckets.get_mut(bucket).ok_or(Refusal::NoBucket)
    }

    fn check(&self, bucket: &str, key: &str, when: &When) -> Result<(), Refusal> {
        let holds = match (when, self.objects(bucket)?.get(key)) {
            (When::Always, _) | (When::Absent, None) | (When::Present, Some(_)) => true,
            (When::Present | When::Etag(_), None) => return Err(Refusal::NoKey),
            (When::Etag(expected), Some(there)) => *expected == there.etag,
            (When::Generation(expected), Some(there)) => *expected == there.generation,
            (When::Absent, Some(_)) | (When::Generation(_), None) => false,
        };
        if holds { Ok(()) } else { Err(Refusal::Condition) }
    }

    fn write(&mut self, bucket: &str, key: &str, content: Content, etag: String) -> Result<Stored, Refusal> {
        self.objects(bucket)?;
        let generation = self.tick(bucket, key);
        let stored = Stored { content, etag, modified: SystemTime::now(), generation };
        self.objects_mut(bucket)?.insert(key.to_owned(), stored.clone());
        Ok(stored)
    }

    fn tick(&mut self, bucket: &str, key: &str) -> u64 {
        self.clock += 1;
        self.changes.insert((bucket.to_owned(), key.to_owned()), self.clock);
        self.clock
    }
}

/// Direct access to one bucket of a server, without HTTP, to inspect and change what is stored. It is not
/// counted.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub(crate) store: Arc<Store>,
    pub(crate) name: String,
}

impl Bucket {
    /// Returns the stored bytes of an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.store.get(&self.name, key).ok().map(|stored| stored.content.bytes)
    }

    /// Writes an object unconditionally. Returns its quoted ETag.
    ///
    /// # Panics
    /// If the server has no bucket of this name.
    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) -> String {
        let content = Content { bytes: bytes.into(), ..Content::default() };
        let stored = self.store.put(&self.name, key, content, &When::Always).expect("a bucket of this name");
        format!("\"{}\"", stored.etag)
    }

    /// Removes an object. Returns whether it existed.
    ///
    /// # Panics
    /// If the server has no bucket of this name.
    pub fn delete(&self, key: &str) -> bool {
        self.store.delete(&self.name, key, &When::Always).expect("a bucket of this name")
    }

    /// Returns all keys that begin with `prefix`, in byte order.
    ///
    /// # Panics
    /// If the server has no bucket of this name.
    #[must_use]
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let query = Query { prefix: prefix.to_owned(), limit: usize::MAX, ..Query::default() };
        let page = self.store.list(&self.name, &query).expect("a bucket of this name");
        page.objects.into_iter().map(|(key, _)| key).collect()
    }

    /// Returns the number of multipart uploads that were started and neither completed nor aborted.
    #[must_use]
    pub fn open_uploads(&self) -> usize {
        self.store.uploads(&self.name)
    }
}
