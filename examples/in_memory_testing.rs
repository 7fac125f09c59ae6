//! How a program that embeds the store tests itself: storage in memory, and a clock that the test controls.
//!
//! ```sh
//! cargo run -p examples --bin in_memory_testing
//! ```

#![allow(clippy::print_stdout, clippy::expect_used, reason = "an example prints what it does")]

use std::{error::Error, sync::Arc, time::Duration};

use pflow_store::memory::MemoryBackend;
use pflow_store::{
    Expect, LeaseRequest, SaveRequest, Store, WorkflowId,
    backend::{Environment, ManualEnvironment},
};

/// The program under test: a robot that improves a plan, at most once an hour.
async fn improve(store: &Store, id: &WorkflowId) -> Result<u64, pflow_store::Error> {
    let lease = store.acquire(id, LeaseRequest::new("improve", Duration::from_secs(3600))).await?.lease;
    let loaded = store.load(id).await?;
    let better = String::from_utf8_lossy(&loaded.content).replace("slow", "fast");
    let expect = Expect::Generation(loaded.record.generation);
    let saved = store.save(SaveRequest::new(id.clone(), better, expect).lease(lease.id)).await?;
    // It does not release the lease, which keeps the next robot away until it expires.
    Ok(saved.generation)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // The seed makes ids and jitter the same in every run.
    let environment = Arc::new(ManualEnvironment::new(42));
    let backend = Arc::new(MemoryBackend::new(environment.clone()));
    let store = Store::on(backend).environment(environment.clone()).clock_skew(Duration::ZERO).init().await?;
    let id = WorkflowId::parse("plan")?;
    store.save(SaveRequest::new(id.clone(), r#"{"speed":"slow"}"#, Expect::Absent)).await?;

    assert_eq!(improve(&store, &id).await?, 2);
    assert_eq!(store.load(&id).await?.content, r#"{"speed":"fast"}"#);

    let refused = improve(&store, &id).await.expect_err("the first robot's lease is live");
    println!("at {}: {refused}", environment.now());

    // The test advances the clock by an hour instead of waiting.
    environment.advance(Duration::from_secs(3601));
    store.save(SaveRequest::new(id.clone(), r#"{"speed":"slow again"}"#, Expect::Any)).await?;
    assert_eq!(improve(&store, &id).await?, 4);
    println!("at {}: {}", environment.now(), String::from_utf8_lossy(&store.load(&id).await?.content));
    Ok(())
}
