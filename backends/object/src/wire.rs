//! Recovers what object_store hides: the HTTP answer of a request, and whether the request was sent at all.
//!
//! The client sits between object_store and its HTTP client. An answer that is not a success becomes a
//! [`Failure`], which keeps only the status and the server's short error code: bodies, headers and URLs,
//! which may contain a secret, are dropped.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use object_store::{
    ClientOptions, Result,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
};
use pflow_backend::{Environment, Error, ErrorKind, async_trait};
use url::Url;

use crate::{
    credentials::{
        Refused,
        trouble::{of_answer, of_no_answer},
    },
    failure::Failure,
    fault::Answer,
    foreign::Foreign,
    proxies::{self, Proxies},
    retry_after, transport,
    unreached::{self, Unreached, is_connect},
    url::ObjectUrl,
    web_page::{self, Asked},
};

/// Makes clients that return [`Failure`].
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    /// The bucket or container.
    pub(crate) bucket: String,
    /// The endpoint of the bucket. A request to another server that does not name the bucket is one for
    /// credentials.
    pub(crate) endpoint: Url,
    /// Collects names that object_store cannot list.
    pub(crate) foreign: Arc<Foreign>,
    /// Collects credentials that the server refuses.
    pub(crate) refused: Arc<Refused>,
    environment: Arc<dyn Environment>,
}

#[derive(Debug)]
struct Client {
    inner: HttpClient,
    bucket: String,
    endpoint: Url,
    foreign: Arc<Foreign>,
    refused: Arc<Refused>,
    proxies: Proxies,
    /// Whether an object server has answered.
    is_known: AtomicBool,
}

impl Connector {
    /// A connector for the bucket of a URL at an endpoint.
    pub(crate) fn new(
        url: &ObjectUrl,
        endpoint: &str,
        foreign: &Arc<Foreign>,
        refused: &Arc<Refused>,
        environment: &Arc<dyn Environment>,
    ) -> pflow_backend::Result<Self> {
        let endpoint = Url::parse(endpoint).map_err(|_| {
            Error::not_applied(ErrorKind::InvalidInput, "The endpoint is no URL such as https://host:port")
        })?;
        let (foreign, refused, environment) = (foreign.clone(), refused.clone(), environment.clone());
        Ok(Self { bucket: url.bucket().to_owned(), endpoint, foreign, refused, environment })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let inner = HttpClient::new(transport::client(options, &self.environment)?);
        let Self { bucket, endpoint, foreign, refused, .. } = self.clone();
        let (proxies, is_known) = (Proxies::of(options), AtomicBool::new(false));
        Ok(HttpClient::new(Client { inner, bucket, endpoint, foreign, refused, proxies, is_known }))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let path = request.uri().path().to_owned();
        let what = Asked::of(&request);
        let is_a_question = request.method() == "POST" && path == "/";
        let asked = request.uri().to_string();
        let may_name_it = is_signed_for_s3(&request) || !is_a_question && !is_of_a_credential_service(&path);
        let is_at_endpoint = may_name_it && is_at(&self.endpoint, &asked);
        if !is_at_endpoint && !names(&self.bucket, &host, &path) {
            return self.for_credentials(request, host, &path).await;
        }
        let is_a_look = request.method() == "HEAD";
        let authorization =
            request.headers().get("authorization").filter(|_| self.refused.can_renew).cloned();
        let proxy = self.proxies.for_request(&request);
        let response = match self.inner.execute(request).await {
            Ok(response) => response,
            Err(error) => return Err(self.unanswered(error, proxy.as_deref(), &asked).await),
        };
        if response.status().is_success() {
            return match web_page::ruled_out(what, response).await? {
                Some(answer) => {
                    self.is_known.store(true, Ordering::Relaxed);
                    if what == Asked::Listing { self.listed(answer).await } else { Ok(answer) }
                }
                None => Err(failed(Failure::WebPage)),
            };
        }
        if let Some(proxy) = proxy.filter(|_| proxies::asks_for_credentials(&response)) {
            return Err(failed(Failure::Unreached(Unreached::ProxyCredentials(proxy))));
        }
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
        let (code, region) = (header("x-ms-error-code"), header("x-amz-bucket-region"));
        let retry_after =
            header("retry-after").and_then(|it| retry_after::after(&it, header("date").as_deref()));
        let leads_to = header("location").and_then(|it| server_of(&asked, &it));
        let is_of_a_cloud = web_page::is_of_a_cloud(&response);
        // If the body of an answer is lost, the status still decides.
        let body = response.into_body().bytes().await.unwrap_or_default();
        let body = String::from_utf8_lossy(&body);
        let code = code.as_deref().and_then(short).or_else(|| element(&body, "Code"));
        let region = region.as_deref().and_then(short).or_else(|| element(&body, "Region"));
        if code.is_some() {
            self.is_known.store(true, Ordering::Relaxed);
        } else if status == 400 && self.speaks_tls().await {
            // "Client sent an HTTP request to an HTTPS server", in the server's words.
            return Err(failed(Failure::SpeaksTls));
        } else if status == 404 && may_hide_an_object(what, is_a_look) && !is_of_a_cloud {
            return Err(failed(Failure::WebPage));
        }
        let answer = Answer { status, code, region, retry_after, leads_to };
        let refused = authorization.filter(|_| answer.is_of_old_credentials(is_a_look));
        Err(failed(match refused.as_ref().and_then(|it| it.to_str().ok()) {
            Some(authorization) => {
                self.refused.add(authorization.to_owned());
                Failure::Stale(answer)
            }
            None => Failure::Answered(answer),
        }))
    }
}

