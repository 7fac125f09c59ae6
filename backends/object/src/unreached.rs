//! Why no object server was reached: no server listens, the proxy is the cause, or one side uses TLS and the
//! other plain HTTP.
//!
//! The error types of the TLS library and of the proxy's tunnel cannot be named from here, so errors are
//! recognized by their text. The tests over real sockets (`tests/object/impostors.rs`) fail if a new version changes
//! the text.

use std::error::Error as StdError;

use object_store::client::{HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody};
use url::Url;

/// Why a request was certainly not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreached {
    /// No connection; the cause in a few words.
    Server(String),
    /// This proxy (host and port) does not reach the server.
    Proxy(String, String),
    /// This proxy requires credentials.
    ProxyCredentials(String),
    /// The server answers a TLS handshake in plain text.
    PlainHttp,
}

impl Unreached {
    /// The cause; none if the request may have been sent. A connection attempt that timed out never existed,
    /// which [`HttpErrorKind::Timeout`] does not tell.
    pub(crate) fn of(error: &HttpError, proxy: Option<&str>, asked: &str) -> Option<Self> {
        if !is_connect(error) {
            return None;
        }
        let cause = chain(error).last().map(ToString::to_string).unwrap_or_default();
        let says = |words: &str| chain(error).any(|link| link.to_string().contains(words));
        // Behind a tunnel the TLS peer is the server; without one the connection is the proxy's.
        let is_of_the_proxy = says("tunnel error") || says("timed out") || asked.starts_with("http:");
        Some(match proxy {
            Some(proxy) if says("proxy authorization required") => Self::ProxyCredentials(proxy.to_owned()),
            Some(proxy) if says("tunnel error: unsuccessful") => {
                Self::Proxy(proxy.to_owned(), "it refuses to connect".to_owned())
            }
            Some(proxy) if is_of_the_proxy => Self::Proxy(proxy.to_owned(), cause),
            _ if says("corrupt message of type InvalidContentType") => Self::PlainHttp,
            _ => Self::Server(cause),
        })
    }
}

/// Whether no connection was made, so that nothing was sent.
pub(crate) fn is_connect(error: &HttpError) -> bool {
    matches!(error.kind(), HttpErrorKind::Connect)
        || chain(error).any(|it| it.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect))
}

/// Whether the server of a plain HTTP endpoint answers a TLS handshake. Its certificate may be untrusted.
pub(crate) async fn speaks_tls(endpoint: &Url, client: &HttpClient) -> bool {
    let mut url = endpoint.clone();
    let port = url.port_or_known_default();
    if url.set_scheme("https").is_err() || url.set_port(port).is_err() {
        return false;
    }
    url.set_path("/");
    let Ok(uri) = url.as_str().parse() else { return false };
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.uri_mut() = uri;
    match client.execute(request).await {
        Ok(_) => true,
        Err(error) => chain(&error).any(|link| {
            let said = link.to_string();
            said.contains("invalid peer certificate") || said.contains("received fatal alert")
        }),
    }
}

/// The causes of an error, the nearest first.
fn chain(error: &HttpError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}
