//! The objects behind the servers: one mutex, so that every operation happens at one moment.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use md5::{Digest, Md5};

/// What is put.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    pub(crate) bytes: Bytes,
    pub(crate) content_type: Option<String>,
    /// User metadata by name, without the protocol's prefix.
    pub(crate) metadata: HashMap<String, String>,
}

/// What is there.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) content: Content,
    /// Without quotes. Of the content alone, so that it comes back with it, as on real servers.
    pub(crate) etag: String,
    pub(crate) modified: SystemTime,
    /// The number of the write that made it: never zero, never the same again, also for the same bytes. GCS's
    /// generation.
    pub(crate) generation: u64,
}

/// When a write may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    Absent,
    Present,
    Etag(String),
    Generation(u64),
}

/// Why something did not happen.
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
    /// Where the next page begins, when there is one: behind this name.
    pub(crate) next: Option<String>,
}

/// What a page is of.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) prefix: String,
    pub(crate) delimiter: Option<String>,
    /// Names up to this one, itself included, are left out.
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
    /// The number of the last change of every key, removals included.
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

    /// Checks and writes at one moment.
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

    /// Whether a write under this condition could happen now.
    pub(crate) fn check(&self, bucket: &str, key: &str, when: &When) -> Result<(), Refusal> {
        self.lock().check(bucket, key, when)
    }

    /// The number of the key's last change; zero when there was none.
    pub(crate) fn changed(&self, bucket: &str, key: &str) -> u64 {
        self.lock().changes.get(&(bucket.to_owned(), key.to_owned())).copied().unwrap_or(0)
    }

    /// Removes one object and says whether there was one.
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

    /// One page, in byte order of the keys.
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
            // A group that was given, or that a page before ended with, is not given again.
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

    /// Keeps a part and gives its ETag.
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

    /// Joins the parts that are named, in the order of their numbers, at one moment.
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
        // The ETag of an object from parts is that of the parts' sums, and names their number.
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

/// One bucket of a server, past HTTP: to look at what is stored and to tamper with it. Nothing here is
/// counted.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub(crate) store: Arc<Store>,
    pub(crate) name: String,
}

impl Bucket {
    /// The bytes of an object, as they are stored.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.store.get(&self.name, key).ok().map(|stored| stored.content.bytes)
    }

    /// Writes an object without a condition and gives its quoted ETag.
    ///
    /// # Panics
    /// When the server has no bucket of this name.
    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) -> String {
        let content = Content { bytes: bytes.into(), ..Content::default() };
        let stored = self.store.put(&self.name, key, content, &When::Always).expect("a bucket of this name");
        format!("\"{}\"", stored.etag)
    }

    /// Removes an object and says whether there was one.
    ///
    /// # Panics
    /// When the server has no bucket of this name.
    pub fn delete(&self, key: &str) -> bool {
        self.store.delete(&self.name, key, &When::Always).expect("a bucket of this name")
    }

    /// All keys that begin with `prefix`, in byte order.
    ///
    /// # Panics
    /// When the server has no bucket of this name.
    #[must_use]
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let query = Query { prefix: prefix.to_owned(), limit: usize::MAX, ..Query::default() };
        let page = self.store.list(&self.name, &query).expect("a bucket of this name");
        page.objects.into_iter().map(|(key, _)| key).collect()
    }

    /// How many multipart uploads were begun and neither completed nor aborted.
    #[must_use]
    pub fn open_uploads(&self) -> usize {
        self.store.uploads(&self.name)
    }
}
