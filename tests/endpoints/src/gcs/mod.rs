//! The GCS server, and its dispatch of requests.

mod answers;
mod asked;
mod documents;
mod fault;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::{Method, Response};

use self::answers::{answer_fault, answer_object, answer_xml, empty};
use self::asked::Asked;
use self::documents::{Completed, CompletedUpload, Copied, Initiated, Listing};
use self::fault::Fault;
use crate::requests::{Request, Requests};
use crate::server::{Answer, Server};
use crate::store::{Bucket, Store};

/// A GCS server in this process, on a free port of the loopback address, until it is dropped.
///
/// It implements the XML API (<https://cloud.google.com/storage/docs/xml-api/reference-methods>), path style:
/// put with `x-goog-if-generation-match`, get with ranges, `If-Match` and `If-None-Match`, head, delete (a
/// missing object is 404), list (version 2), multipart uploads, copy and user metadata. ETags are the MD5 of
/// the content; a generation never recurs. Tokens are not checked. Unsupported requests get 501 and are never
/// partly executed.
#[derive(Debug)]
pub struct GcsEndpoint {
    server: Server,
    store: Arc<Store>,
    requests: Requests,
}

#[derive(Debug, Clone)]
struct Handler {
    store: Arc<Store>,
    requests: Requests,
}

impl GcsEndpoint {
    /// Starts a server with exactly these buckets.
    ///
    /// # Panics
    /// If no socket or thread is available.
    pub fn start<N: Into<String>>(buckets: impl IntoIterator<Item = N>) -> Self {
        let store = Arc::new(Store::new(buckets.into_iter().map(Into::into)));
        let requests = Requests::default();
        let handler = Handler { store: Arc::clone(&store), requests: requests.clone() };
        let server = Server::start("gcs-endpoint", move |request| handler.clone().answer(request));
        Self { server, store, requests }
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

    /// Returns the variables with which a GCS client (and our program) finds this server and `bucket`.
    #[must_use]
    pub fn variables(&self, bucket: &str) -> BTreeMap<String, String> {
        variables(&self.url(), bucket)
    }
}

/// Returns the variables for a GCS server at `url`: this one, or a proxy in front of it.
///
/// The service account disables token requests: object_store would otherwise request one from Google for
/// every write, even if it is configured not to sign.
#[must_use]
pub fn variables(url: &str, bucket: &str) -> BTreeMap<String, String> {
    let account = r#"{"disable_oauth": true, "client_email": "test@localhost", "private_key": "none", "private_key_id": "none"}"#;
    [
        ("GOOGLE_BASE_URL", url),
        ("GOOGLE_BUCKET", bucket),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", account),
        ("GOOGLE_ALLOW_HTTP", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

impl Handler {
    async fn answer(self, request: hyper::Request<Incoming>) -> Answer<Full<Bytes>> {
        let read = Request::read(request.method(), request.uri(), request.headers());
        let entry = self.requests.arrived(read, request.body().size_hint().exact().unwrap_or(0));
        let (head, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) => {
                tracing::debug!(%error, "a request broke off");
                return Answer::Hangup;
            }
        };
        let is_head = head.method == Method::HEAD;
        let answer = Asked::read(&head).and_then(|asked| self.act(&asked, body));
        let mut response = answer.unwrap_or_else(answer_fault);
        if is_head {
            // The headers keep the length of the object.
            *response.body_mut() = Full::default();
        }
        entry.answered(response.status().as_u16(), response.body().size_hint().exact().unwrap_or(0));
        Answer::Reply(response)
    }

    fn act(&self, asked: &Asked, body: Bytes) -> Result<Response<Full<Bytes>>, Fault> {
        let (bucket, key) = (asked.bucket.as_str(), asked.key.as_str());
        let (upload, part) = (asked.query("uploadId"), asked.query("partNumber"));
        match (&asked.method, upload, part) {
            (&Method::GET, None, None) if key.is_empty() => self.list(asked),
            _ if key.is_empty() => Err(Fault::Unknown),
            (&Method::GET | &Method::HEAD, None, None) => {
                answer_object(&self.store.get(bucket, key)?, &asked.reading()?)
            }
            (&Method::PUT, Some(id), Some(number)) => {
                let number = number.parse().map_err(|_| Fault::Bad)?;
                let etag = self.store.upload_part((bucket, key), id, number, body)?;
                Ok(empty(200, &[("etag", format!("\"{etag}\""))]))
            }
            (&Method::PUT, None, None) => match asked.copy_source()? {
                Some((from_bucket, from_key)) => {
                    let from = (from_bucket.as_str(), from_key.as_str());
                    let stored = self.store.copy(from, (bucket, key), None, &asked.condition()?)?;
                    answer_xml(&Copied::of(&stored), Some(&stored))
                }
                None => {
                    let stored = self.store.put(bucket, key, asked.content(body)?, &asked.condition()?)?;
                    Ok(empty(200, &answers::names(&stored)))
                }
            },
            (&Method::DELETE, Some(id), None) => {
                self.store.abort_upload((bucket, key), id)?;
                Ok(empty(204, &[]))
            }
            (&Method::DELETE, None, None) => {
                let was_there = self.store.delete(bucket, key, &asked.condition()?)?;
                if was_there {
                    Ok(empty(204, &[]))
                } else {
                    Err(Fault::Refused(crate::store::Refusal::NoKey))
                }
            }
            (&Method::POST, None, None) if asked.query("uploads").is_some() => {
                let id = self.store.begin_upload(bucket, key, asked.content(Bytes::new())?)?;
                answer_xml(&Initiated { bucket, key, upload_id: &id }, None)
            }
            (&Method::POST, Some(id), None) => {
                let parts = CompletedUpload::read(&body)?;
                let when = asked.condition()?;
                let stored = self.store.complete_upload((bucket, key), id, &parts, &when)?;
                answer_xml(&Completed::of(bucket, key, &stored), Some(&stored))
            }
            _ => Err(Fault::Unknown),
        }
    }

    fn list(&self, asked: &Asked) -> Result<Response<Full<Bytes>>, Fault> {
        let query = asked.listing()?;
        let page = self.store.list(&asked.bucket, &query)?;
        answer_xml(&Listing::of(&asked.bucket, &query, &page), None)
    }
}
