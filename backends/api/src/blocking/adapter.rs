use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::{
    BlockingStorage,
    queue::{Failed, Queue},
};
use crate::{
    Batch, Capabilities, Commit, Error, ErrorKind, Excerpt, Key, Listed, Meta, Object, Outcome, Prefix,
    Result, StorageBackend, paged,
};

/// A backend over a [`BlockingStorage`].
///
/// Each call runs on a blocking thread of tokio, one at a time, in the order in which they were first polled.
/// It needs a tokio runtime. Clones are the same handle.
///
/// - **Dropped futures.** A call that waits does not happen. A call that has begun goes on to its end on its
///   thread, and the next call waits for it.
/// - **Kept futures.** A call that was polled needs its future only for its answer. It holds no other call
///   up if it is not polled again.
/// - **Panics.** If the storage panics, the outcome of that commit is unknown, and a read did not happen. The
///   state of the storage is not known then, so every later call fails as [`ErrorKind::Poisoned`] and does
///   not happen. The storage must be opened again.
/// - **Close.** It waits for the calls before it, also for those whose futures were dropped. Calls after it
///   reach the storage.
///
/// The storage is dropped with the last clone, and after a call that is still running: on a blocking thread,
/// or on the thread that drops the clone if that is not in a runtime.
pub struct Blocking<S: BlockingStorage> {
    queue: Arc<Queue<S>>,
    capabilities: Capabilities,
    name: Option<String>,
    location_id: Option<String>,
}

impl<S: BlockingStorage> Blocking<S> {
    /// A handle on `storage`.
    pub fn new(storage: S) -> Self {
        let (capabilities, name, location_id) =
            (storage.capabilities(), storage.name(), storage.location_id());
        Self { queue: Arc::new(Queue::new(storage)), capabilities, name, location_id }
    }

    /// Calls the storage for a call that changes nothing.
    async fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut S) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.queue.call(call).await.unwrap_or_else(|failed| Err(self.error(failed, "reading")))
    }

    fn error(&self, failed: Failed, doing: &str) -> Error {
        let title = self.name.as_deref().unwrap_or("the storage");
        let (kind, what) = match failed {
            Failed::NoRuntime => {
                (ErrorKind::InvalidInput, format!("{title} was called outside of a tokio runtime"))
            }
            Failed::ShuttingDown => (
                ErrorKind::Unavailable,
                format!("The tokio runtime was shutting down before {title} was called"),
            ),
            Failed::Poisoned => (
                ErrorKind::Poisoned,
                format!("{title} panicked in an earlier call, so its state is not known"),
            ),
            Failed::Panicked => (ErrorKind::Poisoned, format!("{title} panicked while {doing}")),
        };
        let error = Error::not_applied(kind, what);
        if kind == ErrorKind::Poisoned { error.with_hint("Open the storage again.") } else { error }
    }
}

#[async_trait]
impl<S: BlockingStorage> StorageBackend for Blocking<S> {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        None
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        let key = key.clone();
        self.read(move |storage| storage.get(&key)).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        let key = key.clone();
        self.read(move |storage| storage.stat(&key)).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
        let key = key.clone();
        self.read(move |storage| storage.get_range(&key, range)).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        let this = self.clone();
        paged(prefix, after, move |span| {
            let this = this.clone();
            async move { this.read(move |storage| storage.page(&span)).await }
        })
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        batch.check(&self.capabilities)?;
        match self.queue.call(move |storage| storage.commit(&batch)).await {
            Ok(answer) => answer,
            Err(Failed::Panicked) => {
                Err(self.error(Failed::Panicked, "committing").with_outcome(Outcome::Unknown))
            }
            Err(not_begun) => Err(self.error(not_begun, "committing")),
        }
    }

    async fn close(&self) -> Result<()> {
        self.queue.call(S::close).await.unwrap_or_else(|failed| Err(self.error(failed, "closing")))
    }

    async fn instance(&self) -> Result<Option<String>> {
        self.read(S::instance).await
    }

    fn name(&self) -> Option<String> {
        self.name.clone()
    }

    fn location_id(&self) -> Option<String> {
        self.location_id.clone()
    }
}

impl<S: BlockingStorage> Clone for Blocking<S> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            capabilities: self.capabilities.clone(),
            name: self.name.clone(),
            location_id: self.location_id.clone(),
        }
    }
}

impl<S: BlockingStorage> fmt::Debug for Blocking<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").field("name", &self.name).finish_non_exhaustive()
    }
}
