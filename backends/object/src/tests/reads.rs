//! Results of reads, and error messages.

use pflow_backend::{ErrorKind, Excerpt};

use super::*;

#[tokio::test]
async fn reads_are_retried_and_never_truncated() {
    let server = Server::new();
    let backend = backend(&server);
    given(&backend, &server, "a", "the whole text").await;
    server.plan("GET", [Plan::Short, Plan::NoAnswer, Plan::Answered(500), Plan::Answered(429)]);
    let object = backend.get(&key("a")).await.unwrap().unwrap();
    assert_eq!(object.bytes, "the whole text");
    assert_eq!(server.requests().len(), 5);
    server.plan("HEAD", [Plan::Answered(503)]);
    assert_eq!(backend.stat(&key("a")).await.unwrap(), Some(object.meta));
}

#[tokio::test]
async fn range_is_one_request_with_size_and_version() {
    let server = Server::new();
    let backend = backend(&server);
    let version = given(&backend, &server, "a", "0123456789").await;
    for (range, bytes, asked) in [
        (0..1, "0", "GET p/a bytes=0-0"),
        (2..5, "234", "GET p/a bytes=2-4"),
        (8..30, "89", "GET p/a bytes=8-29"),
        (9..u64::MAX, "9", "GET p/a bytes=9-9223372036854775806"),
    ] {
        let expected = Excerpt::new(bytes, 10, Some(version.clone()));
        assert_eq!(backend.get_range(&key("a"), range).await.unwrap(), Some(expected));
        assert_eq!(server.requests(), [asked]);
    }
}

#[tokio::test]
async fn range_without_bytes_reads_the_metadata() {
    let server = Server::new();
    let backend = backend(&server);
    let version = given(&backend, &server, "a", "0123456789").await;
    let nothing = Excerpt::new("", 10, Some(version));
    for (range, asked) in [
        (10..11, vec!["GET p/a bytes=10-10", "HEAD p/a"]),
        (4..4, vec!["HEAD p/a"]),
        // No server has to parse such a number.
        (u64::MAX - 1..u64::MAX, vec!["HEAD p/a"]),
    ] {
        assert_eq!(backend.get_range(&key("a"), range).await.unwrap(), Some(nothing.clone()));
        assert_eq!(server.requests(), asked);
    }
    let version = given(&backend, &server, "empty", "").await;
    let found = backend.get_range(&key("empty"), 0..9).await.unwrap();
    assert_eq!(found, Some(Excerpt::new("", 0, Some(version))));
    assert_eq!(backend.get_range(&key("absent"), 0..9).await.unwrap(), None);
    assert_eq!(backend.get_range(&key("absent"), 0..0).await.unwrap(), None);
}

#[tokio::test]
async fn range_is_requested_again_if_the_object_has_grown() {
    let server = Server::new();
    let backend = backend(&server);
    given(&backend, &server, "a", "0123456789").await;
    // The answer is about an object that was shorter.
    server.plan("GET", [Plan::Answered(416)]);
    let found = backend.get_range(&key("a"), 2..4).await.unwrap().unwrap();
    assert_eq!(found.bytes, "23");
    assert_eq!(server.requests(), ["GET p/a bytes=2-3", "HEAD p/a", "GET p/a bytes=2-3"]);
    // A server that never changes its mind is an error, and no object without bytes.
    server.plan("GET", [Plan::Answered(416); 500]);
    let error = backend.get_range(&key("a"), 2..4).await.unwrap_err();
    assert_eq!(error.outcome(), pflow_backend::Outcome::NotApplied { applied: 0 }, "{error}");
}

#[tokio::test]
async fn server_that_ignores_ranges_is_read_whole() {
    let server = Server::new();
    let backend = backend(&server);
    let version = given(&backend, &server, "a", "0123456789").await;
    server.plan("GET", [Plan::IgnoresTheRange]);
    let found = backend.get_range(&key("a"), 2..4).await.unwrap();
    assert_eq!(found, Some(Excerpt::new("23", 10, Some(version))));
    assert_eq!(server.requests(), ["GET p/a bytes=2-3", "GET p/a"]);
}

#[tokio::test]
async fn ranges_are_retried_and_never_truncated() {
    let server = Server::new();
    let backend = backend(&server);
    given(&backend, &server, "a", "0123456789").await;
    server.plan("GET", [Plan::Short, Plan::NoAnswer, Plan::Answered(500), Plan::Answered(429), Plan::Stale]);
    let found = backend.get_range(&key("a"), 2..8).await.unwrap().unwrap();
    assert_eq!(found.bytes, "234567");
    assert_eq!(server.requests(), ["GET p/a bytes=2-7"; 6]);
    for (status, kind) in [(403, ErrorKind::Denied), (400, ErrorKind::Io)] {
        server.plan("GET", [Plan::Answered(status); 2]);
        let (whole, range) = (
            backend.get(&key("a")).await.unwrap_err(),
            backend.get_range(&key("a"), 2..8).await.unwrap_err(),
        );
        assert_eq!((range.kind(), range.to_string()), (kind, whole.to_string()));
    }
}

#[tokio::test]
async fn put_get_and_stat_return_the_same_version() {
    let server = Server::new();
    let backend = backend(&server);
    let Commit::Committed(versions) = commit(&backend, put("a", "one")).await.unwrap() else { panic!() };
    let put = versions.get(pflow_backend::Position { stage: 0, operation: 0 }).cloned();
    let get = backend.get(&key("a")).await.unwrap().map(|it| it.meta.version);
    let stat = backend.stat(&key("a")).await.unwrap().map(|it| it.version);
    assert!(put.is_some() && put == get && get == stat, "{put:?} {get:?} {stat:?}");
}

#[tokio::test]
async fn first_missing_key_leads_to_a_check_of_the_bucket() {
    let server = Server::new();
    assert_eq!(backend(&server).stat(&key("a")).await.unwrap(), None);
    assert_eq!(server.requests(), ["HEAD p/a", "LIST p/ "]);
    server.plan("LIST", [Plan::Answered(404)]);
    let error = backend(&server).stat(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    server.requests();
    // Once an answer has shown the bucket, it is not checked again.
    let seen = backend(&server);
    given(&seen, &server, "b", "x").await;
    assert_eq!(seen.stat(&key("a")).await.unwrap(), None);
    assert_eq!(server.requests(), ["HEAD p/a"]);
}

#[tokio::test]
async fn errors_never_repeat_a_secret_of_a_server_or_setting() {
    let server = Server::new();
    let backend = backend(&server);
    for status in [400, 401, 403, 409, 412, 500] {
        server.plan("PUT", [Plan::Answered(status); 500]);
        let error = commit(&backend, put("a", "one")).await.unwrap_err();
        let shown = format!("{error} {error:?} {backend:?} {:?}", backend.endpoint());
        assert!(!shown.contains("hunter2") && shown.contains("s3://plans/p"), "{shown}");
        server.forget_plans();
    }
}
