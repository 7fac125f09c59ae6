//! A backend whose replies a test sets.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{StreamExt, stream};
use pflow_backend::{
    Batch, BoxStream, Capabilities, Commit, Error, ErrorKind, Key, Listed, Object, Operation, Prefix, Result,
    StorageBackend, Version, async_trait,
};
use pflow_backend_object::AsObjectStore;

type Happening = dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// How the replies differ from those of the inner backend.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) capabilities: Option<Capabilities>,
    /// The reply to the next commit, which is not written.
    pub(crate) commit: Mutex<Option<Result<Commit>>>,
    /// The answer to the next read.
    pub(crate) read: Mutex<Option<Error>>,
    /// The version of every object.
    pub(crate) version: Option<Version>,
    /// After how many entries a listing fails.
    pub(crate) listed: Option<usize>,
    /// How many entries were asked for, in all listings.
    pub(crate) asked: Arc<AtomicUsize>,
}

/// The objects of another adapter, with an action before every commit.
pub(crate) struct Meddling {
    backend: Arc<dyn StorageBackend>,
    plan: Plan,
    before_commit: Box<Happening>,
}

impl Meddling {
    pub(crate) fn new(
        objects: &AsObjectStore,
        plan: Plan,
        before_commit: impl Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static,
    ) -> Self {
        Self { backend: objects.backend().clone(), plan, before_commit: Box::new(before_commit) }
    }
}

impl fmt::Debug for Meddling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountKey=secret")
    }
}

#[async_trait]
impl StorageBackend for Meddling {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        Some(&*self.backend)
    }

    fn capabilities(&self) -> Capabilities {
        self.plan.capabilities.clone().unwrap_or_else(|| self.backend.capabilities())
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        if let Some(error) = self.plan.read.lock().unwrap().take() {
            return Err(error);
        }
        let found = self.backend.get(key).await?;
        Ok(found.map(|mut object| {
            object.meta.version = self.plan.version.clone().unwrap_or(object.meta.version);
            object
        }))
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        let asked = self.plan.asked.clone();
        let listed = self.backend.list(prefix, after).inspect(move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
        });
        let Some(most) = self.plan.listed else { return listed.boxed() };
        let broken = stream::iter([Err(Error::not_applied(ErrorKind::Unavailable, "The listing broke off"))]);
        listed.take(most).chain(broken).boxed()
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        batch.check(&self.capabilities())?;
        (self.before_commit)().await;
        let planned = self.plan.commit.lock().unwrap().take();
        match planned {
            Some(answer) => answer,
            None => self.backend.commit(batch).await,
        }
    }

    async fn attempt(&self, put: Operation) -> Result<Commit> {
        self.commit(Batch::new().stage([put])).await
    }
}
