//! A proxy that injects faults.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::{self, Debug, Display, Formatter};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, future, stream};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Response, StatusCode};
use tokio::sync::watch;

use crate::faults::{Decision, Fault, FaultPlan};
use crate::quirks::Shaping;
use crate::requests::{Kind, Request, Requests};
use crate::server::{Answer, Server};
use crate::upstream::{Error, Reply, Whole};

/// The web page that redirects lead to. A client that follows one gets a page with all headers of an object.
const PAGE: &str = "/sign-in";
/// For how many consecutive requests credentials have expired.
const EXPIRED_FOR: u64 = 8;

/// The time for the first half of a truncated reply to be sent before the connection is cut.
const FLUSH: Duration = Duration::from_millis(5);

/// An HTTP/1.1 proxy in front of one server, which injects network faults into requests by a seed.
///
/// Point a client at [`url`](Self::url) instead of the server. The proxy changes nothing that may be signed,
/// so it works in front of every server here and of real ones on this machine. Creating one prints its seed:
/// the same seed and plan inject the same fault into the request with the same ordinal.
///
/// If the server cannot be reached, the proxy replies with 502 and logs the reason.
#[derive(Debug)]
pub struct Proxy {
    server: Server,
    shared: Arc<Shared>,
    late: watch::Receiver<u64>,
}

struct Shared {
    upstream: String,
    seed: u64,
    requests: Requests,
    state: Mutex<State>,
    /// The number of late writes that have not reached the server yet.
    late: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    plan: FaultPlan,
    shaping: Shaping,
    ordinal: u64,
    /// All credentials are expired before this ordinal.
    expired_until: u64,
    one_shots: Vec<(Predicate, Fault)>,
    injected: BTreeMap<Fault, u64>,
}

type Predicate = Box<dyn Fn(&Request) -> bool + Send>;
type Body = BoxBody<Bytes, Error>;

impl Proxy {
    /// Starts a proxy in front of the server at `upstream` (`http://HOST:PORT`), without faults until a plan
    /// is set.
    ///
    /// # Panics
    /// If no socket or thread is available, or if `upstream` is not such an address.
    #[allow(clippy::print_stdout, reason = "the seed belongs into the output of the test that failed")]
    #[must_use]
    pub fn start(upstream: &str, seed: u64) -> Self {
        let authority = upstream.strip_prefix("http://").expect("an address that begins with http://");
        let authority = authority.split('/').next().unwrap_or_default();
        let (sender, late) = watch::channel(0);
        let shared = Arc::new(Shared {
            upstream: authority.to_owned(),
            seed,
            requests: Requests::default(),
            state: Mutex::default(),
            late: sender,
        });
        let handler = Arc::clone(&shared);
        let server = Server::start("proxy", move |request| Arc::clone(&handler).answer(request));
        let proxy = Self { server, shared, late };
        println!("{proxy}");
        proxy
    }

    /// Sets a plan, and returns the proxy.
    #[must_use]
    pub fn with_plan(self, plan: FaultPlan) -> Self {
        self.set_plan(plan);
        self
    }

    /// Sets the plan for the next requests.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.shared.lock().plan = plan;
    }

    /// Sets the latency of the next requests, independently of the plan.
    pub fn set_shaping(&self, shaping: Shaping) {
        self.shared.lock().shaping = shaping;
    }

    /// Injects this fault into the next request that `matches`, independently of the plan. If several are
    /// pending, the oldest that matches is used. The request has no status yet when it is matched.
    pub fn one_shot(&self, fault: Fault, matches: impl Fn(&Request) -> bool + Send + 'static) {
        self.shared.lock().one_shots.push((Box::new(matches), fault));
    }

    /// Returns the number of pending one-shots.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.lock().one_shots.len()
    }

    /// Returns how often each fault actually happened.
    #[must_use]
    pub fn injected(&self) -> BTreeMap<Fault, u64> {
        self.shared.lock().injected.clone()
    }

    /// Returns `http://127.0.0.1:PORT`, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Returns the seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// Returns the requests to this proxy; the status is the one that the client got.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.shared.requests.clone()
    }

    /// Returns how often a client followed a redirect.
    #[must_use]
    pub fn followed(&self) -> usize {
        self.shared
            .requests
            .log()
            .iter()
            .filter(|request| request.bucket == PAGE.trim_start_matches('/'))
            .count()
    }

    /// Waits until every late write has reached the server. Dropping the proxy drops the remaining ones.
    pub async fn settled(&self) {
        let mut late = self.late.clone();
        // The sender lives as long as this proxy, so the wait ends only when the condition is true.
        late.wait_for(|under_way| *under_way == 0).await.expect("the sender lives as long as the proxy");
    }
}

