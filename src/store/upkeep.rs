use std::sync::Arc;

use tokio::sync::Mutex;

use crate::{behind::Behind, index::Index};

/// What runs behind the answers: one fold of the index at a time, and leases that are given back for callers
/// that are gone ([`crate::lock`]).
///
/// A task lives until it is through, and [`rest`](Self::rest) waits for it. A runtime that is dropped first
/// leaves what a crash in a fold leaves, which does no harm.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    tasks: Behind,
    turn: Arc<Mutex<()>>,
}

impl Upkeep {
    /// Looks whether a fold is due and folds, behind the caller. A look that is under way already is waited
    /// for: whoever writes faster than it folds must not leave more and more to readers.
    pub(super) async fn fold(&self, index: Arc<Index>) {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        self.tasks.spawn(async move {
            if let Err(error) = index.fold_if_due().await {
                tracing::warn!(%error, "what was saved stands, but the index was not folded; a later save makes up for it");
            }
            drop(turn);
        });
    }

    /// For others who have something to do behind an answer.
    pub(super) fn tasks(&self) -> Behind {
        self.tasks.clone()
    }

    /// Waits until everything has ended that has begun so far.
    pub(super) async fn rest(&self) {
        self.tasks.rest().await;
    }
}
