//! A server in memory with a configurable behaviour, in the virtual time of a paused runtime: requests that
//! are sent together take one latency together, however fast the machine is.
#![allow(clippy::disallowed_methods, reason = "the clock of the paused runtime is the test's own")]

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream};
use object_store::{
    Attributes, CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    client::{HttpError, HttpErrorKind},
    list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore},
    path::Path,
};
use pflow_backend::{BoxStream, Bytes, DateTime, Environment, Identity, ManualEnvironment, Utc, async_trait};
use tokio::time::{Instant, sleep};

use super::server::answer;
use crate::{ObjectBackend, ObjectOptions, connected::Connected, place::Place};

/// The behaviour of a server; by default correct and without latency.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Nature {
    pub(super) latency: Duration,
    /// Every conditional create is answered 412.
    pub(super) refuses_creates: bool,
    /// Every conditional update is answered 412.
    pub(super) refuses_updates: bool,
    /// ETags are marked as weak.
    pub(super) is_weak: bool,
    pub(super) ignores_absent: bool,
    pub(super) ignores_is: bool,
    /// A write of an object within a second of the previous one is answered 429.
    pub(super) one_write_a_second: bool,
    /// This share of the writes is cut, and lands 4 seconds later.
    pub(super) lands_late: f64,
    /// They land at any moment within these 4 seconds.
    pub(super) lands_any_time: bool,
    /// This share of the creates (or updates) that lost a race is applied and acknowledged.
    pub(super) loses_creates: f64,
    pub(super) loses_updates: f64,
    /// These are drawn for each race and not for each loser.
    pub(super) loses_whole_races: bool,
}

/// A handle on the server.
pub(super) fn backend(server: &Arc<Simulated>, environment: Arc<Virtual>) -> ObjectBackend {
    let place = Place {
        url: "s3://plans/p".parse().unwrap(),
        endpoint: "https://test.invalid".to_owned(),
        region: None,
        credentials: crate::credentials::Source::default(),
    };
    let connected = Connected { service: server.clone(), place, foreign: Arc::default() };
    ObjectBackend::over(connected, ObjectOptions::default(), environment)
}

/// The virtual clock, and seeded randomness.
#[derive(Debug)]
pub(super) struct Virtual {
    began: Instant,
    random: ManualEnvironment,
}

impl Virtual {
    pub(super) fn new(seed: u64) -> Self {
        Self { began: Instant::now(), random: ManualEnvironment::new(seed) }
    }
}

#[async_trait]
impl Environment for Virtual {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::from_std(self.began.elapsed()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        sleep(duration).await;
    }

    fn random(&self) -> u64 {
        self.random.random()
    }

    fn identity(&self) -> &Identity {
        self.random.identity()
    }
}

pub(super) struct Simulated {
    nature: Nature,
    random: ManualEnvironment,
    seed: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Stored>,
    /// Writes that were cut, and when they land.
    late: Vec<(Instant, Write)>,
    last_writes: BTreeMap<String, Instant>,
    requests: Vec<(Instant, String)>,
    /// The number of puts and deletes that were applied: what a bucket with object versions keeps.
    puts: u64,
    deletes: u64,
    /// The number of writes that landed late, and how many of those were applied.
    landed_late: u64,
    changed_late: u64,
}

#[derive(Clone)]
struct Stored {
    bytes: Bytes,
    attributes: Attributes,
    number: u64,
}

struct Write {
    name: String,
    /// None for a delete.
    put: Option<(Bytes, Attributes, PutMode)>,
}

impl Simulated {
    pub(super) fn new(nature: Nature, seed: u64) -> Arc<Self> {
        Arc::new(Self { nature, random: ManualEnvironment::new(seed), seed, state: Mutex::default() })
    }

    /// The number of requests, and of the moments at which they arrived.
    pub(super) fn cost(&self) -> (usize, usize) {
        let state = self.lock();
        let moments: std::collections::BTreeSet<_> = state.requests.iter().map(|(at, _)| *at).collect();
        (state.requests.len(), moments.len())
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.lock().requests.iter().map(|(_, request)| request.clone()).collect()
    }