impl Display for Proxy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "proxy {} -> http://{}, seed {:#018x}", self.url(), self.shared.upstream, self.shared.seed)
    }
}

impl Debug for Shared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("upstream", &self.upstream)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self: Arc<Self>, request: hyper::Request<Incoming>) -> Answer<Body> {
        let read = Request::read(request.method(), request.uri(), request.headers());
        if request.uri().path() == PAGE {
            self.requests.arrived(read, 0).answered(200, 0);
            return Answer::Reply(page());
        }
        let head = request.method() == Method::HEAD;
        let (decision, shaping) = self.decide(&read);
        let entry = self.requests.arrived(read, request.body().size_hint().exact().unwrap_or(0));
        if !shaping.latency.is_zero() {
            tokio::time::sleep(shaping.latency).await;
        }
        let answer = match Whole::read(request).await {
            Ok(whole) => self.misbehave(decision, whole, head).await,
            Err(error) => {
                tracing::debug!(error, "a client hung up in the middle of its request");
                Answer::Hangup
            }
        };
        if let Answer::Reply(reply) = &answer {
            entry.answered(reply.status().as_u16(), reply.body().size_hint().exact().unwrap_or(0));
        }
        answer
    }

    fn decide(&self, request: &Request) -> (Decision, Shaping) {
        let mut state = self.lock();
        let mut decision = state.plan.decide(self.seed, state.ordinal);
        if state.ordinal < state.expired_until {
            decision.fault = Some(Fault::Expired);
        } else if decision.fault == Some(Fault::Expired) {
            state.expired_until = state.ordinal + EXPIRED_FOR;
        }
        if decision.fault == Some(Fault::LandsLate)
            && !matches!(request.kind, Kind::Put | Kind::ConditionalPut)
        {
            decision.fault = None;
        }
        state.ordinal += 1;
        if let Some(place) = state.one_shots.iter().position(|(matches, _)| matches(request)) {
            decision.fault = Some(state.one_shots.remove(place).1);
        }
        if let Some(fault) = decision.fault {
            *state.injected.entry(fault).or_default() += 1;
        }
        (decision, state.shaping)
    }

    async fn misbehave(self: Arc<Self>, decision: Decision, whole: Whole, head: bool) -> Answer<Body> {
        let error = |status| Answer::Reply(error_reply(status));
        match decision.fault {
            None => self.forward(whole).await,
            Some(Fault::CutBefore) => Answer::Hangup,
            Some(Fault::Error500Before) => error(StatusCode::INTERNAL_SERVER_ERROR),
            Some(Fault::Error503Before) => error(StatusCode::SERVICE_UNAVAILABLE),
            Some(Fault::Conflict409Before) => error(StatusCode::CONFLICT),
            Some(Fault::DropReply) => self.applied(whole, || Answer::Hangup).await,
            Some(Fault::Error500After) => {
                self.applied(whole, || error(StatusCode::INTERNAL_SERVER_ERROR)).await
            }
            Some(Fault::Error503After) => {
                self.applied(whole, || error(StatusCode::SERVICE_UNAVAILABLE)).await
            }
            Some(Fault::Conflict409After) => self.applied(whole, || error(StatusCode::CONFLICT)).await,
            Some(Fault::TruncateReply) => match self.carry_out(whole).await {
                Some(reply) if !head && reply.body.len() > 1 => Answer::Reply(truncated(reply)),
                _ => Answer::Hangup,
            },
            Some(Fault::Duplicate) => {
                let again = whole.clone();
                self.applied(whole, || ()).await;
                self.forward(again).await
            }
            Some(Fault::Delay) => {
                tokio::time::sleep(decision.delay).await;
                self.forward(whole).await
            }
            Some(Fault::LateWrite) => {
                self.carry_out_late(whole, decision.delay);
                if decision.cuts { Answer::Hangup } else { error(StatusCode::INTERNAL_SERVER_ERROR) }
            }
            Some(Fault::LandsLate) => {
                self.carry_out_late(whole, decision.landing);
                if decision.cuts { Answer::Hangup } else { error(StatusCode::SERVICE_UNAVAILABLE) }
            }
            Some(Fault::RedirectBefore) => Answer::Reply(redirect(decision.choice)),
            Some(Fault::RedirectAfter) => {
                self.applied(whole, || Answer::Reply(redirect(decision.choice))).await
            }
            Some(Fault::PageBefore) => Answer::Reply(page()),
            Some(Fault::PageAfter) => self.applied(whole, || Answer::Reply(page())).await,
            Some(Fault::Expired) => Answer::Reply(expired(decision.cuts)),
        }
    }

    fn carry_out_late(self: Arc<Self>, whole: Whole, delay: Duration) {
        self.late.send_modify(|under_way| *under_way += 1);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            self.carry_out(whole).await;
            self.late.send_modify(|under_way| *under_way -= 1);
        });
    }

    /// Lets the server execute the request completely, even if the client disconnects.
    async fn carry_out(&self, whole: Whole) -> Option<Reply> {
        let upstream = self.upstream.clone();
        match tokio::spawn(async move { whole.send(&upstream).await }).await {
            Ok(Ok(reply)) => Some(reply),
            Ok(Err(error)) => {
                tracing::error!(
                    error,
                    upstream = self.upstream,
                    "the server behind the proxy did not answer"
                );
                None
            }
            Err(error) => {
                tracing::error!(%error, "a request through the proxy was given up");
                None
            }
        }
    }

    async fn applied<T>(&self, whole: Whole, then: impl FnOnce() -> T) -> T {
        self.carry_out(whole).await;
        then()
    }

    async fn forward(&self, whole: Whole) -> Answer<Body> {
        Answer::Reply(match self.carry_out(whole).await {
            Some(Reply { head, body }) => Response::from_parts(head, full(body)),
            None => error_reply(StatusCode::BAD_GATEWAY),
        })
    }
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed()
}

