use pflow_store::backend::{
    Batch, BoxStream, Capabilities, Commit, Conflict, Error, Key, Listed, Object, Operation, Outcome,
    Position, Prefix, Result, StorageBackend, Versions, WriteKind, async_trait,
};

/// Makes a storage behave like a bucket: each operation is a request of its own, a conflict leaves the
/// earlier stages in place and may be with the writer's own earlier attempt, and deletes are unconditional
/// unless people edit the objects in place.
#[derive(Debug)]
pub(crate) struct Staged<B>(pub(crate) B);

#[async_trait]
impl<B: StorageBackend> StorageBackend for Staged<B> {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        Some(&self.0)
    }

    fn capabilities(&self) -> Capabilities {
        let capabilities = self.0.capabilities();
        let are_files = capabilities.plain_files;
        capabilities.atomic_batch(false).conditional_delete(are_files).exact_conflicts(false)
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
            for (operation, it) in stage.iter().enumerate() {
                let left = |error: Error| match error.outcome() {
                    Outcome::Unknown => error,
                    Outcome::NotApplied { .. } => error.with_outcome(Outcome::NotApplied { applied }),
                };
                match self.0.commit(Batch::new().stage([it.clone()])).await.map_err(left)?.into_result() {
                    Ok(version) => {
                        of_stage.push(version.get(Position { stage: 0, operation: 0 }).cloned());
                    }
                    Err(Conflict { current, .. }) => {
                        let at = Position { stage: applied, operation };
                        let conflict = Conflict::new(at, current, applied);
                        let written_once = matches!(it, Operation::Put { kind: WriteKind::Fresh, .. });
                        return Ok(if written_once {
                            Commit::Conflict(conflict)
                        } else {
                            Commit::Overtaken(conflict)
                        });
                    }
                }
                tokio::task::yield_now().await;
            }
            versions.push(of_stage);
        }
        Ok(Commit::Committed(Versions::new(versions)))
    }

    async fn attempt(&self, put: Operation) -> Result<Commit> {
        self.commit(Batch::new().stage([put])).await
    }
}