/// Wraps a failure. The kind only matters to object_store's own retries, which are disabled.
fn failed(failure: Failure) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, failure)
}

impl Client {
    /// The error for a request without an answer, or without one in HTTP.
    async fn unanswered(&self, error: HttpError, proxy: Option<&str>, asked: &str) -> HttpError {
        if let Some(unreached) = Unreached::of(&error, proxy, asked) {
            return HttpError::new(HttpErrorKind::Connect, Failure::Unreached(unreached));
        }
        let is_cut = error.kind() != HttpErrorKind::Timeout && proxy.is_none();
        if is_cut && self.speaks_tls().await { failed(Failure::SpeaksTls) } else { error }
    }

    /// Whether a plain HTTP endpoint uses TLS. An endpoint that has answered as an object server is not
    /// tested.
    async fn speaks_tls(&self) -> bool {
        self.endpoint.scheme() == "http"
            && !self.is_known.load(Ordering::Relaxed)
            && unreached::speaks_tls(&self.endpoint, &self.inner).await
    }

    /// A page of a listing without the names that object_store cannot represent.
    async fn listed(&self, response: HttpResponse) -> std::result::Result<HttpResponse, HttpError> {
        let (parts, body) = response.into_parts();
        let page = body.bytes().await?;
        let shorter = std::str::from_utf8(&page).ok().and_then(|page| self.foreign.removed_from(page));
        let page = shorter.map_or(page, Into::into);
        Ok(HttpResponse::from_parts(parts, page.into()))
    }

    /// Handles metadata servers and token endpoints. Their answers contain secrets, so only the host is
    /// named.
    async fn for_credentials(
        &self,
        request: HttpRequest,
        host: String,
        path: &str,
    ) -> std::result::Result<HttpResponse, HttpError> {
        // If this path of the instance metadata service is forbidden, object_store continues with the older
        // one.
        let has_another_way = path == "/latest/api/token";
        let failure = match self.inner.execute(request).await {
            Ok(response) if response.status().is_success() => return Ok(response),
            Ok(response) => match of_answer(host, response.status().as_u16(), response.headers()) {
                Failure::CredentialsRefused(..) if has_another_way => return Ok(response),
                failure => failure,
            },
            Err(error) => of_no_answer(host, is_connect(&error)),
        };
        Err(HttpError::new(HttpErrorKind::Unknown, failure))
    }
}

/// Whether a 404 to this request means that a key is missing, and object servers give such an answer an error
/// code.
///
/// IMPORTANT: without the code it may be the page of a gateway that does not reach the server. A deletion
/// would then count as done, and an object as missing. An answer to a HEAD has no body, so no server can say
/// more there.
fn may_hide_an_object(what: Asked, is_a_look: bool) -> bool {
    matches!(what, Asked::Object | Asked::Delete) && !is_a_look
}

