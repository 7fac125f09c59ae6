//! The S3 server, its settings, and the two replies that differ only in their raw text.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};

use crate::quirks::{Quirks, Shaping};
use crate::requests::{Kind, Request, Requests};
use crate::s3::S3Store;
use crate::server::{Answer, Server};
use crate::store::{Bucket, Store};
use crate::{ACCESS_KEY, REGION, SECRET_KEY};

/// An S3 server in this process, on a free port of the loopback address, until it is dropped.
///
/// Requests are signed (SigV4, [`ACCESS_KEY`] and [`SECRET_KEY`]) and path style. It supports put (with
/// `If-None-Match: *` and `If-Match`, quoted or not; a missing object under `If-Match` is 404), get with
/// ranges, head, delete, bulk delete, list (version 2), multipart uploads, copy and user metadata. ETags are
/// the MD5 of the content, so equal content has equal ETags. Unsupported requests get 501 and are never
/// partly executed.
#[derive(Debug)]
pub struct S3Endpoint {
    server: Server,
    store: Arc<Store>,
    requests: Requests,
    quirks: Arc<Mutex<Quirks>>,
    shaping: Arc<Mutex<Shaping>>,
}

#[derive(Debug, Clone)]
struct Handler {
    service: S3Service,
    requests: Requests,
    quirks: Arc<Mutex<Quirks>>,
    shaping: Arc<Mutex<Shaping>>,
}

impl S3Endpoint {
    /// Starts a server without quirks and with exactly these buckets.
    ///
    /// # Panics
    /// If no socket or thread is available.
    pub fn start<N: Into<String>>(buckets: impl IntoIterator<Item = N>) -> Self {
        let store = Arc::new(Store::new(buckets.into_iter().map(Into::into)));
        let requests = Requests::default();
        let (quirks, shaping) = <(Arc<Mutex<Quirks>>, Arc<Mutex<Shaping>>)>::default();
        let mut service = S3ServiceBuilder::new(S3Store {
            store: Arc::clone(&store),
            quirks: Arc::clone(&quirks),
            between: Arc::default(),
        });
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let handler = Handler {
            service: service.build(),
            requests: requests.clone(),
            quirks: Arc::clone(&quirks),
            shaping: Arc::clone(&shaping),
        };
        let server = Server::start("s3-endpoint", move |request| handler.clone().answer(request));
        Self { server, store, requests, quirks, shaping }
    }

    /// Sets quirks, and returns the server.
    #[must_use]
    pub fn with_quirks(self, quirks: Quirks) -> Self {
        self.set_quirks(quirks);
        self
    }

    /// Sets the latency, and returns the server.
    #[must_use]
    pub fn with_shaping(self, shaping: Shaping) -> Self {
        self.set_shaping(shaping);
        self
    }

    /// Sets the quirks for the next requests: a server may become unsafe after it was found to be safe.
    pub fn set_quirks(&self, quirks: Quirks) {
        *self.quirks.lock().unwrap_or_else(PoisonError::into_inner) = quirks;
    }

    /// Sets the latency for the next requests.
    pub fn set_shaping(&self, shaping: Shaping) {
        *self.shaping.lock().unwrap_or_else(PoisonError::into_inner) = shaping;
    }

    /// Returns `http://127.0.0.1:PORT`, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Returns the requests so far.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.requests.clone()
    }

    /// Returns direct access to a bucket, without HTTP.
    #[must_use]
    pub fn bucket(&self, name: &str) -> Bucket {
        Bucket { store: Arc::clone(&self.store), name: name.to_owned() }
    }

    /// Returns the variables with which an S3 client (and our program) finds this server and `bucket`.
    #[must_use]
    pub fn variables(&self, bucket: &str) -> BTreeMap<String, String> {
        variables(&self.url(), bucket)
    }
}

/// Returns the variables for an S3 server at `url`: this one, or a proxy in front of it.
#[must_use]
pub fn variables(url: &str, bucket: &str) -> BTreeMap<String, String> {
    [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_BUCKET", bucket),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", REGION),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "false"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

impl Handler {
    async fn answer(self, request: hyper::Request<Incoming>) -> Answer<s3s::Body> {
        let read = Request::read(request.method(), request.uri(), request.headers());
        let kind = read.kind;
        let completes = kind == Kind::Multipart
            && request.method() == hyper::Method::POST
            && request.uri().query().is_some_and(|query| query.contains("uploadId="));
        let entry = self.requests.arrived(read, request.body().size_hint().exact().unwrap_or(0));
        let quirks = *self.quirks.lock().unwrap_or_else(PoisonError::into_inner);
        let shaping = *self.shaping.lock().unwrap_or_else(PoisonError::into_inner);
        if !shaping.latency.is_zero() {
            tokio::time::sleep(shaping.latency).await;
        }
        let answered = match self.service.call(request.map(s3s::Body::from)).await {
            Ok(response)
                if response.status().is_success() && kind == Kind::List && quirks.unquoted_list_etags =>
            {
                reworded(response, |etag| etag.replace("&quot;", "").replace('"', "")).await
            }
            Ok(response) if response.status().is_success() && completes && quirks.empty_multipart_etag => {
                reworded(response, |_| String::new()).await
            }
            Ok(response) => Some(response),
            Err(error) => {
                tracing::debug!(?error, "a request was not understood");
                None
            }
        };
        match answered {
            Some(response) => {
                entry.answered(response.status().as_u16(), response.body().size_hint().exact().unwrap_or(0));
                Answer::Reply(response)
            }
            None => Answer::Hangup,
        }
    }
}

/// Returns the response with the text of every `ETag` element changed.
async fn reworded(response: s3s::HttpResponse, change: impl Fn(&str) -> String) -> Option<s3s::HttpResponse> {
    let (mut parts, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => {
            tracing::debug!(%error, "an answer broke off");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut reworded = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some((before, (etag, after))) =
        rest.split_once("<ETag>").and_then(|(before, after)| Some((before, after.split_once("</ETag>")?)))
    {
        reworded.push_str(before);
        reworded.push_str("<ETag>");
        reworded.push_str(&change(etag));
        reworded.push_str("</ETag>");
        rest = after;
    }
    reworded.push_str(rest);
    parts.headers.remove(hyper::header::CONTENT_LENGTH);
    Some(hyper::Response::from_parts(parts, s3s::Body::from(reworded)))
}