    /// The number of puts and deletes that were applied.
    pub(super) fn changes(&self) -> (u64, u64) {
        let state = self.lock();
        (state.puts, state.deletes)
    }

    /// The number of writes that landed late, and how many of those were applied.
    pub(super) fn landed_late(&self) -> (u64, u64) {
        let state = self.lock();
        (state.landed_late, state.changed_late)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Records the arrival of a request.
    fn arrive(&self, method: &str, name: &str) {
        self.lock().requests.push((Instant::now(), format!("{method} {name}")));
    }

    /// Waits for the latency, and applies the writes that land meanwhile.
    async fn carry_out(&self) -> MutexGuard<'_, State> {
        sleep(self.nature.latency).await;
        let mut state = self.lock();
        let now = Instant::now();
        while let Some(at) = state.late.iter().position(|(lands, _)| *lands <= now) {
            let (_, write) = state.late.remove(at);
            let holds = write.put.as_ref().is_none_or(|(_, _, mode)| self.holds(&state, &write.name, mode));
            state.landed_late += 1;
            if holds {
                state.changed_late += 1;
                state.apply(write);
            }
        }
        state
    }

    fn holds(&self, state: &State, name: &str, mode: &PutMode) -> bool {
        let current = state.objects.get(name).map(|stored| self.e_tag(stored.number));
        match mode {
            PutMode::Overwrite => true,
            PutMode::Create if self.nature.ignores_absent => true,
            PutMode::Create => current.is_none() && !self.nature.refuses_creates,
            PutMode::Update(_) if self.nature.ignores_is => true,
            PutMode::Update(version) => {
                let wanted = version.e_tag.clone().unwrap_or_default();
                let is_there = current.is_some_and(|it| it.trim_start_matches("W/") == wanted);
                is_there && !self.nature.refuses_updates && !self.nature.is_weak
            }
        }
    }

    fn e_tag(&self, number: u64) -> String {
        format!("{}\"{number}\"", if self.nature.is_weak { "W/" } else { "" })
    }

    /// Whether the write is cut, and lands later.
    fn is_cut(&self, write: impl FnOnce() -> Write) -> bool {
        let cut = self.random.jitter() < self.nature.lands_late;
        if cut {
            let share = if self.nature.lands_any_time { self.random.jitter() } else { 1.0 };
            self.lock().late.push((Instant::now() + Duration::from_secs(4).mul_f64(share), write()));
        }
        cut
    }

    /// Whether a loser of the race for this state is acknowledged too.
    fn loses_race(&self, name: &str, mode: &PutMode, base: Option<u64>) -> bool {
        let share = match mode {
            PutMode::Create => self.nature.loses_creates,
            PutMode::Update(_) => self.nature.loses_updates,
            PutMode::Overwrite => 0.0,
        };
        if !self.nature.loses_whole_races {
            return self.random.jitter() < share;
        }
        let mut seed = self.seed ^ base.unwrap_or_default().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in name.bytes() {
            seed = seed.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte);
        }
        ManualEnvironment::new(seed).jitter() < share
    }

    async fn write(&self, write: Write) -> object_store::Result<PutResult> {
        let name = write.name.clone();
        let mode = write.put.as_ref().map_or(PutMode::Overwrite, |(_, _, mode)| mode.clone());
        let (held, base) = {
            let state = self.lock();
            (self.holds(&state, &name, &mode), state.objects.get(&name).map(|stored| stored.number))
        };
        let mut state = self.carry_out().await;
        let now = Instant::now();
        let last = state.last_writes.get(&name);
        let is_soon = last.is_some_and(|last| now.duration_since(*last) < Duration::from_secs(1));
        if self.nature.one_write_a_second && is_soon {
            return Err(answer(429, &name));
        }
        let has_lost = !self.holds(&state, &name, &mode);
        if has_lost && (!held || !self.loses_race(&name, &mode, base)) {
            return Err(answer(412, &name));
        }
        state.last_writes.insert(name, now);
        let e_tag = state.apply(write).map(|number| self.e_tag(number));
        Ok(PutResult { e_tag, version: None, extensions: Default::default() })
    }
}

