//! Every setting of the HTTP client is applied or refused. None is ignored silently.
#![cfg(all(feature = "s3", feature = "gcs"))]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::common::{impatient, open, raw::RawServer};
use object_store::ClientConfigKey;
use pflow_backend::{Batch, Commit, Error, ErrorKind, Key, Operation, StorageBackend};
use pflow_backend_object::ObjectBackend;
use pflow_test_endpoints::s3_variables;

fn open_with(endpoint: &str, settings: &[(&str, &str)]) -> Result<ObjectBackend, Error> {
    let mut variables = s3_variables(endpoint, "plans");
    variables.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    open("s3://plans/p", impatient(variables))
}

/// Returns the heads of the requests of a write, to a server that accepts all of them.
async fn heads(at: &str, settings: &[(&str, &str)], heard: &Mutex<Vec<String>>) -> String {
    let backend = open_with(at, settings).unwrap();
    let put = Operation::put(Key::parse("a").unwrap(), "x");
    let done = backend.commit(Batch::new().stage([put])).await.unwrap();
    assert!(matches!(done, Commit::Committed(_)), "{settings:?}: {done:?}");
    std::mem::take(&mut *heard.lock().unwrap()).concat().to_ascii_lowercase()
}

/// A server that accepts every write, and the requests that it received.
async fn server() -> (RawServer, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = heard.clone();
    let answering = RawServer::start(move |head| {
        ears.lock().unwrap().push(head.to_owned());
        Some(b"HTTP/1.1 200 OK\r\netag: \"1\"\r\ncontent-length: 0\r\n\r\n".to_vec())
    });
    (answering.await, heard)
}

