//! The suite asks for no more than the contract: the weakest storage that keeps it passes too.

use std::sync::Arc;

use pflow_backend::{
    Batch, BoxStream, Capabilities, Commit, Conflict, Error, Key, Listed, ManualEnvironment, Object,
    Operation, Outcome, Position, Prefix, Result, StorageBackend, Versions, WriteKind, async_trait,
    conformance::{self, Harness, Site},
};
use pflow_backend_memory::MemoryBackend;
use tokio::task::yield_now;

/// As an object store: each operation is a request of its own, a conflict leaves what came before it, a
/// delete takes no condition, and there is one handle. An immutable put is one under `Absent`, and a range is
/// cut from the whole object.
#[derive(Debug, Clone)]
struct Weakest(MemoryBackend);

#[async_trait]
impl StorageBackend for Weakest {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        Some(&self.0)
    }

    fn capabilities(&self) -> Capabilities {
        let weak = self.0.capabilities().atomic_batch(false).conditional_delete(false);
        weak.immutable_puts(false).ranged_reads(false)
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.0.get(key).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        self.0.list(prefix, after)
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        batch.check(&self.capabilities())?;
        let mut versions = Vec::new();
        for (applied, stage) in batch.stages().iter().enumerate() {
            let mut of_stage = Vec::new();
            for (number, operation) in stage.iter().enumerate() {
                let operation = match operation {
                    Operation::Put { key, bytes, kind: WriteKind::Immutable, .. } => {
                        Operation::put(key.clone(), bytes.clone()).absent()
                    }
                    operation => operation.clone(),
                };
                let request = Batch::new().stage([operation]);
                let left = |error: Error| error.with_outcome(Outcome::NotApplied { applied });
                match self.0.commit(request).await.map_err(left)?.into_result() {
                    Ok(version) => {
                        of_stage.push(version.get(Position { stage: 0, operation: 0 }).cloned());
                    }
                    Err(Conflict { current, .. }) => {
                        let at = Position { stage: applied, operation: number };
                        return Ok(Commit::Conflict(Conflict::new(at, current, applied)));
                    }
                }
                yield_now().await;
            }
            versions.push(of_stage);
        }
        Ok(Commit::Committed(Versions::new(versions)))
    }

    async fn attempt(&self, put: Operation) -> Result<Commit> {
        self.commit(Batch::new().stage([put])).await
    }
}

struct OneHandle(Arc<ManualEnvironment>);

#[async_trait]
impl Harness for OneHandle {
    async fn fresh(&self) -> Result<Box<dyn Site>> {
        let objects = MemoryBackend::new(self.0.clone());
        Ok(Box::new(Weakest(objects.with_max_object_size(65_536))))
    }
}

#[async_trait]
impl Site for Weakest {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        Ok(Arc::new(self.clone()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_weakest_storage_that_keeps_the_contract_passes() {
    let report = conformance::run(&OneHandle(Arc::new(ManualEnvironment::new(1)))).await;
    report.assert_conformant();
    let expected = [
        "immutable::equal_bytes_succeed_again",
        "immutable::equal_bytes_let_the_batch_go_on",
        "immutable::a_dropped_batch_may_be_repeated",
        "immutable::a_put_without_reply_may_be_repeated",
        "immutable::of_many_equal_puts_all_succeed",
        "visibility::an_atomic_batch_is_never_seen_in_part",
        "racing::of_many_conditional_deletes_one_wins",
        "racing::transfers_between_two_keys_keep_the_sum",
        "polling::a_durable_commit_does_not_work_on_the_polling_thread",
        "polling::no_call_works_on_the_polling_thread",
        "interruption::calls_that_are_kept_hold_no_other_up",
        "lost_replies::a_create_without_reply_is_no_conflict_with_itself",
        "lost_replies::a_swap_without_reply_is_no_conflict_with_itself",
        "lost_replies::a_batch_without_reply_keeps_its_order",
        "failures::a_commit_that_fails_before_its_point_is_not_confirmed",
        "failures::a_commit_that_fails_after_its_point_is_not_denied",
        "failures::a_failed_read_is_an_error_and_never_unknown",
        "handles::a_second_handle_sees_commits_at_once",
        "handles::conditions_hold_across_handles",
        "handles::closing_keeps_everything",
        "handles::dropping_a_handle_keeps_everything",
        "handles::a_closed_handle_loses_nothing",
        "places::an_instance_is_one_place_and_stays",
    ];
    assert_eq!(report.skipped().collect::<Vec<_>>(), expected, "{report}");
}
