use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, Utc};
use futures::FutureExt;
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    list::{PaginatedListOptions, PaginatedListResult},
    path::Path,
};
use pflow_backend::{
    Bytes, Environment, Error, ErrorKind, Excerpt, Key, Meta, Object, Precondition, Result, Version,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    attempts::Attempts,
    connected::{Connected, Service},
    doing::Doing,
    failure,
    fault::{Answer, Fault},
    foreign::Foreign,
    options::ObjectOptions,
    outage::Outage,
    place::Place,
    version::{Form, Tokens},
};

/// Sends single requests, and reads with retries, to one place. Batches are handled elsewhere.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) service: Arc<dyn Service>,
    pub(crate) place: Place,
    pub(crate) options: ObjectOptions,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) tokens: Tokens,
    /// Names that listings skip.
    pub(crate) foreign: Arc<Foreign>,
    turns: Semaphore,
    outage: Outage,
    /// Whether some answer has shown that the bucket exists. Until then an answer without an error code
    /// ("404" to a HEAD) does not distinguish a missing key from a missing bucket.
    bucket_seen: AtomicBool,
}

/// Why a key could not be read.
#[derive(Debug)]
pub(crate) enum Unread {
    Fault(Fault),
    /// The server gives the object no version, so that no condition can name it.
    Nameless,
}

/// The answer to the request of a range.
enum RangeAnswer {
    /// The bytes of the range that exist.
    Bytes(ObjectMeta, Bytes),
    /// The range begins at or after the end.
    Nothing,
    /// Not the range: the server does not serve ranges as requested.
    Whole,
}

impl From<Fault> for Unread {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Unread {
    pub(crate) fn error(&self, place: &Place, doing: Doing<'_>) -> Error {
        match self {
            Self::Fault(fault) => fault.error(place, doing),
            Self::Nameless => {
                let sentence = format!(
                    "The endpoint {} gives objects no ETag or generation, so that no write can be made conditional (to {doing} in {})",
                    place.endpoint, place.url
                );
                Error::not_applied(ErrorKind::Unsafe, sentence)
            }
        }
    }
}

impl Client {
    pub(crate) fn new(
        Connected { service, place, foreign }: Connected,
        options: ObjectOptions,
        environment: Arc<dyn Environment>,
    ) -> Self {
        let tokens = Tokens::of(place.url.scheme());
        let turns = Semaphore::new(options.max_in_flight.min(Semaphore::MAX_PERMITS));
        let bucket_seen = AtomicBool::new(false);
        let outage = Outage::default();
        Self { service, place, options, environment, tokens, foreign, turns, outage, bucket_seen }
    }

    /// Waits for a turn. An operation holds its turn for all of its requests and for the pauses between them,
    /// so that a failing server gets fewer requests and no operation spends its time in a queue.
    ///
    /// Requests are signed with the time. `object_store` reads the system clock in a way that panics before
    /// 1970, and no server would accept such a time.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        let now = self.environment.now();
        if now < DateTime::<Utc>::UNIX_EPOCH {
            let sentence =
                format!("Requests to {} cannot be signed, as the clock is before 1970 ({now})", self.place);
            return Err(Error::not_applied(ErrorKind::Denied, sentence));
        }
        let closed = |_| Error::not_applied(ErrorKind::Poisoned, "The queue of requests is closed");
        self.turns.acquire().await.map_err(closed)
    }

