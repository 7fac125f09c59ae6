//! What answers in place of a server of objects is found out: nothing that it says counts as done.
#![cfg(feature = "s3")]

use std::time::Duration;

use crate::common::{
    impatient, open,
    raw::{RawServer, always},
};
use futures::TryStreamExt;
use pflow_backend::{Batch, Commit, Error, ErrorKind, Key, Operation, Outcome, Prefix, StorageBackend};
use pflow_backend_object::ObjectBackend;
use pflow_test_endpoints::s3_variables;

/// What no error may show.
const SECRET: &str = "hunter2hunter2";

fn backend(endpoint: &str) -> ObjectBackend {
    open("s3://plans/p", impatient(s3_variables(endpoint, "plans"))).unwrap()
}

fn key() -> Key {
    Key::parse("a/b").unwrap()
}

/// What it says when it is read: an object, what is known of it, and a listing.
async fn reads(backend: &ObjectBackend) -> Vec<Error> {
    vec![
        backend.get(&key()).await.unwrap_err(),
        backend.stat(&key()).await.unwrap_err(),
        backend.get_range(&key(), 1..3).await.unwrap_err(),
        backend.list(&Prefix::root(), None).try_collect::<Vec<_>>().await.unwrap_err(),
    ]
}

/// What it says when it is written to: with a condition, without one, and a deletion.
async fn writes(backend: &ObjectBackend) -> Vec<Error> {
    let mut said = Vec::new();
    for operation in
        [Operation::put(key(), "x").absent(), Operation::put(key(), "x"), Operation::delete(key())]
    {
        said.push(backend.commit(Batch::new().stage([operation])).await.unwrap_err());
    }
    said
}

#[track_caller]
fn assert_sentence(error: &Error, kind: ErrorKind, outcome: Outcome, words: &[&str]) {
    let shown = error.to_string();
    assert_eq!((error.kind(), error.outcome()), (kind, outcome), "{shown}");
    let told = format!("{shown} {}", error.hint().unwrap_or_default());
    assert!(words.iter().all(|word| told.contains(word)), "{words:?}: {told}");
    let all = format!("{error} {error:?}");
    assert!(!shown.contains('\n') && !all.contains(SECRET) && !all.contains("testtest"), "{all}");
}

/// A page with all headers that an object has.
fn page(content_type: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\netag: \"1\"\r\nlast-modified: Sun, 29 Nov 2026 10:00:00 GMT\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

const SURELY_NOT: Outcome = Outcome::NotApplied { applied: 0 };

#[tokio::test]
async fn a_redirect_is_not_followed_and_nothing_is_done() {
    let elsewhere = always(page("application/xml", "<ListBucketResult></ListBucketResult>")).await;
    for status in [301, 302, 303, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} Elsewhere\r\nlocation: {}/login?token={SECRET}\r\ncontent-length: 0\r\n\r\n",
            elsewhere.url()
        );
        let server = always(answer).await;
        let backend = backend(&server.url());
        let words = [&server.url(), &elsewhere.url(), "redirect", &status.to_string()];
        for error in reads(&backend).await {
            assert_sentence(&error, ErrorKind::Unavailable, SURELY_NOT, &words);
        }
        for error in writes(&backend).await {
            assert_sentence(&error, ErrorKind::Unavailable, Outcome::Unknown, &words);
        }
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn a_redirect_to_a_page_of_its_own_is_no_server_of_objects() {
    let server = always("HTTP/1.1 302 Found\r\nlocation: /ui/login\r\ncontent-length: 0\r\n\r\n").await;
    for error in reads(&backend(&server.url())).await {
        assert_sentence(&error, ErrorKind::Unavailable, SURELY_NOT, &["no S3 server", "another page", "302"]);
    }
}

/// S3 answers so while the name of a young bucket is not known everywhere. The document has no region.
#[tokio::test]
async fn a_redirect_of_s3_names_the_place_and_surely_did_nothing() {
    let body = "<Error><Code>TemporaryRedirect</Code></Error>";
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: https://plans.s3-eu-central-1.amazonaws.com/p/a/b\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let server = RawServer::start(move |head| {
        Some(answer.split_at(answer.len() - if head.starts_with("HEAD") { body.len() } else { 0 }).0.into())
    })
    .await;
    let backend = backend(&server.url());
    let words = ["us-east-1", "https://plans.s3-eu-central-1.amazonaws.com", "AWS_REGION"];
    for error in [backend.get(&key()).await.unwrap_err()].into_iter().chain(writes(&backend).await) {
        assert_sentence(&error, ErrorKind::Missing, SURELY_NOT, &words);
    }
}