impl State {
    /// Applies a write. Returns the number of the new state for a put.
    fn apply(&mut self, write: Write) -> Option<u64> {
        let Some((bytes, attributes, _)) = write.put else {
            self.deletes += 1;
            self.objects.remove(&write.name);
            return None;
        };
        self.puts += 1;
        let number = self.puts;
        self.objects.insert(write.name, Stored { bytes, attributes, number });
        Some(number)
    }
}

/// The error for a connection that was cut.
fn cut() -> object_store::Error {
    let cause = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let source = Box::new(HttpError::new(HttpErrorKind::Interrupted, cause));
    object_store::Error::Generic { store: "S3", source }
}

#[async_trait]
impl ObjectStore for Simulated {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let name = location.to_string();
        self.arrive("PUT", &name);
        let bytes = Bytes::from(payload);
        let write = || Write {
            name: name.clone(),
            put: Some((bytes.clone(), options.attributes.clone(), options.mode.clone())),
        };
        if self.is_cut(write) {
            sleep(self.nature.latency).await;
            return Err(cut());
        }
        self.write(write()).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let name = location.as_ref();
        self.arrive(if options.head { "HEAD" } else { "GET" }, name);
        let stored = self.carry_out().await.objects.get(name).cloned();
        let Some(Stored { bytes, attributes, number }) = stored else { return Err(answer(404, name)) };
        let size = bytes.len() as u64;
        let range = match options.range.filter(|_| !options.head) {
            Some(range) => range.as_range(size).map_err(|_| answer(416, name))?,
            None => 0..size,
        };
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
        let sent = bytes.slice(start..end);
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: DateTime::UNIX_EPOCH,
            size,
            e_tag: Some(self.e_tag(number)),
            version: None,
        };
        let payload = GetResultPayload::Stream(stream::iter([Ok(sent)]).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions: Default::default() })
    }

    fn delete_stream(
        &self,
        mut locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        // The one location is available at once.
        let location = locations.next().now_or_never().flatten().unwrap().unwrap();
        let name = location.to_string();
        self.arrive("DELETE", &name);
        let write = || Write { name: name.clone(), put: None };
        // The trait requires a stream that borrows nothing, so a delete is applied when it is sent.
        let is_cut = self.is_cut(write);
        let now = Instant::now();
        let mut state = self.lock();
        let last = state.last_writes.get(&name);
        let is_soon = last.is_some_and(|last| now.duration_since(*last) < Duration::from_secs(1));
        let done = if is_cut {
            Err(cut())
        } else if self.nature.one_write_a_second && is_soon {
            Err(answer(429, &name))
        } else {
            state.last_writes.insert(name.clone(), now);
            state.apply(write());
            Ok(location)
        };
        let latency = self.nature.latency;
        stream::once(async move {
            sleep(latency).await;
            done
        })
        .boxed()
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        unimplemented!("nothing is uploaded in parts")
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        unimplemented!("listings are paged")
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> object_store::Result<ListResult> {
        unimplemented!("listings are paged")
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> object_store::Result<()> {
        unimplemented!("nothing is copied")
    }
}

#[async_trait]
impl PaginatedListStore for Simulated {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        options: PaginatedListOptions,
    ) -> object_store::Result<PaginatedListResult> {
        let below = prefix.unwrap_or_default();
        self.arrive("LIST", below);
        let state = self.carry_out().await;
        let offset = options.offset.unwrap_or_default();
        let lines = state.objects.iter().filter(|(name, _)| name.starts_with(below) && **name > offset);
        let meta = |(name, stored): (&String, &Stored)| ObjectMeta {
            location: Path::parse(name).unwrap(),
            last_modified: DateTime::UNIX_EPOCH,
            size: stored.bytes.len() as u64,
            e_tag: None,
            version: None,
        };
        let objects = lines.map(meta).collect();
        let result = ListResult { common_prefixes: Vec::new(), objects, extensions: Default::default() };
        Ok(PaginatedListResult { result, page_token: None })
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Simulated")
    }
}

impl fmt::Display for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Simulated")
    }
}
