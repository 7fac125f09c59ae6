//! Listings of buckets with any contents.

use futures::TryStreamExt;
use pflow_backend::{ErrorKind, Prefix};

use super::*;

async fn names(backend: &ObjectBackend, below: &str, after: Option<&str>) -> Result<Vec<String>> {
    let below = if below.is_empty() { Prefix::root() } else { Prefix::parse(below).unwrap() };
    let lines: Vec<_> = backend.list(&below, after.map(key).as_ref()).try_collect().await?;
    Ok(lines.into_iter().map(|line| line.key.to_string()).collect())
}

#[tokio::test]
async fn failed_page_is_requested_again_and_no_entry_is_missed() {
    let server = Server::new();
    let backend = backend(&server);
    for name in ["p/a", "p/b/1", "p/b/2", "p/c", "p/d"] {
        server.store(name, "x");
    }
    server.plan("LIST", [Plan::Plainly, Plan::Answered(500), Plan::NoAnswer]);
    assert_eq!(names(&backend, "", None).await.unwrap(), ["a", "b/1", "b/2", "c", "d"]);
    assert_eq!(names(&backend, "b", None).await.unwrap(), ["b/1", "b/2"]);
    assert_eq!(names(&backend, "", Some("b/1")).await.unwrap(), ["b/2", "c", "d"]);
    server.requests();
    assert!(names(&backend, "b", Some("c")).await.unwrap().is_empty());
    assert!(server.requests().is_empty(), "nothing can be there");
    assert_eq!(names(&backend, "b", Some("a")).await.unwrap(), ["b/1", "b/2"]);
}

#[tokio::test]
async fn foreign_objects_are_skipped() {
    let server = Server::new();
    let backend = backend(&server);
    server.show(&[("p/.journal/x", 3), ("p/a b", 3), ("p/c", 3), ("p/é", 3), ("q/other", 3)]);
    assert_eq!(names(&backend, "", None).await.unwrap(), ["c"]);
}

#[tokio::test]
async fn console_folders_are_not_listed() {
    let server = Server::new();
    let backend = backend(&server);
    // `p/a/` and `p/b/` as object_store shows them, in the server's order.
    server.show(&[("p/a-b", 3), ("p/a", 0), ("p/a/x", 3), ("p/b", 0), ("p/b/c", 0), ("p/d", 0)]);
    assert_eq!(names(&backend, "", None).await.unwrap(), ["a-b", "a/x", "b/c", "d"]);
}

#[tokio::test]
async fn listing_out_of_order_is_an_error() {
    for size in [0, 3] {
        let server = Server::new();
        let backend = backend(&server);
        server.show(&[("p/a", size), ("p/c", size), ("p/b", size)]);
        let error = names(&backend, "", None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsafe, "{error}");
    }
}