/// A console, a captive portal, a web application that answers everything.
#[tokio::test]
async fn a_web_page_is_no_success() {
    for (content_type, body) in [
        ("text/html", "<!doctype html><title>Sign in</title>"),
        ("text/html; charset=utf-8", "<html><body>Console</body></html>"),
        ("application/xhtml+xml", "<html xmlns='http://www.w3.org/1999/xhtml'/>"),
    ] {
        let server = always(page(content_type, body)).await;
        let backend = backend(&server.url());
        let words = [&server.url(), "no S3 server", "web page"];
        for error in reads(&backend).await {
            assert_sentence(&error, ErrorKind::Unavailable, SURELY_NOT, &words);
        }
        // A proxy may show the page in place of an error of the server that was asked to write.
        for error in writes(&backend).await {
            assert_sentence(&error, ErrorKind::Unavailable, Outcome::Unknown, &words);
        }
    }
}

#[tokio::test]
async fn a_server_that_says_yes_to_everything_has_deleted_nothing() {
    let server = always(page("text/plain", "ok")).await;
    let deletion = Batch::new().stage([Operation::delete(key())]);
    let error = backend(&server.url()).commit(deletion).await.unwrap_err();
    assert_sentence(&error, ErrorKind::Unavailable, Outcome::Unknown, &["no S3 server", "web page"]);
}

