use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio_util::task::TaskTracker;

use crate::index::Index;

/// Housekeeping that runs behind the answers: one fold at a time.
///
/// A task lives until its fold is through, and [`rest`](Self::rest) waits for it. Whoever drops the runtime first leaves what a crash
/// in a fold leaves, which does no harm.
#[derive(Debug)]
pub(super) struct Upkeep {
    tasks: TaskTracker,
    folding: Arc<AtomicBool>,
}

impl Upkeep {
    pub(super) fn new() -> Self {
        Self { tasks: TaskTracker::new(), folding: Arc::default() }
    }

    /// Folds the index if that is due, unless a fold is under way: then what it misses is for the next one.
    pub(super) fn fold(&self, index: Arc<Index>) {
        if self.folding.swap(true, Ordering::AcqRel) {
            return;
        }
        let folding = Folding(Arc::clone(&self.folding));
        self.tasks.spawn(async move {
            if let Err(error) = index.fold_if_due().await {
                tracing::warn!(%error, "what was saved stands, but the index was not folded; a later save makes up for it");
            }
            drop(folding);
        });
    }

    /// Waits until nothing runs any more.
    pub(super) async fn rest(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

/// Says that no fold runs any more, also where the task is dropped.
struct Folding(Arc<AtomicBool>);

impl Drop for Folding {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
