use pflow_store::backend::{
    Batch, Capabilities, Commit, Conflict, Error, Operation, Outcome, Position, Result, StorageBackend,
    Versions, WriteKind, async_trait,
};

use super::Layer;

/// Makes a storage behave like a bucket: each operation is a request of its own, a conflict leaves the
/// earlier stages in place and may be with the writer's own earlier attempt, and deletes are unconditional
/// unless people edit the objects in place.
#[derive(Debug)]
pub struct Staged<B>(pub B);

#[async_trait]
impl<B: StorageBackend> Layer for Staged<B> {
    fn below(&self) -> &dyn StorageBackend {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        let capabilities = self.0.capabilities();
        let are_files = capabilities.plain_files;
        capabilities.atomic_batch(false).conditional_delete(are_files).exact_conflicts(false)
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        batch.check(&Layer::capabilities(self))?;
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
                        let written_once = matches!(
                            it,
                            Operation::Put { kind: WriteKind::Fresh | WriteKind::Immutable, .. }
                        );
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
}
