//! The HTTP client that sends the requests.
//!
//! object_store's own client follows redirects. A redirected DELETE becomes a GET of another page, whose 200
//! would count as a deletion. So the client is made here, with the same settings, and does not follow
//! redirects: a redirect is an ordinary answer.

use std::{net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use object_store::{ClientConfigKey, ClientOptions, Error, Result};
use pflow_backend::Environment;
use reqwest::{
    Certificate, Client, NoProxy, Proxy,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};

use crate::switch;

/// The user agent of requests, unless a setting overrides it.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Makes the client from every setting for which `ClientOptions` has a key, except the content type of
/// uploads, which object_store handles itself. Options without a key (root certificates, headers, a resolver)
/// are not set in this crate.
pub(crate) fn client(options: &ClientOptions, environment: &Arc<dyn Environment>) -> Result<Client> {
    let settings = Settings(options);
    let mut builder = Client::builder().redirect(Policy::none());
    let agent = settings.text(ClientConfigKey::UserAgent);
    builder = builder.user_agent(agent.as_deref().unwrap_or(USER_AGENT));
    // Without a proxy of its own the client uses HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of the
    // process.
    if let Some(url) = settings.text(ClientConfigKey::ProxyUrl) {
        let proxy = Proxy::all(url).map_err(unfit)?;
        let excludes = settings.text(ClientConfigKey::ProxyExcludes);
        builder = builder.proxy(proxy.no_proxy(excludes.and_then(|hosts| NoProxy::from_string(&hosts))));
        if let Some(pem) = settings.text(ClientConfigKey::ProxyCaCertificate) {
            builder = builder.tls_certs_merge([Certificate::from_pem(pem.as_bytes()).map_err(unfit)?]);
        }
    }
    if settings.switch(ClientConfigKey::NoSystemCertificates)? {
        builder = builder.tls_certs_only([]);
    }
    if let Some(limit) = settings.time(ClientConfigKey::Timeout)? {
        builder = builder.timeout(limit);
    }
    if let Some(limit) = settings.time(ClientConfigKey::ConnectTimeout)? {
        builder = builder.connect_timeout(limit);
    }
    if let Some(limit) = settings.time(ClientConfigKey::ReadTimeout)? {
        builder = builder.read_timeout(limit);
    }
    if let Some(limit) = settings.time(ClientConfigKey::PoolIdleTimeout)? {
        builder = builder.pool_idle_timeout(limit);
    }
    if let Some(most) = settings.number(ClientConfigKey::PoolMaxIdlePerHost)? {
        builder = builder.pool_max_idle_per_host(most);
    }
    if let Some(interval) = settings.time(ClientConfigKey::Http2KeepAliveInterval)? {
        builder = builder.http2_keep_alive_interval(interval);
    }
    if let Some(limit) = settings.time(ClientConfigKey::Http2KeepAliveTimeout)? {
        builder = builder.http2_keep_alive_timeout(limit);
    }
    if settings.switch(ClientConfigKey::Http2KeepAliveWhileIdle)? {
        builder = builder.http2_keep_alive_while_idle(true);
    }
    if let Some(size) = settings.number(ClientConfigKey::Http2MaxFrameSize)? {
        builder = builder.http2_max_frame_size(Some(size));
    }
    if settings.switch(ClientConfigKey::Http1Only)? {
        builder = builder.http1_only();
    }
    if settings.switch(ClientConfigKey::Http2Only)? {
        builder = builder.http2_prior_knowledge();
    }
    if settings.switch(ClientConfigKey::AllowInvalidCertificates)? {
        builder = builder.danger_accept_invalid_certs(true);
    }
    if settings.switch(ClientConfigKey::RandomizeAddresses)? {
        builder = builder.dns_resolver(Arc::new(Spread(environment.clone())));
    }
    // object_store takes the size of an object from `Content-Length`, which compression changes.
    builder = builder.no_gzip().no_brotli().no_zstd().no_deflate();
    builder.https_only(!settings.switch(ClientConfigKey::AllowHttp)?).build().map_err(unfit)
}

/// The settings by their keys, parsed as by object_store.
struct Settings<'a>(&'a ClientOptions);

impl Settings<'_> {
    fn text(&self, key: ClientConfigKey) -> Option<String> {
        self.0.get_config_value(&key)
    }

    fn switch(&self, key: ClientConfigKey) -> Result<bool> {
        let Some(value) = self.text(key) else { return Ok(false) };
        switch::read(&value).ok_or_else(|| unfit(format!("{} is no switch", key.as_ref())))
    }

    fn time(&self, key: ClientConfigKey) -> Result<Option<Duration>> {
        self.text(key).map(|value| humantime::parse_duration(&value)).transpose().map_err(unfit)
    }

    fn number<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
        &self,
        key: ClientConfigKey,
    ) -> Result<Option<T>> {
        self.text(key).map(|value| value.parse()).transpose().map_err(unfit)
    }
}

fn unfit(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "HTTP client", source: source.into() }
}

/// Resolves a name to its addresses, starting with a random one, so that connections are spread over the
/// servers.
struct Spread(Arc<dyn Environment>);

impl Resolve for Spread {
    fn resolve(&self, name: Name) -> Resolving {
        let random = self.0.random();
        Box::pin(async move {
            let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let count = (addresses.len() as u64).max(1);
            addresses.rotate_left(usize::try_from(random % count).unwrap_or_default());
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
