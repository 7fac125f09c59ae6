//! Records the requests of clients: counts for checks of costs, and a log for checks of the order.

use std::fmt::{self, Display, Formatter};
use std::ops::{Add, Sub};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::{HeaderMap, Method, Uri};

/// The purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An object's bytes, or a range of them.
    Get,
    /// An object's metadata.
    Head,
    /// An unconditional write.
    Put,
    /// A conditional write.
    ConditionalPut,
    /// The deletion of one object.
    Delete,
    /// The deletion of many objects.
    BulkDelete,
    /// One page of a list.
    List,
    /// A server-side copy.
    Copy,
    /// Any request of a multipart upload.
    Multipart,
    /// Anything else.
    Other,
}

/// The condition of a request, as the client sent it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Condition {
    /// `If-None-Match` with this value; `*` for "only if absent".
    IfNoneMatch(String),
    /// `If-Match` with this value, quotes included.
    IfMatch(String),
    /// `x-goog-if-generation-match` with this value; `0` for "only if absent".
    IfGenerationMatch(String),
}

/// One request that reached a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The purpose of the request.
    pub kind: Kind,
    /// The HTTP method.
    pub method: Method,
    /// The bucket, percent-encoded as received; empty if none is named.
    pub bucket: String,
    /// The key without the bucket, percent-encoded as received (portable keys are never encoded); empty for a
    /// request about the bucket. For a list it is the prefix instead.
    pub key: String,
    /// The condition, if there is one.
    pub condition: Option<Condition>,
    /// The status of the reply; `None` while there is none (also if the client disconnected first).
    pub status: Option<u16>,
}

impl Request {
    /// Parses the head of a request of any of the three protocols, path style. Azure has the account where
    /// the others have the bucket, so the container is the first segment of the key.
    pub(crate) fn read(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let path = uri.path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let query = |name: &str| {
            uri.query().unwrap_or_default().split('&').find_map(|pair| {
                let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
                (found == name).then_some(value)
            })
        };
        let header = |name: &str| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let condition = header("x-goog-if-generation-match")
            .map(Condition::IfGenerationMatch)
            .or_else(|| header("if-match").map(Condition::IfMatch))
            .or_else(|| header("if-none-match").map(Condition::IfNoneMatch));
        let copies = ["x-amz-copy-source", "x-goog-copy-source", "x-ms-copy-source"]
            .iter()
            .any(|name| headers.contains_key(*name));
        let kind = if query("uploadId").is_some()
            || query("uploads").is_some()
            || query("comp").is_some_and(|part| part.starts_with("block"))
        {
            Kind::Multipart
        } else if method == Method::GET && (key.is_empty() || query("comp") == Some("list")) {
            Kind::List
        } else if method == Method::POST && key.is_empty() && query("delete").is_some() {
            Kind::BulkDelete
        } else if key.is_empty() {
            Kind::Other
        } else if method == Method::GET {
            Kind::Get
        } else if method == Method::HEAD {
            Kind::Head
        } else if method == Method::DELETE {
            Kind::Delete
        } else if method == Method::PUT && copies {
            Kind::Copy
        } else if method == Method::PUT && condition.is_some() {
            Kind::ConditionalPut
        } else if method == Method::PUT {
            Kind::Put
        } else {
            Kind::Other
        };
        let key = if kind == Kind::List {
            query("prefix").unwrap_or_default().replace("%2F", "/")
        } else {
            key.to_owned()
        };
        Self { kind, method: method.clone(), bucket: bucket.to_owned(), key, condition, status: None }
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::IfNoneMatch(value) => write!(f, "if-none-match {value}"),
            Self::IfMatch(value) => write!(f, "if-match {value}"),
            Self::IfGenerationMatch(value) => write!(f, "if-generation-match {value}"),
        }
    }
}

impl Display for Request {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.key)?;
        if let Some(condition) = &self.condition {
            write!(f, " {condition}")?;
        }
        match self.status {
            Some(status) => write!(f, " -> {status}"),
            None => f.write_str(" -> unanswered"),
        }
    }
}

/// The number of requests of each kind. The difference of two snapshots is the cost of one action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// [`Kind::Get`].
    pub get: u64,
    /// [`Kind::Head`].
    pub head: u64,
    /// [`Kind::Put`].
    pub put: u64,
    /// [`Kind::ConditionalPut`].
    pub conditional_put: u64,
    /// [`Kind::Delete`] and [`Kind::BulkDelete`]: requests, not objects.
    pub delete: u64,
    /// [`Kind::List`]: pages.
    pub list: u64,
    /// Everything else.
    pub other: u64,
    /// Bytes of the request bodies.
    pub bytes_in: u64,
    /// Bytes of the reply bodies.
    pub bytes_out: u64,
}

