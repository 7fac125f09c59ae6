//! The proxy that misbehaves.

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

/// The web page that redirects lead to. A client that follows one finds a page with all that an object has.
const PAGE: &str = "/sign-in";
/// How many requests in a row credentials have expired for.
const EXPIRED_FOR: u64 = 8;

/// How long half an answer has for leaving this process before the other half is denied.
const FLUSH: Duration = Duration::from_millis(5);

/// An HTTP/1.1 proxy in front of one server, which does to requests what networks do, by a seed.
///
/// Point a client at [`url`](Self::url) instead of the server. Nothing that may be signed is changed, so it
/// stands before every server here and before real ones on this machine. Creating one prints its seed: the
/// same seed and plan do the same to the request with the same ordinal.
///
/// A server that cannot be reached is answered for with 502, and the log says so.
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
    /// How many late writes have not reached the server yet.
    late: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    plan: FaultPlan,
    shaping: Shaping,
    ordinal: u64,
    /// Before this ordinal all credentials have expired.
    expired_until: u64,
    one_shots: Vec<(Predicate, Fault)>,
    injected: BTreeMap<Fault, u64>,
}

type Predicate = Box<dyn Fn(&Request) -> bool + Send>;
type Body = BoxBody<Bytes, Error>;

impl Proxy {
    /// A proxy before the server at `upstream` (`http://HOST:PORT`), without any fault until a plan is set.
    ///
    /// # Panics
    /// When no socket or thread can be had, or when `upstream` is no such address.
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

    /// The same with a plan from now on.
    #[must_use]
    pub fn with_plan(self, plan: FaultPlan) -> Self {
        self.set_plan(plan);
        self
    }

    /// Follows this plan from the next request on.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.shared.lock().plan = plan;
    }

    /// Is this slow from the next request on, whatever the plan says.
    pub fn set_shaping(&self, shaping: Shaping) {
        self.shared.lock().shaping = shaping;
    }

    /// The next request that `matches` suffers this fault, whatever the plan says. Several wait side by side,
    /// and the oldest that matches is taken. The request has no status yet when it is looked at.
    pub fn one_shot(&self, fault: Fault, matches: impl Fn(&Request) -> bool + Send + 'static) {
        self.shared.lock().one_shots.push((Box::new(matches), fault));
    }

    /// How many one-shots still wait for their request.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.lock().one_shots.len()
    }

    /// How often each fault really happened.
    #[must_use]
    pub fn injected(&self) -> BTreeMap<Fault, u64> {
        self.shared.lock().injected.clone()
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// What clients asked this proxy for; the status is what the client was told.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.shared.requests.clone()
    }

    /// How often a client followed a redirect.
    #[must_use]
    pub fn followed(&self) -> usize {
        self.shared
            .requests
            .log()
            .iter()
            .filter(|request| request.bucket == PAGE.trim_start_matches('/'))
            .count()
    }

    /// Waits until every late write has reached the server. Dropping the proxy gives those up that have not.
    pub async fn settled(&self) {
        let mut late = self.late.clone();
        // The sender lives as long as this proxy, so the wait ends only when it is true.
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

    /// Lets the server carry the request out to its end, even when the client hangs up meanwhile.
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

/// Announces the whole answer and breaks off after half of it.
fn truncated(Reply { mut head, mut body }: Reply) -> Response<Body> {
    head.headers.insert(header::CONTENT_LENGTH, body.len().into());
    let half = body.split_to(body.len() / 2);
    // The half has to be on its way before the connection is cut, or nothing of the answer would arrive.
    let broken = async {
        tokio::time::sleep(FLUSH).await;
        Err(Error::from("the answer breaks off on purpose"))
    };
    let frames = stream::once(future::ready(Ok(Frame::data(half)))).chain(stream::once(broken));
    Response::from_parts(head, BoxBody::new(StreamBody::new(frames)))
}
