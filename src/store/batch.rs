use futures::{Stream, StreamExt, stream};

use super::{SaveRequest, Saved, Store};
use crate::{Result, stored::WorkflowId};

impl Store {
    /// Saves many workflows, several side by side ([`crate::StoreOptions::concurrency`]), and yields each result in the order in which
    /// they were given. Each is a save of its own: some may fail while others succeed.
    /// Two of one workflow race with each other.
    ///
    /// Lazy: dropping the stream leaves what was begun with an open outcome and begins nothing more. When it ends by itself the index is
    /// folded, and in a store of up to 1,024 workflows its export, `index.json`, brought up to date; if that fails, a warning says so and a
    /// later save makes up for it.
    pub fn save_all<I>(&self, requests: I) -> impl Stream<Item = (WorkflowId, Result<Saved>)> + Send + use<I>
    where
        I: IntoIterator<Item = SaveRequest>,
        I::IntoIter: Send + 'static,
    {
        let store = self.clone();
        let durability = store.shared.objects.backend.capabilities().durability;
        let concurrency = store.shared.options.side_by_side(durability);
        let saving = store.clone();
        let saves = stream::iter(requests).map(move |request| {
            let store = saving.clone();
            async move {
                let id = request.id().clone();
                let saved = store.save(request).await;
                (id, saved)
            }
        });
        let fold = stream::once(async move {
            if let Err(error) = store.shared.index.fold_now().await {
                tracing::warn!(%error, "the workflows are saved, but the index was not folded");
            }
        });
        saves.buffered(concurrency).map(Some).chain(fold.map(|()| None)).filter_map(futures::future::ready)
    }
}