fn error_reply(status: StatusCode) -> Response<Body> {
    let code = match status {
        StatusCode::CONFLICT => "ConditionalRequestConflict",
        StatusCode::SERVICE_UNAVAILABLE => "SlowDown",
        StatusCode::BAD_GATEWAY => "BadGateway",
        _ => "InternalError",
    };
    coded_reply(status, code)
}

fn coded_reply(status: StatusCode, code: &str) -> Response<Body> {
    let text = format!("<Error><Code>{code}</Code><Message>the proxy says so</Message></Error>");
    let mut reply = Response::new(full(text));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    reply
}

fn expired(is_forbidden: bool) -> Response<Body> {
    let status = if is_forbidden { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST };
    coded_reply(status, "ExpiredToken")
}

fn redirect(choice: u64) -> Response<Body> {
    let mut reply = Response::new(full(""));
    *reply.status_mut() = match choice % 3 {
        0 => StatusCode::MOVED_PERMANENTLY,
        1 => StatusCode::FOUND,
        _ => StatusCode::TEMPORARY_REDIRECT,
    };
    reply.headers_mut().insert(header::LOCATION, HeaderValue::from_static(PAGE));
    reply
}

fn page() -> Response<Body> {
    let mut reply = Response::new(full("<!doctype html><title>Sign in</title>"));
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html"),
        (header::ETAG, "\"page\""),
        (header::LAST_MODIFIED, "Sun, 29 Nov 2026 10:00:00 GMT"),
    ] {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    reply
}

/// Announces the full length of the reply and ends it after half of its body.
fn truncated(Reply { mut head, mut body }: Reply) -> Response<Body> {
    head.headers.insert(header::CONTENT_LENGTH, body.len().into());
    let half = body.split_to(body.len() / 2);
    // The first half must be sent before the connection is cut, or the client would receive nothing.
    let broken = async {
        tokio::time::sleep(FLUSH).await;
        Err(Error::from("the answer breaks off on purpose"))
    };
    let frames = stream::once(future::ready(Ok(Frame::data(half)))).chain(stream::once(broken));
    Response::from_parts(head, BoxBody::new(StreamBody::new(frames)))
}
