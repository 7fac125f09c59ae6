use std::sync::Arc;

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use pflow_backend::ErrorKind;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::{SaveRequest, Saved, Store};
use crate::{Error, Result, format::WorkflowId};

/// The number of saves after which a long batch folds the index, so that readers need not read too many heads
/// meanwhile.
const FOLD_EVERY: usize = 1024;

impl Store {
    /// Saves many workflows, several side by side ([`crate::StoreBuilder::concurrency`]), and yields the
    /// results in the order of the requests. Each request is a separate save: some may fail while others
    /// succeed. Two saves of one workflow race with each other.
    ///
    /// The stream is lazy. If it is dropped, the saves that began have an unknown outcome, and no other save
    /// begins. At the end of the stream the index is folded. Its base and its export `index.json` are
    /// rewritten as well if the changes since the last base amount to at least half of that base. If this
    /// fails, a warning is logged, and a later save repeats it.
    pub fn save_all<I>(&self, requests: I) -> BoxStream<'static, (WorkflowId, Result<Saved>)>
    where
        I: IntoIterator<Item = SaveRequest>,
        I::IntoIter: Send + 'static,
    {
        let store = self.clone();
        let concurrency = store.shared.settings.side_by_side(store.shared.objects.traits);
        let saving = store.clone();
        let saves = stream::iter(requests).map(move |request| {
            let store = saving.clone();
            let id = request.id().clone();
            let what = format!("the save of {id}");
            // A task of its own, so that all processors are used. It is aborted when the stream is dropped.
            let save = async move { store.save_of_batch(request).await };
            let mut task = JoinSet::new();
            task.spawn(save.in_current_span());
            async move {
                let stopped =
                    || pflow_backend::Error::unknown(ErrorKind::Unavailable, "The save was stopped");
                let saved = match task.join_next().await {
                    Some(Ok(saved)) => saved,
                    Some(Err(error)) => {
                        Err(Error::OutcomeUnknown { what, source: stopped().with_source(error) })
                    }
                    None => Err(Error::OutcomeUnknown { what, source: stopped() }),
                };
                (id, saved)
            }
        });
        let between = store.clone();
        let saves = saves.buffered(concurrency).enumerate().then(move |(n, saved)| {
            let store = between.clone();
            async move {
                if (n + 1).is_multiple_of(FOLD_EVERY) {
                    let index = Arc::clone(&store.shared.index);
                    store.fold(async move { index.fold_if_due().await.map(drop) }).await;
                }
                saved
            }
        });
        let end = stream::once(async move {
            let index = Arc::clone(&store.shared.index);
            store.fold(async move { index.fold_now().await }).await;
        });
        saves.map(Some).chain(end.map(|()| None)).filter_map(futures::future::ready).boxed()
    }

    /// Folds, unless the store is shut down: a later save makes up for it. A task of its own, so that a stream
    /// that is kept and not polled does not hold up a shutdown.
    async fn fold(&self, fold: impl Future<Output = Result<()>> + Send + 'static) {
        let Some(admission) = self.shared.gate.admit_optional() else { return };
        let task = self.shared.upkeep.tasks().spawn(async move {
            let folded = fold.await;
            drop(admission);
            folded
        });
        // An error of the task means that the runtime ends.
        if let Ok(Err(error)) = task.await {
            tracing::warn!(%error, "the workflows are saved, but the index was not folded");
        }
    }
}
