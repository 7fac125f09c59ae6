use pflow_store::backend::{Batch, Operation, Precondition, Version, WriteKind};

use super::{
    VERSIONS, bytes,
    looks::key,
    run::Run,
    steps::{Change, Guess},
    world::{When, Write},
};

impl Run {
    /// The writes of a batch, by what is likely to be there, and the batch.
    pub(super) async fn batch(&mut self, handle: usize, changes: &[Vec<Change>]) -> (Vec<Vec<Write>>, Batch) {
        let (mut stages, mut batch) = (Vec::new(), Batch::new());
        for stage in changes {
            let (mut writes, mut operations) = (Vec::new(), Vec::new());
            for change in stage {
                let name = self.names[change.key];
                if !self.names_by_content() {
                    // Without this read the handle would know no version that the condition could name.
                    self.get(handle, name).await;
                }
                let likely = self.model.likely(name);
                let takes = change.body.is_some() || self.handles[handle].capabilities().conditional_delete;
                let guess = match change.guess {
                    // The others are refused where no delete takes a condition.
                    Guess::Absent | Guess::Present if !takes => Guess::Always,
                    guess => guess,
                };
                let when = match (guess, likely) {
                    (Guess::Always, _) => When::Always,
                    (Guess::Absent, _) | (Guess::Present, None) => When::Absent,
                    (Guess::Present, Some(body)) => When::Is(body),
                    (Guess::This(body), likely) if likely == Some(body) || self.names_by_content() => {
                        When::Is(body)
                    }
                    (Guess::This(_), _) => When::Never,
                };
                let condition = match when {
                    When::Always => Precondition::Always,
                    When::Absent => Precondition::Absent,
                    When::Is(body) if self.names_by_content() => {
                        Precondition::Is(VERSIONS[usize::from(body)].clone())
                    }
                    When::Is(_) => Precondition::Is(
                        self.handles[handle].stat(&key(name)).await.unwrap().unwrap().version,
                    ),
                    When::Never => Precondition::Is(Version::of_content(b"never")),
                };
                let put = |body| Operation::put(key(name), bytes(body));
                let operation = match (change.body.map(put), change.kind) {
                    (Some(put), WriteKind::Fresh) => put.fresh(),
                    (Some(put), WriteKind::Swap) => put,
                    (Some(put), WriteKind::Copy) => put.copy(),
                    (Some(put), WriteKind::Immutable) => put.immutable(),
                    (None, _) => Operation::delete(key(name)),
                };
                operations.push(operation.when(condition));
                writes.push(Write { key: name, body: change.body, kind: change.kind, when });
            }
            stages.push(writes);
            batch = batch.stage(operations);
        }
        (stages, batch)
    }
}
