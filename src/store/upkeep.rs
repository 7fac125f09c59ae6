use std::sync::Arc;

use tokio::sync::Mutex;

use crate::{behind::Behind, index::Index};

/// Background work after answers: one fold of the index at a time, and the release of leases for callers that
/// are gone ([`crate::lock`]).
///
/// A task runs until it is done, and [`rest`](Self::rest) waits for it. If the runtime is dropped first, the
/// effect is that of a crash during a fold, which is harmless.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    tasks: Behind,
    turn: Arc<Mutex<()>>,
}

impl Upkeep {
    /// Checks whether a fold is due and folds, in the background. If an earlier check still runs, the caller
    /// waits for it: a writer that writes faster than it folds must not leave ever more work to readers.
    pub(super) async fn fold(&self, index: Arc<Index>) {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        self.tasks.spawn(async move {
            if let Err(error) = index.fold_if_due().await {
                tracing::warn!(%error, "the change was saved, but the index was not folded; a later save folds it");
            }
            drop(turn);
        });
    }

    /// The tasks, for other background work.
    pub(super) fn tasks(&self) -> Behind {
        self.tasks.clone()
    }

    /// Waits for all tasks that have begun so far.
    pub(super) async fn rest(&self) {
        self.tasks.rest().await;
    }
}
