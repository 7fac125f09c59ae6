//! Results of reads, and error messages.

use pflow_backend::ErrorKind;

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
