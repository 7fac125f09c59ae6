use std::sync::Arc;

use tokio::sync::{Mutex, oneshot};

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
    ///
    /// The task has the turn, and not the caller: a caller that is kept and not polled holds no other one up.
    pub(super) async fn fold(&self, index: Arc<Index>) {
        let (begin, begun) = oneshot::channel();
        let turn = Arc::clone(&self.turn);
        self.tasks.spawn(async move {
            let turn = turn.lock_owned().await;
            // The caller may be gone.
            begin.send(()).ok();
            if let Err(error) = index.fold_if_due().await {
                tracing::warn!(%error, "the change was saved, but the index was not folded; a later save folds it");
            }
            drop(turn);
        });
        // An error means that the runtime ends.
        begun.await.ok();
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