    pub(crate) fn attempts(&self) -> Attempts<'_> {
        Attempts::begin(&*self.environment, &self.options).telling(&self.outage, &self.place.endpoint)
    }

    /// The common beginning of all names below the place: the prefix and a slash, or nothing.
    pub(crate) fn root(&self) -> String {
        self.place.url.prefix().map(|prefix| format!("{prefix}/")).unwrap_or_default()
    }

    pub(crate) fn path(&self, key: &Key) -> Path {
        // A segment of a key has no character that `Path` would encode.
        key.segments().fold(self.place.url.root(), |path, segment| path.join(segment))
    }

    /// Reads the object, with bytes, version and time from the same answer.
    pub(crate) async fn get(
        &self,
        attempts: &mut Attempts<'_>,
        key: &Key,
    ) -> std::result::Result<Option<Object>, Unread> {
        let path = self.path(key);
        let one = || async {
            let answer = self.service.get_opts(&path, GetOptions::default()).await.map_err(fault)?;
            let meta = answer.meta.clone();
            let bytes = answer.bytes().await.map_err(fault)?;
            // A connection that ends early is an error in HTTP, but not behind every proxy.
            if bytes.len() as u64 != meta.size { Err(Fault::Cut) } else { Ok((meta, bytes)) }
        };
        let Some((meta, bytes)) = self.look(attempts, one).await? else { return Ok(None) };
        Ok(Some(Object::new(self.meta(key, &meta)?, bytes)))
    }

    /// Reads a range of the object, with bytes, size and version from one answer.
    ///
    /// A server answers 416 if the range begins at or after the end. That answer has no version, so the
    /// metadata is read after it. If the object has grown meanwhile, the range is requested again. An empty
    /// range cannot be requested, so the metadata is read at once.
    ///
    /// If a server answers with the whole object or with another range, the whole object is read and cut.
    pub(crate) async fn get_range(
        &self,
        attempts: &mut Attempts<'_>,
        key: &Key,
        range: Range<u64>,
    ) -> std::result::Result<Option<Excerpt>, Unread> {
        // No object has more bytes, and not every server can parse a larger number.
        let asked = range.start..range.end.min(i64::MAX.unsigned_abs());
        loop {
            if !asked.is_empty() {
                match self.part(attempts, key, &asked).await? {
                    None => return Ok(None),
                    Some(RangeAnswer::Whole) => {
                        return Ok(self.get(attempts, key).await?.map(|object| object.excerpt(range)));
                    }
                    Some(RangeAnswer::Bytes(meta, bytes)) => {
                        let Meta { size, version, .. } = self.meta(key, &meta)?;
                        return Ok(Some(Excerpt::new(bytes, size, Some(version))));
                    }
                    Some(RangeAnswer::Nothing) => {}
                }
            }
            let Some(meta) = self.head(attempts, key).await? else { return Ok(None) };
            if asked.is_empty() || meta.size <= asked.start {
                return Ok(Some(Excerpt::new("", meta.size, Some(meta.version))));
            }
            if !attempts.pause().await {
                return Err(Fault::Answer(Answer::of_status(416)).into());
            }
        }
    }

    /// Requests a range that is not empty; none if the key does not exist.
    async fn part(
        &self,
        attempts: &mut Attempts<'_>,
        key: &Key,
        range: &Range<u64>,
    ) -> std::result::Result<Option<RangeAnswer>, Fault> {
        let path = self.path(key);
        let one = || async {
            let range = GetRange::Bounded(range.clone());
            let options = GetOptions { range: Some(range.clone()), ..GetOptions::default() };
            let answer = match self.service.get_opts(&path, options).await.map_err(fault) {
                Ok(answer) => answer,
                Err(Fault::Answer(answer)) if answer.status == 416 => return Ok(RangeAnswer::Nothing),
                // object_store refuses an answer that is not the range that was requested.
                Err(Fault::Garbled) => return Ok(RangeAnswer::Whole),
                Err(fault) => return Err(fault),
            };
            if range.as_range(answer.meta.size).ok() != Some(answer.range.clone()) {
                return Ok(RangeAnswer::Whole);
            }
            let (meta, wanted) = (answer.meta.clone(), answer.range.end - answer.range.start);
            let bytes = answer.bytes().await.map_err(fault)?;
            // A connection that ends early is an error in HTTP, but not behind every proxy.
            if bytes.len() as u64 != wanted { Err(Fault::Cut) } else { Ok(RangeAnswer::Bytes(meta, bytes)) }
        };
        self.look(attempts, one).await
    }

    /// Reads the metadata of the object without its bytes.
    pub(crate) async fn head(
        &self,
        attempts: &mut Attempts<'_>,
        key: &Key,
    ) -> std::result::Result<Option<Meta>, Unread> {
        let path = self.path(key);
        let one = || async {
            let answer =
                self.service.get_opts(&path, GetOptions { head: true, ..GetOptions::default() }).await;
            Ok(answer.map_err(fault)?.meta)
        };
        let Some(meta) = self.look(attempts, one).await? else { return Ok(None) };
        Ok(Some(self.meta(key, &meta)?))
    }

    fn meta(&self, key: &Key, meta: &ObjectMeta) -> std::result::Result<Meta, Unread> {
        let version = self.tokens.version(meta.e_tag.as_deref(), meta.version.as_deref());
        let version = version.ok_or(Unread::Nameless)?;
        Ok(Meta::new(key.clone(), meta.size, version, meta.last_modified))
    }

    /// Retries a read; none if the key does not exist.
    async fn look<T, F>(
        &self,
        attempts: &mut Attempts<'_>,
        one: impl Fn() -> F,
    ) -> std::result::Result<Option<T>, Fault>
    where
        F: Future<Output = std::result::Result<T, Fault>> + Send,
    {
        match self.repeat(attempts, one).await {
            Ok(found) => Ok(Some(found)),
            Err(Fault::Answer(answer)) if answer.status == 404 && !answer.lacks_bucket() => {
                self.check_bucket(attempts, &answer).await.map(|()| None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Checks that a 404 is about the key: this is certain only once the bucket is known to exist.
    async fn check_bucket(
        &self,
        attempts: &mut Attempts<'_>,
        answer: &Answer,
    ) -> std::result::Result<(), Fault> {
        if answer.lacks_key() {
            self.bucket_seen.store(true, Ordering::Relaxed);
        }
        if self.bucket_seen.load(Ordering::Relaxed) {
            return Ok(());
        }
        let root = self.root();
        let one = || self.page(&root, PaginatedListOptions { max_keys: Some(1), ..Default::default() });
        self.repeat(attempts, one).await.map(drop)
    }

    /// Retries an operation that changes nothing until it succeeds, fails permanently, or its time is over.
    pub(crate) async fn repeat<T, F>(
        &self,
        attempts: &mut Attempts<'_>,
        one: impl Fn() -> F,
    ) -> std::result::Result<T, Fault>
    where
        F: Future<Output = std::result::Result<T, Fault>> + Send,
    {
        loop {
            let fault = match attempts.one(one().boxed()).await {
                Ok(found) => {
                    self.bucket_seen.store(true, Ordering::Relaxed);
                    return Ok(found);
                }
                Err(fault) => fault,
            };
            if !attempts.again(&fault).await {
                return Err(fault);
            }
        }
    }

    /// Reads one page of a listing, with one request.
    pub(crate) async fn page(
        &self,
        below: &str,
        options: PaginatedListOptions,
    ) -> std::result::Result<PaginatedListResult, Fault> {
        let below = (!below.is_empty()).then_some(below);
        self.service.list_paginated(below, options).await.map_err(fault)
    }

    /// Sends one PUT. A swap sends its version in this form. Returns the version if the answer has one.
    pub(crate) async fn put(
        &self,
        key: &Key,
        bytes: &Bytes,
        when: &Precondition,
        form: Form,
    ) -> std::result::Result<Option<Version>, Fault> {
        let mode = match when {
            Precondition::Always => PutMode::Overwrite,
            Precondition::Absent => PutMode::Create,
            Precondition::Is(version) => PutMode::Update(self.tokens.condition(version, form)),
        };
        let payload = PutPayload::from_bytes(bytes.clone());
        let answer = self.service.put_opts(&self.path(key), payload, PutOptions::from(mode)).await;
        let answer = answer.map_err(fault)?;
        self.bucket_seen.store(true, Ordering::Relaxed);
        if matches!(when, Precondition::Is(_)) {
            self.tokens.proven(form);
        }
        Ok(self.tokens.version(answer.e_tag.as_deref(), answer.version.as_deref()))
    }

    /// Sends one DELETE. Removing a missing key succeeds; S3 answers that itself, GCS and Azure answer 404.
    pub(crate) async fn delete(&self, key: &Key) -> std::result::Result<(), Fault> {
        match self.service.delete(&self.path(key)).await.map_err(fault) {
            Err(Fault::Answer(answer)) if answer.status == 404 && !answer.lacks_bucket() => Ok(()),
            other => other,
        }
    }
}

pub(crate) fn fault(error: object_store::Error) -> Fault {
    failure::fault(&error)
}
