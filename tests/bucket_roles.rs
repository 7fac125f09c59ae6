//! The policies of `docs/guide/buckets.md` are enough for what their roles do, and no wider than the words beside them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod policy_support;
mod support;

use std::time::Duration;

use futures::StreamExt;
use pflow_store::{
    DeleteRequest, Expect, LeaseRequest, Query, Store, StoreOptions, pflow_backend::Prefix,
    pflow_backend_object::ObjectOptions,
};
use pflow_test_endpoints::S3Endpoint;
use policy_support::{Gate, Policy};
use support::{id, save};

const URL: &str = "s3://my-bucket/plans";

fn options(server: &S3Endpoint, gate: &Gate) -> StoreOptions {
    let mut variables = server.variables("my-bucket");
    variables.insert("AWS_ENDPOINT_URL".to_owned(), gate.url.clone());
    let object = ObjectOptions { variables, ..ObjectOptions::default() };
    StoreOptions::system().unwrap().object_options(object).fold_behind(false)
}

fn lease() -> LeaseRequest {
    LeaseRequest::new("t", Duration::from_secs(60))
}

/// Everything that the store does, as a writer.
async fn work(server: &S3Endpoint, gate: &Gate) {
    let store = Store::init_url(URL, options(server, gate).fold_after(2)).await.unwrap();
    for n in 0..6 {
        store.save(save(&format!("w{n}"), "1", Expect::Absent)).await.unwrap();
    }
    store.save(save("w0", "2", Expect::Generation(1))).await.unwrap();
    let grant = store.acquire(&id("w0"), lease()).await.unwrap();
    store.release(&id("w0"), grant.lease.id).await.unwrap();
    store.delete(DeleteRequest::new(id("w1"), Expect::Any)).await.unwrap();
    store.reindex().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_and_a_reader_do_all_of_theirs() {
    let server = S3Endpoint::start(["my-bucket"]);
    let writer = Gate::start(&server.url(), Policy::of_the_guide("Writer"));
    work(&server, &writer).await;
    assert_eq!(writer.refused(), [""; 0]);

    // Through the same door, since a place that was probed is known by its endpoint.
    let reader = writer;
    reader.set(Policy::of_the_guide("Reader"));
    let store = Store::open_url(URL, options(&server, &reader)).await.unwrap();
    assert_eq!(store.list(&Query::default()).await.unwrap().workflows.len(), 5);
    store.load(&id("w0")).await.unwrap();
    store.load_generation(&id("w0"), 1).await.unwrap();
    assert!(store.verify().await.unwrap().findings.is_empty());
    assert_eq!(reader.refused(), [""; 0]);
    let error = store.save(save("w0", "3", Expect::Any)).await.unwrap_err();
    let said = format!("{error} {}", error.hint().unwrap_or_default());
    assert!(said.contains("403 AccessDenied") && said.contains("Allow s3:PutObject"), "{said}");
    store.close().await.unwrap();
}

/// What the guide says of an agent that may remove nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_may_remove_nothing_saves_and_locks() {
    let server = S3Endpoint::start(["my-bucket"]);
    let agent = || Policy::of_the_guide("Append-only agent");
    let gate = Gate::start(&server.url(), agent());
    let error = Store::init_url(URL, options(&server, &gate)).await.unwrap_err();
    let said = format!("{error} {}", error.hint().unwrap_or_default());
    assert!(said.contains("Failed to probe the storage") && said.contains("Allow s3:DeleteObject"), "{said}");
    gate.set(Policy::of_the_guide("Writer"));
    work(&server, &gate).await;

    gate.set(agent());
    gate.refused();
    let store = Store::open_url(URL, options(&server, &gate).fold_after(2)).await.unwrap();
    for n in 0..6 {
        store.save(save(&format!("x{n}"), "1", Expect::Absent)).await.unwrap();
    }
    let grant = store.acquire(&id("x0"), lease()).await.unwrap();
    store.save(save("x0", "2", Expect::Generation(1)).lease(grant.lease.id.clone())).await.unwrap();
    store.release(&id("x0"), grant.lease.id).await.unwrap();
    assert!(store.lock_state(&id("x0")).await.unwrap().lease.is_none(), "whatever its mirror says");
    store.delete(DeleteRequest::new(id("x1"), Expect::Any)).await.unwrap();
    assert_eq!(store.list(&Query::default()).await.unwrap().workflows.len(), 10);
    store.close().await.unwrap();
    let refused = gate.refused();
    for left in ["ops/pending/", "ops/fold", "workflows/x0/workflow.lock", "workflows/x1/workflow.json"] {
        let left = format!("s3:DeleteObject arn:aws:s3:::my-bucket/plans/{left}");
        assert!(refused.iter().any(|it| it.starts_with(&left)), "{left}: {refused:#?}");
    }
    assert!(refused.iter().all(|it| it.starts_with("s3:DeleteObject ")), "{refused:#?}");

    // A writer tidies up.
    gate.set(Policy::of_the_guide("Writer"));
    let store = Store::open_url(URL, options(&server, &gate)).await.unwrap();
    store.reindex().await.unwrap();
    let pending = Prefix::parse("ops/pending").unwrap();
    let left: Vec<_> = store.backend().list(&pending, None).collect().await;
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(store.list(&Query::default()).await.unwrap().workflows.len(), 10);
    store.close().await.unwrap();
}
