use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::{runtime::Handle, sync::Mutex};

use super::BlockingStorage;
use crate::{
    Batch, Capabilities, Commit, Error, ErrorKind, Key, Listed, Meta, Object, Outcome, Prefix, Result,
    StorageBackend, paged,
};

/// A backend over a [`BlockingStorage`].
///
/// Each call runs on a blocking thread of tokio, one at a time, in the order in which they were first polled.
/// It needs a tokio runtime. Clones are the same handle.
///
/// - **Dropped futures.** A call that waits for its turn does not happen. A call that has begun goes on to
///   its end on its thread, and the next call waits for it.
/// - **Panics.** If the storage panics, the outcome of that commit is unknown, and a read did not happen. The
///   state of the storage is not known then, so every later call fails as [`ErrorKind::Poisoned`] and does
///   not happen. The storage must be opened again.
/// - **Close.** It waits for the calls before it, also for those whose futures were dropped. Calls after it
///   reach the storage.
///
/// The storage is dropped with the last clone, on the thread that drops it, and after a call that is still
/// running.
pub struct Blocking<S> {
    turn: Arc<Mutex<Turn<S>>>,
    capabilities: Capabilities,
    name: Option<String>,
    location_id: Option<String>,
}

/// What one call at a time has.
struct Turn<S> {
    storage: S,
    /// A call began and did not return.
    is_poisoned: bool,
}

/// Why a call has no answer of the storage.
enum Failed {
    /// It was not begun.
    NotBegun(Error),
    Panicked,
}

impl<S: BlockingStorage> Blocking<S> {
    /// A handle on `storage`.
    pub fn new(storage: S) -> Self {
        let (capabilities, name, location_id) =
            (storage.capabilities(), storage.name(), storage.location_id());
        let turn = Arc::new(Mutex::new(Turn { storage, is_poisoned: false }));
        Self { turn, capabilities, name, location_id }
    }

    /// Calls the storage once it is this call's turn.
    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut S) -> Result<T> + Send + 'static,
    ) -> std::result::Result<Result<T>, Failed> {
        let mut turn = self.turn.clone().lock_owned().await;
        if turn.is_poisoned {
            let what = format!("{} panicked in an earlier call, so its state is not known", self.title());
            let error = Error::not_applied(ErrorKind::Poisoned, what);
            return Err(Failed::NotBegun(error.with_hint("Open the storage again.")));
        }
        let Ok(runtime) = Handle::try_current() else {
            let what = format!("{} was called outside of a tokio runtime", self.title());
            return Err(Failed::NotBegun(Error::not_applied(ErrorKind::InvalidInput, what)));
        };
        let running = runtime.spawn_blocking(move || {
            turn.is_poisoned = true;
            let answer = call(&mut turn.storage);
            // IMPORTANT: only here. A panic leaves it set, and the lock is free for calls that see it.
            turn.is_poisoned = false;
            answer
        });
        match running.await {
            Ok(answer) => Ok(answer),
            Err(error) if error.is_panic() => Err(Failed::Panicked),
            // A blocking task is cancelled only before it begins, by a runtime that shuts down.
            Err(_) => {
                let what = format!("The tokio runtime was shutting down before {} was called", self.title());
                Err(Failed::NotBegun(Error::not_applied(ErrorKind::Unavailable, what)))
            }
        }
    }

    fn title(&self) -> &str {
        self.name.as_deref().unwrap_or("the storage")
    }

    /// As `call`, for a call that changes nothing.
    async fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut S) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.call(call).await.unwrap_or_else(|failed| Err(failed.error(self.title(), "reading")))
    }
}

impl Failed {
    fn error(self, title: &str, doing: &str) -> Error {
        match self {
            Self::NotBegun(error) => error,
            Self::Panicked => {
                let what = format!("{title} panicked while {doing}");
                Error::not_applied(ErrorKind::Poisoned, what).with_hint("Open the storage again.")
            }
        }
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

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        let this = self.clone();
        paged(prefix, after, move |span| {
            let this = this.clone();
            async move { this.read(move |storage| storage.page(&span)).await }
        })
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        batch.check(&self.capabilities)?;
        match self.call(move |storage| storage.commit(&batch)).await {
            Ok(answer) => answer,
            Err(failed @ Failed::Panicked) => {
                Err(failed.error(self.title(), "committing").with_outcome(Outcome::Unknown))
            }
            Err(failed @ Failed::NotBegun(_)) => Err(failed.error(self.title(), "committing")),
        }
    }

    async fn close(&self) -> Result<()> {
        self.call(S::close).await.unwrap_or_else(|failed| Err(failed.error(self.title(), "closing")))
    }

    fn name(&self) -> Option<String> {
        self.name.clone()
    }

    fn location_id(&self) -> Option<String> {
        self.location_id.clone()
    }
}

impl<S> Clone for Blocking<S> {
    fn clone(&self) -> Self {
        Self {
            turn: self.turn.clone(),
            capabilities: self.capabilities.clone(),
            name: self.name.clone(),
            location_id: self.location_id.clone(),
        }
    }
}

impl<S> fmt::Debug for Blocking<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").field("name", &self.name).finish_non_exhaustive()
    }
}