/// What an ingress or a web application answers for a path that it does not know.
#[tokio::test]
async fn a_404_without_a_word_of_a_server_of_objects_deletes_and_hides_nothing() {
    for (content_type, body) in [
        ("text/plain; charset=utf-8", "404 page not found"),
        ("text/html", "<html><body>Not Found</body></html>"),
        ("text/plain", ""),
    ] {
        let not_found = format!(
            "HTTP/1.1 404 Not Found\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let list = page("application/xml", "<ListBucketResult></ListBucketResult>");
        let server = RawServer::start(move |head| {
            Some(if head.contains("list-type=2") { list.clone() } else { not_found.clone().into() })
        })
        .await;
        let backend = backend(&server.url());
        let listed: Vec<_> = backend.list(&Prefix::root(), None).try_collect().await.unwrap();
        assert!(listed.is_empty(), "the bucket is seen");
        let words = [&server.url(), "no S3 server"];
        let read = backend.get(&key()).await.unwrap_err();
        assert_sentence(&read, ErrorKind::Unavailable, SURELY_NOT, &words);
        for error in writes(&backend).await {
            assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        }
    }
}

/// A code, or a header of the cloud.
#[tokio::test]
async fn a_404_of_a_server_of_objects_is_believed() {
    let body = "<Error><Code>NoSuchKey</Code></Error>";
    for (header, body) in [("", body), ("x-amz-request-id: 1\r\n", ""), ("x-goog-hash: 1\r\n", "")] {
        let not_found =
            format!("HTTP/1.1 404 Not Found\r\n{header}content-length: {}\r\n\r\n{body}", body.len());
        let list = page("application/xml", "<ListBucketResult></ListBucketResult>");
        let server = RawServer::start(move |head| {
            Some(if head.contains("list-type=2") { list.clone() } else { not_found.clone().into() })
        })
        .await;
        let backend = backend(&server.url());
        assert_eq!(backend.get(&key()).await.unwrap(), None, "{header}");
        let done = backend.commit(Batch::new().stage([Operation::delete(key())])).await.unwrap();
        assert!(matches!(done, Commit::Committed(_)), "{header}");
    }
}

fn through(proxy: &str, endpoint: &str) -> ObjectBackend {
    let mut variables = s3_variables(endpoint, "plans");
    variables.insert("AWS_PROXY_URL".to_owned(), proxy.replace("http://", &format!("http://ada:{SECRET}@")));
    open("s3://plans/p", impatient(variables)).unwrap()
}

#[tokio::test]
async fn a_proxy_that_wants_credentials_is_named() {
    let proxy = always("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
    for endpoint in ["http://objects.example:9000", "https://objects.example"] {
        let backend = through(&proxy.url(), endpoint);
        for error in reads(&backend).await.into_iter().chain(writes(&backend).await) {
            assert_sentence(&error, ErrorKind::Denied, SURELY_NOT, &[&proxy.address, "asks for credentials"]);
        }
    }
}

#[tokio::test]
async fn a_proxy_that_leads_nowhere_is_named() {
    let refusing = always("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
    let endpoint = "https://objects.example";
    let error = through(&refusing.url(), endpoint).get(&key()).await.unwrap_err();
    let words = [&refusing.address, "does not lead to", endpoint, "refuses to connect"];
    assert_sentence(&error, ErrorKind::Unavailable, SURELY_NOT, &words);
    let (_held, closed) = closed();
    for endpoint in ["http://objects.example:9000", endpoint] {
        let put = Batch::new().stage([Operation::put(key(), "x").absent()]);
        let error = through(&format!("http://{closed}"), endpoint).commit(put).await.unwrap_err();
        let words = [closed.as_str(), "does not lead to", endpoint, "refused"];
        assert_sentence(&error, ErrorKind::Unavailable, SURELY_NOT, &words);
    }
}

/// A port that refuses for as long as the socket is held: it is bound and does not listen.
fn closed() -> (tokio::net::TcpSocket, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

#[tokio::test]
async fn plain_http_where_tls_is_configured_is_told() {
    let answer = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let server = always(answer).await;
    let endpoint = format!("https://{}", server.address);
    let backend = backend(&endpoint);
    for error in reads(&backend).await.into_iter().chain(writes(&backend).await) {
        let words = [&endpoint, "speaks plain HTTP", "http://", "AWS_ALLOW_HTTP=true"];
        assert_sentence(&error, ErrorKind::InvalidInput, SURELY_NOT, &words);
    }
}

/// TLS servers answer plain HTTP with an alert, with a page that says what is wrong, or not at all.
#[tokio::test]
async fn tls_where_plain_http_is_configured_is_told() {
    let alert = |description| vec![0x15, 3, 3, 0, 2, 2, description];
    let bad_request = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    for to_http in [Some(alert(10)), Some(bad_request.into()), None] {
        let handshake_failure = alert(40);
        let server = RawServer::start(move |head| match head {
            "" => Some(handshake_failure.clone()),
            _ => to_http.clone(),
        })
        .await;
        let backend = backend(&server.url());
        let words = [&server.url(), "speaks TLS", "https://"];
        for error in reads(&backend).await {
            assert_sentence(&error, ErrorKind::InvalidInput, SURELY_NOT, &words);
        }
        for error in writes(&backend).await {
            assert_sentence(&error, ErrorKind::InvalidInput, Outcome::Unknown, &words);
        }
    }
}

/// The limit of a connection covers the handshake: otherwise this would last as long as a request may.
#[tokio::test]
async fn a_server_that_is_silent_at_the_handshake_is_unreachable() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", silent.local_addr().unwrap());
    let limits = impatient(s3_variables(&endpoint, "plans")).connect_timeout(Duration::from_millis(200));
    let backend = open("s3://plans/p", limits).unwrap();
    let error = backend.get(&key()).await.unwrap_err();
    assert_sentence(&error, ErrorKind::Unavailable, SURELY_NOT, &[&endpoint, "cannot be reached"]);
}

/// The answer of a server of objects with this status line and these headers.
fn object(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\netag: \"1\"\r\nlast-modified: Sun, 29 Nov 2026 10:00:00 GMT\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Some servers and proxies know no ranges, and some answer with another range than was asked for.
#[tokio::test]
async fn a_server_without_ranges_is_read_whole_and_cut() {
    let whole = || object("200 OK", "", "0123456789");
    for part in [
        whole(),
        object("206 Partial Content", "", "0123456789"),
        object("206 Partial Content", "content-range: bytes 0-3/10\r\n", "0123"),
        object("206 Partial Content", "content-range: bytes 2-9/10\r\n", "23456789"),
        object("206 Partial Content", "content-range: bytes 2-4/*\r\n", "234"),
    ] {
        let server = RawServer::start(move |head| {
            let asks_range = head.to_ascii_lowercase().contains("\r\nrange: bytes=2-4\r\n");
            Some(if asks_range { part.clone() } else { whole() })
        })
        .await;
        let found = backend(&server.url()).get_range(&key(), 2..5).await.unwrap().unwrap();
        assert_eq!((&found.bytes[..], found.size), (&b"234"[..], 10));
        assert_eq!(found.version.as_ref().map(|it| it.as_str()), Some("1"));
        assert_eq!(server.requests(), 2);
    }
    let part = object("206 Partial Content", "content-range: bytes 2-4/10\r\n", "234");
    let server = always(part).await;
    let found = backend(&server.url()).get_range(&key(), 2..5).await.unwrap().unwrap();
    assert_eq!((&found.bytes[..], found.size, server.requests()), (&b"234"[..], 10, 1));
}
