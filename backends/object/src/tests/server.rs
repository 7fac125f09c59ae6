//! A server in memory that answers as planned: by the plan for each request in turn, then normally.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use futures::{FutureExt, StreamExt, stream};
use object_store::{
    Attributes, CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore},
    path::Path,
};
use pflow_backend::{BoxStream, Bytes, DateTime, async_trait};

/// The handling of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Applied and answered.
    Plainly,
    /// Applied, but answered with this status.
    DoneAndAnswered(u16),
    /// Not applied, and answered with this status.
    Answered(u16),
    /// Not applied: the server refuses the credentials, and new ones may be available.
    Stale,
    /// Applied, without an answer.
    DoneWithoutAnswer,
    /// Not applied, without an answer.
    NoAnswer,
    /// Applied twice, as behind a proxy that repeats requests; the second answer arrives.
    DoneTwice,
    /// Applied, and before the answer arrives another client stores these bytes.
    DoneAndReplaced(&'static str, u16),
    /// Applied, and the answer has no version.
    DoneNameless,
    /// Applied, and the body is truncated.
    Short,
    /// Applied, and before the answer arrives another client removes the object; the answer has no version.
    DoneNamelessAndRemoved,
    /// The whole object is the answer to a range.
    IgnoresTheRange,
}

/// The form in which the server expects `If-Match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMatch {
    Quoted,
    Bare,
}

pub(super) struct Server {
    state: Mutex<State>,
    if_match: IfMatch,
    /// Whether this server returns ETags at all.
    names_states: bool,
    /// Whether the ETags are marked as weak.
    marks_weak: bool,
    page: usize,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, (Bytes, u64)>,
    writes: u64,
    plans: VecDeque<(&'static str, Plan)>,
    requests: Vec<String>,
    /// The entries of listings instead of the objects, as name and size, in this order.
    lines: Vec<(String, u64)>,
}

impl Server {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self::plain())
    }

    fn plain() -> Self {
        Self {
            state: Mutex::default(),
            if_match: IfMatch::Quoted,
            names_states: true,
            marks_weak: false,
            page: 2,
        }
    }

    pub(super) fn wanting(if_match: IfMatch) -> Arc<Self> {
        Arc::new(Self { if_match, ..Self::plain() })
    }

    /// A server behind a proxy that compresses: every ETag is weak, so that no update matches.
    pub(super) fn weak() -> Arc<Self> {
        Arc::new(Self { marks_weak: true, ..Self::plain() })
    }

    pub(super) fn nameless() -> Arc<Self> {
        Arc::new(Self { names_states: false, ..Self::plain() })
    }

    /// Plans the next requests with this method (`PUT`, `GET`, `HEAD`, `DELETE`, `LIST`).
    pub(super) fn plan(&self, method: &'static str, plans: impl IntoIterator<Item = Plan>) {
        self.lock().plans.extend(plans.into_iter().map(|plan| (method, plan)));
    }

    /// Removes all plans.
    pub(super) fn forget_plans(&self) {
        self.lock().plans.clear();
    }

    /// Stores an object, as another client.
    pub(super) fn store(&self, name: &str, bytes: &'static str) {
        self.lock().store(name, Bytes::from_static(bytes.as_bytes()));
    }

    pub(super) fn holds(&self, name: &str) -> Option<String> {
        self.lock().objects.get(name).map(|(bytes, _)| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Sets entries of listings that are not objects, or are out of order.
    pub(super) fn show(&self, lines: &[(&str, u64)]) {
        self.lock().lines = lines.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
    }

    /// Returns every request so far and clears the list.
    pub(super) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().requests)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn begin(&self, method: &'static str, name: &str) -> Plan {
        let mut state = self.lock();
        state.requests.push(format!("{method} {name}"));
        let planned = state.plans.iter().position(|(of, _)| *of == method);
        planned.and_then(|at| state.plans.remove(at)).map_or(Plan::Plainly, |(_, plan)| plan)
    }

    fn e_tag(&self, number: u64) -> Option<String> {
        let mark = if self.marks_weak { "W/" } else { "" };
        self.names_states.then(|| format!("{mark}\"{number}\""))
    }

    fn write(&self, name: &str, bytes: &Bytes, mode: &PutMode) -> object_store::Result<PutResult> {
        let mut state = self.lock();
        let current = state.objects.get(name).map(|(_, number)| *number);
        let holds = match mode {
            PutMode::Overwrite => true,
            PutMode::Create => current.is_none(),
            PutMode::Update(version) => {
                let wanted = current.map(|number| match self.if_match {
                    IfMatch::Quoted => format!("\"{number}\""),
                    IfMatch::Bare => number.to_string(),
                });
                wanted.is_some() && wanted == version.e_tag && !self.marks_weak
            }
        };
        if !holds {
            return Err(answer(412, name));
        }
        let number = state.store(name, bytes.clone());
        Ok(PutResult { e_tag: self.e_tag(number), version: None, extensions: Default::default() })
    }
}

impl State {
    fn store(&mut self, name: &str, bytes: Bytes) -> u64 {
        self.writes += 1;
        self.objects.insert(name.to_owned(), (bytes, self.writes));
        self.writes
    }
}

/// The error that object_store returns for a status.
pub(super) fn answer(status: u16, name: &str) -> object_store::Error {
    let (path, source) = (name.to_owned(), "the body says hunter2".into());
    match status {
        401 => object_store::Error::Unauthenticated { path, source },
        403 => object_store::Error::PermissionDenied { path, source },
        404 => object_store::Error::NotFound { path, source },
        409 => object_store::Error::AlreadyExists { path, source },
        412 => object_store::Error::Precondition { path, source },
        status => {
            let failure = crate::failure::Failure::Answered(crate::fault::Answer::of_status(status));
            object_store::Error::Generic { store: "S3", source: Box::new(failure) }
        }
    }
}

