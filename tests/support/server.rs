use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use pflow_store::backend::{
    Batch, BoxStream, Capabilities, Commit, Error, ErrorKind, Key, Listed, Object, Operation, Outcome,
    Precondition, Prefix, Result, StorageBackend, async_trait,
};

/// Makes a storage a server at a named place, optionally with a defect. Clones are the same server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    inner: Arc<dyn StorageBackend>,
    place: String,
    pub(crate) mood: Arc<Mood>,
}

/// The defects of a server; none unless set.
#[derive(Debug, Default)]
pub(crate) struct Mood {
    /// It accepts conditional updates whatever version they name.
    pub(crate) lies: AtomicBool,
    /// It denies every write.
    pub(crate) denies: AtomicBool,
    /// It writes, but the reply is lost.
    pub(crate) is_silent: AtomicBool,
}

impl Server {
    pub(crate) fn new(inner: Arc<dyn StorageBackend>, place: &str) -> Self {
        Self { inner, place: place.to_owned(), mood: Arc::default() }
    }

    /// Returns a server with the same objects at another place.
    pub(crate) fn at(&self, place: &str) -> Self {
        Self::new(self.inner.clone(), place)
    }
}

#[async_trait]
impl StorageBackend for Server {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        Some(&*self.inner)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.inner.get(key).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        self.inner.list(prefix, after)
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        if self.mood.denies.load(Ordering::SeqCst) {
            return Err(Error::not_applied(ErrorKind::Denied, "These credentials are for reading"));
        }
        let free = |it: &Operation| match it.precondition() {
            Precondition::Is(_) => it.clone().when(Precondition::Always),
            _ => it.clone(),
        };
        let careless = |stage: &Vec<Operation>| stage.iter().map(free).collect::<Vec<_>>();
        let batch = match self.mood.lies.load(Ordering::SeqCst) {
            true => batch.stages().iter().map(careless).fold(Batch::new(), Batch::stage),
            false => batch,
        };
        let answer = self.inner.commit(batch).await?;
        if self.mood.is_silent.load(Ordering::SeqCst) {
            return Err(Error::unknown(ErrorKind::Unavailable, "No reply"));
        }
        Ok(answer)
    }

    async fn attempt(&self, put: Operation) -> Result<Commit> {
        self.commit(Batch::new().stage([put])).await
    }

    fn name(&self) -> Option<String> {
        self.endpoint()
    }

    fn endpoint(&self) -> Option<String> {
        Some(self.place.clone())
    }
}
