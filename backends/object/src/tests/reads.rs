//! What readers get, and what errors say.

use pflow_backend::ErrorKind;

use super::*;

#[tokio::test]
async fn reads_are_repeated_and_never_short() {
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
async fn put_get_and_stat_call_one_state_by_one_name() {
    let server = Server::new();
    let backend = backend(&server);
    let Commit::Committed(versions) = commit(&backend, put("a", "one")).await.unwrap() else { panic!() };
    let put = versions.get(pflow_backend::Position { stage: 0, operation: 0 }).cloned();
    let get = backend.get(&key("a")).await.unwrap().map(|it| it.meta.version);
    let stat = backend.stat(&key("a")).await.unwrap().map(|it| it.version);
    assert!(put.is_some() && put == get && get == stat, "{put:?} {get:?} {stat:?}");
}

#[tokio::test]
async fn a_first_key_that_is_not_there_may_be_a_bucket_that_is_not_there() {
    let server = Server::new();
    assert_eq!(backend(&server).stat(&key("a")).await.unwrap(), None);
    assert_eq!(server.requests(), ["HEAD p/a", "LIST p/ "]);
    server.plan("LIST", [Plan::Answered(404)]);
    let error = backend(&server).stat(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    server.requests();
    // Once the bucket was seen nobody asks for it again.
    let seen = backend(&server);
    given(&seen, &server, "b", "x").await;
    assert_eq!(seen.stat(&key("a")).await.unwrap(), None);
    assert_eq!(server.requests(), ["HEAD p/a"]);
}

#[tokio::test]
async fn nothing_that_a_server_or_a_setting_says_in_confidence_is_repeated() {
    let server = Server::new();
    let backend = backend(&server);
    for status in [400, 401, 403, 409, 412, 500] {
        server.plan("PUT", [Plan::Answered(status); 500]);
        let error = commit(&backend, put("a", "one")).await.unwrap_err();
        let shown = format!("{error} {error:?} {backend:?} {:?}", backend.place());
        assert!(!shown.contains("hunter2") && shown.contains("s3://plans/p"), "{shown}");
        server.forget_plans();
    }
}
