//! The proxy of a request. The HTTP client does not tell, and a person needs to know it if a request does not
//! arrive.

use hyper_util::client::proxy::matcher::Matcher;
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{HttpRequest, HttpResponse},
};

/// The rules by which the client of `transport.rs` selects a proxy, read from the same settings.
#[derive(Debug)]
pub(crate) struct Proxies(Matcher);

impl Proxies {
    pub(crate) fn of(options: &ClientOptions) -> Self {
        let text = |key| options.get_config_value(&key);
        let Some(url) = text(ClientConfigKey::ProxyUrl) else { return Self(Matcher::from_system()) };
        let excludes = text(ClientConfigKey::ProxyExcludes).unwrap_or_default();
        Self(Matcher::builder().all(url).no(excludes).build())
    }

    /// The host and port of the proxy, without its credentials.
    pub(crate) fn for_request(&self, request: &HttpRequest) -> Option<String> {
        let proxy = self.0.intercept(request.uri())?;
        let host = proxy.uri().host()?;
        Some(proxy.uri().port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    }
}

/// Whether a proxy requires credentials. The server behind it did not see the request.
pub(crate) fn asks_for_credentials(answer: &HttpResponse) -> bool {
    answer.status().as_u16() == 407
}
