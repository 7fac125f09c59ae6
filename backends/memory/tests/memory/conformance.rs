//! The memory backend passes the conformance suite.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use pflow_backend::{
    ManualEnvironment, Result, StorageBackend, async_trait,
    conformance::{self, Harness, LosingReplies, Report, Site},
};
use pflow_backend_memory::MemoryBackend;

/// Storages in memory that take objects of at most so many bytes.
struct InMemory {
    max_object_size: u64,
    /// One for all of them: two environments with one seed draw the same ids.
    environment: Arc<ManualEnvironment>,
}

impl InMemory {
    fn of(max_object_size: u64) -> Self {
        Self { max_object_size, environment: Arc::new(ManualEnvironment::new(1)) }
    }
}

struct Shared(MemoryBackend);

#[async_trait]
impl Harness for InMemory {
    async fn fresh(&self) -> Result<Box<dyn Site>> {
        let storage = MemoryBackend::new(self.environment.clone());
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
        Ok(Some(Arc::new(LosingReplies::new(Arc::new(self.0.clone())))))
    }
}

/// Memory waits for nothing and cannot fail.
const CANNOT_HAPPEN: [&str; 5] = [
    "polling::a_durable_commit_does_not_work_on_the_polling_thread",
    "polling::no_call_works_on_the_polling_thread",
    "failures::a_commit_that_fails_before_its_point_is_not_confirmed",
    "failures::a_commit_that_fails_after_its_point_is_not_denied",
    "failures::a_failed_read_is_an_error_and_never_unknown",
];

fn assert_conformant_in_all(report: &Report) {
    report.assert_conformant();
    assert_eq!(report.skipped().collect::<Vec<_>>(), CANNOT_HAPPEN, "{report}");
    assert!(report.cases().count() > 70, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_keeps_the_contract_in_parallel() {
    assert_conformant_in_all(&conformance::run(&InMemory::of(2 << 20)).await);
}

#[tokio::test]
async fn memory_keeps_the_contract_on_one_thread() {
    assert_conformant_in_all(&conformance::run(&InMemory::of(4_096)).await);
}

#[test]
fn memory_keeps_the_contract_without_a_runtime() {
    let harness = InMemory::of(4_096);
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
    let report = conformance::run(&InMemory::of(u64::MAX)).await;
    report.assert_conformant();
    let limit = "batches::an_object_over_the_limit_is_refused";
    let skipped: Vec<&str> = report.skipped().filter(|case| !CANNOT_HAPPEN.contains(case)).collect();
    assert_eq!(skipped, [limit], "{report}");
}
