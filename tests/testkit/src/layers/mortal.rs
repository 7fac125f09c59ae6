use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use futures::{FutureExt, channel::oneshot};
use pflow_store::backend::{Batch, Commit, Operation, Result, StorageBackend, async_trait};

use super::Layer;

/// A storage whose next put of a key gets no reply, or runs after another action.
#[derive(Clone)]
pub struct Mortal {
    inner: Arc<dyn StorageBackend>,
    at: Arc<Mutex<Option<(&'static str, Event)>>>,
}

enum Event {
    Dies(oneshot::Sender<()>),
    Runs(BoxFuture<'static, ()>),
}

impl Mortal {
    pub fn new(inner: Arc<dyn StorageBackend>) -> Self {
        Self { inner, at: Arc::default() }
    }

    /// The next commit that puts `key` does not happen and is never answered. What is returned ends then.
    pub fn dies_before(&self, key: &'static str) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        *self.at.lock().unwrap() = Some((key, Event::Dies(sender)));
        receiver
    }

    /// This comes before the next commit that puts `key`.
    pub fn runs_before(&self, key: &'static str, what: impl Future<Output = ()> + Send + 'static) {
        *self.at.lock().unwrap() = Some((key, Event::Runs(what.boxed())));
    }

    /// Cancels the event that was planned.
    pub fn lives(&self) {
        *self.at.lock().unwrap() = None;
    }

    fn event(&self, batch: &Batch) -> Option<Event> {
        let mut at = self.at.lock().unwrap();
        let key = at.as_ref()?.0;
        let puts = |it: &Operation| matches!(it, Operation::Put { .. }) && it.key().as_str() == key;
        if batch.operations().any(|(_, it)| puts(it)) { at.take().map(|(_, event)| event) } else { None }
    }
}

#[async_trait]
impl Layer for Mortal {
    fn below(&self) -> &dyn StorageBackend {
        &*self.inner
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        match self.event(&batch) {
            Some(Event::Dies(sender)) => {
                sender.send(()).unwrap();
                std::future::pending().await
            }
            Some(Event::Runs(what)) => {
                what.await;
                self.inner.commit(batch).await
            }
            None => self.inner.commit(batch).await,
        }
    }
}

impl std::fmt::Debug for Mortal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Mortal").field(&self.inner).finish()
    }
}