/// Whether a request goes to this endpoint.
fn is_at(endpoint: &Url, uri: &str) -> bool {
    Url::parse(uri).is_ok_and(|it| {
        endpoint.host() == it.host() && endpoint.port_or_known_default() == it.port_or_known_default()
    })
}

/// The scheme, host and port of a redirect's target. The rest may contain secrets.
fn server_of(asked: &str, location: &str) -> Option<String> {
    let origin = Url::parse(asked).ok()?.join(location).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

/// Whether a request has an S3 signature. Requests to a credential service never have one, so this
/// distinguishes an object below `latest/meta-data` from the answers of such a service.
fn is_signed_for_s3(request: &HttpRequest) -> bool {
    let authorization = request.headers().get("authorization");
    authorization.is_some_and(|it| it.as_bytes().starts_with(b"AWS4-HMAC-SHA256"))
}

/// Whether credentials are requested at a path, also from a server that provides them beside the objects, as
/// test servers do.
fn is_of_a_credential_service(path: &str) -> bool {
    let beginnings = [
        "/latest/api/token",
        "/latest/meta-data/",
        "/latest/dynamic/",
        "/computeMetadata/",
        "/metadata/identity/",
        "/v2/credentials/",
    ];
    path.ends_with("/token") || beginnings.iter().any(|it| path.starts_with(it))
}

/// Whether the host's first label or one of the first two parts of the path is the bucket.
fn names(bucket: &str, host: &str, path: &str) -> bool {
    // For GCS, requests for listings have every punctuation character of the bucket's name encoded.
    let decode = |part: &str| part.replace("%2D", "-").replace("%2E", ".").replace("%5F", "_");
    let in_host = host.strip_prefix(bucket).is_some_and(|rest| rest.starts_with('.'));
    in_host || path.split('/').skip(1).take(2).any(|part| decode(part) == bucket)
}

/// The text of the first `<name>` element of an error document, if it is short and plain.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    short(text)
}

/// Codes and regions are short words. Any other text of a server is not repeated.
fn short(text: &str) -> Option<String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (is_plain && (1..=64).contains(&text.len())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_requests_are_distinguished_from_credential_requests() {
        assert!(names("plans", "127.0.0.1", "/plans/a/b"));
        assert!(names("plans", "127.0.0.1", "/plans"));
        assert!(names("plans", "plans.s3.eu-west-1.amazonaws.com", "/a"));
        assert!(names("plans", "127.0.0.1", "/devstoreaccount1/plans"));
        assert!(names("my-plans.x", "storage.googleapis.com", "/my%2Dplans%2Ex"));
        assert!(!names("plans", "169.254.169.254", "/latest/api/token"));
        assert!(!names("plans", "oauth2.googleapis.com", "/token"));
    }

    #[test]
    fn request_to_the_endpoint_is_for_the_bucket() {
        let endpoint = Url::parse("https://objects.example/a/b/c").unwrap();
        for (uri, is_for_the_bucket) in [
            ("https://objects.example/key", true),
            ("https://objects.example:443/a/b/c/plans/key", true),
            ("http://objects.example/key", false),
            ("https://169.254.169.254/key", false),
        ] {
            assert_eq!(is_at(&endpoint, uri), is_for_the_bucket, "{uri}");
        }
        for path in [
            "/latest/api/token",
            "/latest/meta-data/iam/security-credentials/role",
            "/computeMetadata/v1/x",
            "/tenant/oauth2/v2.0/token",
        ] {
            assert!(is_of_a_credential_service(path), "{path}");
        }
        assert!(!is_of_a_credential_service("/latest/workflows/a/metadata.json"), "a prefix of that name");
        assert!(!is_of_a_credential_service("/plans/workflows/token/metadata.json"));
    }

    #[test]
    fn only_short_words_of_an_error_document_are_kept() {
        let body = "<Error><Code>NoSuchBucket</Code><Message>hunter2</Message></Error>";
        assert_eq!(element(body, "Code").as_deref(), Some("NoSuchBucket"));
        for body in ["", "<Code>", "<Code></Code>", "<Code>a b</Code>", "<html>Code</html>"] {
            assert_eq!(element(body, "Code"), None, "{body}");
        }
    }
}