impl Counts {
    /// Returns the number of all requests.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.get + self.head + self.put + self.conditional_put + self.delete + self.list + self.other
    }

    /// Returns the number of requests that may change something and are not [`other`](Self::other).
    #[must_use]
    pub const fn writes(&self) -> u64 {
        self.put + self.conditional_put + self.delete
    }

    fn of(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Get => &mut self.get,
            Kind::Head => &mut self.head,
            Kind::Put => &mut self.put,
            Kind::ConditionalPut => &mut self.conditional_put,
            Kind::Delete | Kind::BulkDelete => &mut self.delete,
            Kind::List => &mut self.list,
            Kind::Copy | Kind::Multipart | Kind::Other => &mut self.other,
        }
    }

    fn each(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            get: with(self.get, other.get),
            head: with(self.head, other.head),
            put: with(self.put, other.put),
            conditional_put: with(self.conditional_put, other.conditional_put),
            delete: with(self.delete, other.delete),
            list: with(self.list, other.list),
            other: with(self.other, other.other),
            bytes_in: with(self.bytes_in, other.bytes_in),
            bytes_out: with(self.bytes_out, other.bytes_out),
        }
    }
}

impl Sub for Counts {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        self.each(earlier, u64::saturating_sub)
    }
}

impl Add for Counts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }
}

/// The requests to a server since it started or since [`reset`](Self::reset). Clones are cheap and share the
/// log.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    counts: Counts,
    log: Vec<Request>,
    /// Incremented at every reset, so that the reply to an earlier request does not change an entry of a
    /// later one.
    epoch: u64,
    in_flight: u64,
    most_in_flight: u64,
    /// The longest chain of requests that ends in an answered one.
    answered_rounds: u64,
    rounds: u64,
}

/// The position of one request in the log; the request is in flight until this is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    requests: Requests,
    epoch: u64,
    place: usize,
    round: u64,
}

impl Requests {
    /// Returns the counts up to now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Returns all requests in the order of arrival.
    #[must_use]
    pub fn log(&self) -> Vec<Request> {
        self.lock().log.clone()
    }

    /// Returns the requests of one kind, in order.
    #[must_use]
    pub fn of_kind(&self, kind: Kind) -> Vec<Request> {
        self.lock().log.iter().filter(|request| request.kind == kind).cloned().collect()
    }

    /// Returns the maximum number of concurrent requests.
    #[must_use]
    pub fn most_in_flight(&self) -> u64 {
        self.lock().most_in_flight
    }

    /// Returns the number of requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.lock().in_flight
    }

    /// Returns the number of sequential round trips: the longest chain in which each request arrived after
    /// the previous one was answered. Requests that a client sends together are one round only if the server
    /// is slower than the client ([`Shaping`](crate::Shaping)).
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.lock().rounds
    }

    /// Clears the counts and the log, and sets the maximum in flight to the current number.
    pub fn reset(&self) {
        let mut inner = self.lock();
        inner.counts = Counts::default();
        inner.log.clear();
        inner.epoch += 1;
        inner.most_in_flight = inner.in_flight;
        (inner.answered_rounds, inner.rounds) = (0, 0);
    }

    pub(crate) fn arrived(&self, request: Request, bytes: u64) -> Entry {
        let mut inner = self.lock();
        *inner.counts.of(request.kind) += 1;
        inner.counts.bytes_in += bytes;
        inner.log.push(request);
        inner.in_flight += 1;
        inner.most_in_flight = inner.most_in_flight.max(inner.in_flight);
        let round = inner.answered_rounds + 1;
        inner.rounds = inner.rounds.max(round);
        Entry { requests: self.clone(), epoch: inner.epoch, place: inner.log.len() - 1, round }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    pub(crate) fn answered(&self, status: u16, bytes: u64) {
        let mut inner = self.requests.lock();
        if inner.epoch == self.epoch {
            inner.counts.bytes_out += bytes;
            inner.answered_rounds = inner.answered_rounds.max(self.round);
            if let Some(request) = inner.log.get_mut(self.place) {
                request.status = Some(status);
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.requests.lock().in_flight -= 1;
    }
}
