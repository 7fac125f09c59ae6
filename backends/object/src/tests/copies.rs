//! Copies that are written after the answer.

use std::time::Duration;

use futures::{FutureExt, TryStreamExt};
use pflow_backend::{ErrorKind, Outcome, Position, Prefix};
use tokio::time::{sleep, timeout};

use super::{
    simulated::{Nature, Simulated, Virtual},
    *,
};

fn save(head: &'static str, copy: &'static str) -> Batch {
    Batch::new().stage([put("head", head)]).stage([put("copy", copy).copy()])
}

#[tokio::test]
async fn answer_does_not_wait_for_a_copy_and_close_does() {
    let server = Server::new();
    let backend = backend(&server);
    let versions = super::versions(backend.commit(save("1", "one")).await);
    assert_eq!(versions.get(Position { stage: 1, operation: 0 }), None);
    assert_eq!((server.holds("p/head").as_deref(), server.holds("p/copy")), (Some("1"), None));
    backend.close().await.unwrap();
    assert_eq!(server.holds("p/copy").as_deref(), Some("one"));
    // From now on no copy is written after an answer.
    let versions = super::versions(backend.commit(save("2", "two")).await);
    assert!(versions.get(Position { stage: 1, operation: 0 }).is_some());
    assert_eq!(server.holds("p/copy").as_deref(), Some("two"));
}

#[tokio::test]
async fn newest_of_several_waiting_copies_is_written() {
    let server = Server::new();
    let backend = backend(&server);
    for (head, copy) in [("1", "one"), ("2", "two"), ("3", "three")] {
        // No other task runs while this is polled, so the copies accumulate.
        versions(backend.commit(save(head, copy)).now_or_never().unwrap());
    }
    backend.close().await.unwrap();
    assert_eq!(server.holds("p/copy").as_deref(), Some("three"));
    let copies = server.requests().iter().filter(|it| *it == "PUT p/copy").count();
    assert_eq!(copies, 1);
}

#[tokio::test]
async fn handle_never_reads_an_older_copy_than_its_own() {
    let server = Server::new();
    let backend = backend(&server);
    server.plan("PUT", [Plan::Plainly, Plan::Answered(500), Plan::NoAnswer]);
    versions(backend.commit(save("1", "one")).await);
    assert_eq!(backend.get(&key("copy")).await.unwrap().unwrap().bytes, "one");
    versions(backend.commit(save("2", "twice")).await);
    assert_eq!(backend.stat(&key("copy")).await.unwrap().unwrap().size, 5);
}

#[tokio::test]
async fn later_write_of_the_key_lands_after_the_copy() {
    let server = Server::new();
    let backend = backend(&server);
    server.plan("PUT", [Plan::Plainly, Plan::Answered(500), Plan::Answered(503)]);
    versions(backend.commit(save("1", "one")).await);
    versions(commit(&backend, Operation::delete(key("copy"))).await);
    backend.close().await.unwrap();
    assert_eq!(server.holds("p/copy"), None);
}

#[tokio::test]
async fn close_reports_unwritten_copies_once() {
    let server = Server::new();
    let backend = backend(&server);
    server.plan("PUT", [Plan::Plainly, Plan::Answered(403)]);
    versions(backend.commit(save("1", "one")).await);
    let error = backend.close().await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Denied, Outcome::NotApplied { applied: 0 }));
    assert!(error.to_string().contains("copy"), "{error}");
    backend.close().await.unwrap();
}

#[tokio::test]
async fn failure_repaired_by_a_later_copy_is_not_reported() {
    let server = Server::new();
    let backend = backend(&server);
    server.plan("PUT", [Plan::Plainly, Plan::Answered(403)]);
    versions(backend.commit(save("1", "one")).await);
    assert_eq!(backend.get(&key("copy")).await.unwrap(), None);
    versions(backend.commit(save("2", "two")).await);
    backend.close().await.unwrap();
    assert_eq!(server.holds("p/copy").as_deref(), Some("two"));
}

#[tokio::test]
async fn more_keys_than_may_wait_are_all_written() {
    let server = Server::new();
    let backend = backend(&server);
    let names: Vec<String> = (0..200).map(|number| format!("copies/{number}")).collect();
    let copies = names.iter().map(|name| put(name, "x").copy());
    versions(backend.commit(Batch::new().stage([put("head", "1")]).stage(copies)).await);
    backend.close().await.unwrap();
    assert!(names.iter().all(|name| server.holds(&format!("p/{name}")).is_some()));
}

#[tokio::test]
async fn dropped_handle_writes_no_more_copies() {
    let server = Server::new();
    let backend = backend(&server);
    versions(backend.commit(save("1", "one")).now_or_never().unwrap());
    drop(backend);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.requests(), ["PUT p/head"]);
}

/// At no time are the copies of all 32 writers written.
#[tokio::test(start_paused = true)]
#[allow(clippy::disallowed_methods, reason = "the clock of the paused runtime is the test's own")]
async fn listings_and_reads_end_while_writers_go_on() {
    let server = Simulated::new(Nature { latency: Duration::from_millis(80), ..Nature::default() }, 1);
    let backend = simulated::backend(&server, Arc::new(Virtual::new(1)));
    let backend = Arc::new(backend);
    let writers = (0..32).map(|writer| {
        let backend = backend.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(7) * writer).await;
            let (head, copy) = (format!("heads/{writer}"), format!("copies/{writer}"));
            loop {
                let batch = Batch::new().stage([put(&head, "x")]).stage([put(&copy, "x").copy()]);
                versions(backend.commit(batch).await);
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    sleep(Duration::from_secs(2)).await;
    let prefix = Prefix::parse("copies").unwrap();
    let listed: Vec<_> = timeout(Duration::from_secs(1), backend.list(&prefix, None).try_collect())
        .await
        .expect("a listing ends")
        .unwrap();
    assert_eq!(listed.len(), 32);
    let read = timeout(Duration::from_secs(1), backend.get(&key("copies/7"))).await;
    assert_eq!(read.expect("a read ends").unwrap().unwrap().bytes, "x");
    assert!(writers.iter().all(|writer| !writer.is_finished()));
    writers.iter().for_each(|writer| writer.abort());
}