#[test]
fn a_value_that_does_not_fit_is_refused() {
    let keys = [
        (ClientConfigKey::AllowHttp, "perhaps"),
        (ClientConfigKey::AllowInvalidCertificates, "perhaps"),
        (ClientConfigKey::NoSystemCertificates, "perhaps"),
        (ClientConfigKey::ConnectTimeout, "3s"),
        (ClientConfigKey::Http1Only, "perhaps"),
        (ClientConfigKey::Http2KeepAliveInterval, "soon"),
        (ClientConfigKey::Http2KeepAliveTimeout, "soon"),
        (ClientConfigKey::Http2KeepAliveWhileIdle, "perhaps"),
        (ClientConfigKey::Http2MaxFrameSize, "much"),
        (ClientConfigKey::Http2Only, "perhaps"),
        (ClientConfigKey::PoolIdleTimeout, "soon"),
        (ClientConfigKey::PoolMaxIdlePerHost, "many"),
        (ClientConfigKey::ProxyUrl, "http://["),
        (ClientConfigKey::RandomizeAddresses, "perhaps"),
        (ClientConfigKey::ReadTimeout, "soon"),
        (ClientConfigKey::Timeout, "3s"),
        (ClientConfigKey::UserAgent, "two\nlines"),
    ];
    // These settings accept every value. Whether they are applied is tested below.
    let any = [
        ClientConfigKey::DefaultContentType,
        ClientConfigKey::ProxyCaCertificate,
        ClientConfigKey::ProxyExcludes,
    ];
    for (key, value) in keys {
        let name = format!("AWS_{}", key.as_ref().to_ascii_uppercase());
        // Over TLS: plain HTTP would be refused for the switch that allows it.
        let error = open_with("https://127.0.0.1:1", &[(&name, value)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
        assert!(error.to_string().contains(&name), "{name}: {error}");
    }
    let unknown = serde_json::from_str::<ClientConfigKey>("\"Other\"").unwrap_err().to_string();
    let known = unknown.matches('`').count() / 2 - 1;
    assert_eq!(known, keys.len() + any.len(), "object_store has another setting: {unknown}");
}

#[tokio::test]
async fn settings_that_fit_are_accepted() {
    let (server, heard) = server().await;
    for (name, value) in [
        ("AWS_ALLOW_INVALID_CERTIFICATES", "true"),
        ("AWS_DISABLE_SYSTEM_CERTIFICATES", "yes"),
        ("AWS_HTTP1_ONLY", "on"),
        ("AWS_HTTP2_KEEP_ALIVE_INTERVAL", "30 seconds"),
        ("AWS_HTTP2_KEEP_ALIVE_TIMEOUT", "1m"),
        ("AWS_HTTP2_KEEP_ALIVE_WHILE_IDLE", "1"),
        ("AWS_HTTP2_MAX_FRAME_SIZE", "32768"),
        ("AWS_HTTP2_ONLY", "false"),
        ("AWS_POOL_IDLE_TIMEOUT", "5s"),
        ("AWS_POOL_MAX_IDLE_PER_HOST", "3"),
        ("AWS_RANDOMIZE_ADDRESSES", "false"),
        ("AWS_READ_TIMEOUT", "10s"),
    ] {
        assert!(heads(&server.url(), &[(name, value)], &heard).await.contains("put /"));
    }
}

#[tokio::test]
async fn what_a_request_carries_is_as_it_is_set() {
    let (server, heard) = server().await;
    let url = server.url();
    let sent = heads(&url, &[], &heard).await;
    assert!(sent.contains("user-agent: pflow-backend-object/"), "{sent}");
    let agent = [("AWS_USER_AGENT", "Agent/7"), ("AWS_DEFAULT_CONTENT_TYPE", "text/markdown")];
    let sent = heads(&url, &agent, &heard).await;
    assert!(sent.contains("user-agent: agent/7") && sent.contains("content-type: text/markdown"), "{sent}");
    assert!(!sent.contains("accept-encoding"), "a size is that of what is stored: {sent}");
}

#[tokio::test]
async fn a_host_is_resolved_whether_its_addresses_are_spread_or_not() {
    let (server, heard) = server().await;
    let named = server.url().replace("127.0.0.1", "localhost");
    for spread in ["true", "false"] {
        let sent = heads(&named, &[("AWS_RANDOMIZE_ADDRESSES", spread)], &heard).await;
        assert!(sent.contains("host: localhost:"), "{sent}");
    }
}

#[tokio::test]
async fn a_proxy_is_used_but_for_the_hosts_that_are_excluded() {
    let ((server, to_server), (proxy, to_proxy)) = (server().await, server().await);
    let at = server.url();
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let through = [("AWS_PROXY_URL", proxy.url())];
    let through = through.each_ref().map(|(name, value)| (*name, value.as_str()));
    let sent = heads(&at, &through, &to_proxy).await;
    assert!(sent.contains(&format!("put {at}/plans/p/a")), "{sent}");
    assert_eq!(server.requests(), 0);
    let past = [through[0], ("AWS_PROXY_EXCLUDES", "127.0.0.1")];
    assert!(heads(&at, &past, &to_server).await.contains("put /plans/p/a"));
    assert_eq!(proxy.requests(), 1);
    let error = open_with(&at, &[through[0], ("AWS_PROXY_CA_CERTIFICATE", certificate)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "the certificate is looked at: {error}");
}

#[tokio::test]
async fn http2_alone_is_spoken_when_it_is_set() {
    let (server, heard) = server().await;
    let mut variables = s3_variables(&server.url(), "plans");
    variables.insert("AWS_HTTP1_ONLY".to_owned(), "false".to_owned());
    variables.insert("AWS_HTTP2_ONLY".to_owned(), "true".to_owned());
    let deadline = Duration::from_millis(100);
    let backend = open("s3://plans/p", impatient(variables).deadline(deadline)).unwrap();
    // The server speaks HTTP/1 alone, so what it answers cannot be read.
    backend.stat(&Key::parse("a").unwrap()).await.unwrap_err();
    let begun = heard.lock().unwrap().first().cloned().unwrap();
    assert!(begun.starts_with("PRI * HTTP/2.0"), "{begun}");
}