fn stale() -> object_store::Error {
    let failure = crate::failure::Failure::Stale(crate::fault::Answer::of_status(401));
    object_store::Error::Generic { store: "S3", source: Box::new(failure) }
}

#[async_trait]
impl ObjectStore for Server {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let (name, bytes, mode) = (location.as_ref(), Bytes::from(payload), options.mode);
        match self.begin("PUT", name) {
            Plan::Plainly | Plan::Short | Plan::IgnoresTheRange => self.write(name, &bytes, &mode),
            Plan::Answered(status) => Err(answer(status, name)),
            Plan::Stale => Err(stale()),
            Plan::DoneAndAnswered(status) => {
                self.write(name, &bytes, &mode)?;
                Err(answer(status, name))
            }
            Plan::NoAnswer => std::future::pending().await,
            Plan::DoneWithoutAnswer => {
                self.write(name, &bytes, &mode)?;
                std::future::pending().await
            }
            Plan::DoneTwice => {
                self.write(name, &bytes, &mode)?;
                self.write(name, &bytes, &mode)
            }
            Plan::DoneAndReplaced(bytes_of_another, status) => {
                self.write(name, &bytes, &mode)?;
                self.store(name, bytes_of_another);
                Err(answer(status, name))
            }
            plan @ (Plan::DoneNameless | Plan::DoneNamelessAndRemoved) => {
                let done = self.write(name, &bytes, &mode)?;
                if plan == Plan::DoneNamelessAndRemoved {
                    self.lock().objects.remove(name);
                }
                Ok(PutResult { e_tag: Some(String::new()), ..done })
            }
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let name = location.as_ref();
        let asked = options.range.as_ref().filter(|_| !options.head);
        let request = asked.map_or_else(|| name.to_owned(), |range| format!("{name} {range}"));
        let plan = self.begin(if options.head { "HEAD" } else { "GET" }, &request);
        match plan {
            Plan::Answered(status) | Plan::DoneAndAnswered(status) => return Err(answer(status, name)),
            Plan::Stale => return Err(stale()),
            Plan::NoAnswer | Plan::DoneWithoutAnswer => std::future::pending().await,
            _ => {}
        }
        let Some((bytes, number)) = self.lock().objects.get(name).cloned() else {
            return Err(answer(404, name));
        };
        let size = bytes.len() as u64;
        let e_tag = self.e_tag(number);
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: DateTime::UNIX_EPOCH,
            size,
            e_tag: e_tag.filter(|_| plan != Plan::DoneNameless),
            version: None,
        };
        let range = match asked {
            // object_store gives an error of its own for an answer that is not 206.
            Some(_) if plan == Plan::IgnoresTheRange => {
                let source = "Received non-partial response when range requested".into();
                return Err(object_store::Error::Generic { store: "S3", source });
            }
            Some(range) => range.as_range(size).map_err(|_| answer(416, name))?,
            None => 0..size,
        };
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
        let bytes = bytes.slice(start..end);
        let sent = if plan == Plan::Short { bytes.slice(..bytes.len() / 2) } else { bytes };
        let payload = GetResultPayload::Stream(stream::iter([Ok(sent)]).boxed());
        let (attributes, extensions) = (Attributes::default(), Default::default());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    fn delete_stream(
        &self,
        mut locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        // The one location is available at once.
        let location = locations.next().now_or_never().flatten().unwrap().unwrap();
        let name = location.to_string();
        let plan = self.begin("DELETE", &name);
        let remove = || self.lock().objects.remove(&name);
        let done = match plan {
            Plan::Answered(status) => Err(answer(status, &name)),
            Plan::DoneAndAnswered(status) => {
                remove();
                Err(answer(status, &name))
            }
            _ => remove().map(|_| location).ok_or_else(|| answer(404, &name)),
        };
        stream::iter([done]).boxed()
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
impl PaginatedListStore for Server {
    /// Pages of `page` entries. The token is the number of entries before the page.
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        options: PaginatedListOptions,
    ) -> object_store::Result<PaginatedListResult> {
        let below = prefix.unwrap_or_default();
        let token = options.page_token.unwrap_or_default();
        match self.begin("LIST", &format!("{below} {token}")) {
            Plan::Answered(status) | Plan::DoneAndAnswered(status) => return Err(answer(status, below)),
            Plan::NoAnswer => std::future::pending().await,
            _ => {}
        }
        let state = self.lock();
        let objects = state.objects.iter().map(|(name, (bytes, _))| (name.clone(), bytes.len() as u64));
        let lines: Vec<_> = if state.lines.is_empty() { objects.collect() } else { state.lines.clone() };
        let offset = options.offset.unwrap_or_default();
        let lines = lines.into_iter().filter(|(name, _)| name.starts_with(below) && *name > offset);
        let skip: usize = token.parse().unwrap_or(0);
        let lines: Vec<_> = lines.skip(skip).collect();
        let page_token = (lines.len() > self.page).then(|| (skip + self.page).to_string());
        let meta = |(name, size): (String, u64)| {
            let location = Path::parse(&name).unwrap();
            ObjectMeta { location, last_modified: DateTime::UNIX_EPOCH, size, e_tag: None, version: None }
        };
        let objects = lines.into_iter().take(self.page).map(meta).collect();
        let result = ListResult { common_prefixes: Vec::new(), objects, extensions: Default::default() };
        Ok(PaginatedListResult { result, page_token })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}
