//! Memory keeps the contract.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use pflow_backend::{
    Batch, BoxStream, Capabilities, Commit, Error, ErrorKind, Key, Listed, ManualEnvironment, Meta, Object,
    Outcome, Prefix, Result, StorageBackend, async_trait,
    conformance::{self, Harness, Report, Site},
};
use pflow_backend_memory::MemoryBackend;

/// Storages in memory that take objects of at most so many bytes.
struct InMemory {
    max_object_size: u64,
}

struct Shared(MemoryBackend);

#[async_trait]
impl Harness for InMemory {
    async fn fresh(&self) -> Result<Box<dyn Site>> {
        let storage = MemoryBackend::new(Arc::new(ManualEnvironment::new(1)));
        Ok(Box::new(Shared(storage.with_max_object_size(self.max_object_size))))
    }
}

#[async_trait]
impl Site for Shared {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        Ok(Arc::new(self.0.clone()))
    }

    async fn reopen(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(Arc::new(self.0.clone())))
    }

    async fn losing_a_reply(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(Arc::new(LosingReplies(self.0.clone()))))
    }
}

/// Does what it is told and never says so.
#[derive(Debug)]
struct LosingReplies(MemoryBackend);

#[async_trait]
impl StorageBackend for LosingReplies {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.0.get(key).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        self.0.stat(key).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        self.0.list(prefix, after)
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        drop(self.0.commit(batch).await?);
        Err(Error::new(ErrorKind::Io, "The reply was lost").with_outcome(Outcome::Unknown))
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

fn assert_conformant_in_all(report: &Report) {
    report.assert_conformant();
    assert_eq!(report.skipped().collect::<Vec<_>>(), Vec::<&str>::new(), "{report}");
    assert!(report.cases().count() > 60, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_keeps_the_contract_in_parallel() {
    assert_conformant_in_all(&conformance::run(&InMemory { max_object_size: 2 << 20 }).await);
}

#[tokio::test]
async fn memory_keeps_the_contract_on_one_thread() {
    assert_conformant_in_all(&conformance::run(&InMemory { max_object_size: 4_096 }).await);
}

#[test]
fn memory_keeps_the_contract_without_a_runtime() {
    let harness = InMemory { max_object_size: 4_096 };
    let mut run = pin!(conformance::run(&harness));
    let mut context = Context::from_waker(Waker::noop());
    let report = loop {
        if let Poll::Ready(report) = run.as_mut().poll(&mut context) {
            break report;
        }
    };
    assert_conformant_in_all(&report);
}

#[tokio::test]
async fn memory_without_a_limit_skips_the_limit_alone() {
    let report = conformance::run(&InMemory { max_object_size: u64::MAX }).await;
    report.assert_conformant();
    assert_eq!(
        report.skipped().collect::<Vec<_>>(),
        ["batches::an_object_over_the_limit_is_refused"],
        "{report}"
    );
}
