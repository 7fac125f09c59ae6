use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use pflow_store::backend::{
    Batch, Commit, Error, ErrorKind, Operation, Precondition, Result, StorageBackend, async_trait,
};

use super::Layer;

/// Makes a storage a server at a named place, optionally with a defect. Clones are the same server.
#[derive(Debug, Clone)]
pub struct Server {
    inner: Arc<dyn StorageBackend>,
    place: String,
    has_endpoint: bool,
    pub mood: Arc<Mood>,
}

/// The defects of a server; none unless set.
#[derive(Debug, Default)]
pub struct Mood {
    /// It accepts conditional updates whatever version they name.
    pub lies: AtomicBool,
    /// It denies every write.
    pub denies: AtomicBool,
    /// It writes, but the reply is lost.
    pub is_silent: AtomicBool,
}

impl Server {
    pub fn new(inner: Arc<dyn StorageBackend>, place: &str) -> Self {
        Self { inner, place: place.to_owned(), has_endpoint: true, mood: Arc::default() }
    }

    /// Returns a storage with a name for people alone, as that of an embedded database.
    pub fn without_endpoint(inner: Arc<dyn StorageBackend>, name: &str) -> Self {
        Self { has_endpoint: false, ..Self::new(inner, name) }
    }

    /// Returns a server with the same objects at another place.
    pub fn at(&self, place: &str) -> Self {
        Self { place: place.to_owned(), mood: Arc::default(), ..self.clone() }
    }
}

#[async_trait]
impl Layer for Server {
    fn below(&self) -> &dyn StorageBackend {
        &*self.inner
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

    fn name(&self) -> Option<String> {
        Some(self.place.clone())
    }

    fn endpoint(&self) -> Option<String> {
        self.has_endpoint.then(|| self.place.clone())
    }
}
