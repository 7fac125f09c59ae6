use std::{fmt, ops::Range, sync::Arc};

use futures::{StreamExt, stream};
use pflow_backend::{
    Batch, BoxStream, Capabilities, Commit, Durability, Environment, Excerpt, Key, Listed, Meta, Object,
    Operation, Prefix, Result, StorageBackend, async_trait, probe::Check,
};

use crate::{
    client::Client, commit, connected::Connected, doing::Doing, examine, late::Late, list, open,
    options::ObjectOptions, url::ObjectUrl,
};

/// A bucket, or a prefix in it, on S3, GCS, Azure, or a compatible server.
///
/// - Each operation is one request, retried by this crate's own loop until its deadline; object_store's
///   retries are disabled.
/// - A conditional write is settled by reading the key whenever its answer is not a success, so that an own
///   write is never reported as a conflict. For an object that is rewritten the backend may return
///   [`Commit::Overtaken`].
/// - The operations of a stage are sent side by side, at most [`ObjectOptions::max_in_flight`] for the whole
///   handle.
/// - Unconditional puts of copies in the last stages are written after the answer;
///   [`close`](StorageBackend::close) waits for them. Such a put has no version.
/// - A probe must find out whether the server keeps its guarantees: some servers ignore conditions.
///
/// Clouds accept `a` beside `a/b`; callers must not create both.
pub struct ObjectBackend {
    client: Arc<Client>,
    late: Arc<Late>,
}

impl ObjectBackend {
    /// Opens a handle on `url`. It sends no request: a wrong bucket, key, region or endpoint is reported by
    /// the first operation, in one sentence.
    ///
    /// `environment` measures the deadlines and sleeps between attempts. Its sleep must really wait: with one
    /// that returns at once every request times out.
    ///
    /// # Errors
    /// [`pflow_backend::ErrorKind::InvalidInput`] if the settings are inconsistent, for example an endpoint
    /// over plain HTTP that the cloud's setting does not allow; [`pflow_backend::ErrorKind::Unsupported`] if
    /// this program was built without the cloud. No error shows the value of a setting that may be a secret.
    pub fn open(url: &ObjectUrl, options: ObjectOptions, environment: Arc<dyn Environment>) -> Result<Self> {
        Ok(Self::over(open::connect(url, &options, &environment)?, options, environment))
    }

    pub(crate) fn over(
        connected: Connected,
        options: ObjectOptions,
        environment: Arc<dyn Environment>,
    ) -> Self {
        let client = Arc::new(Client::new(connected, options, environment));
        Self { late: Arc::new(Late::new(client.clone())), client }
    }
}

#[async_trait]
impl StorageBackend for ObjectBackend {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        None
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Service, self.client.options.max_object_size)
            .immutable_puts(true)
            .ranged_reads(true)
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.late.settled(key).await;
        let _turn = self.client.turn().await?;
        let found = self.client.get(&mut self.client.attempts(), key).await;
        found.map_err(|unread| unread.error(&self.client.place, Doing::Read(key)))
    }

    async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        self.late.settled(key).await;
        let _turn = self.client.turn().await?;
        let found = self.client.head(&mut self.client.attempts(), key).await;
        found.map_err(|unread| unread.error(&self.client.place, Doing::LookAt(key)))
    }

    /// One request, and a second one for a range without bytes. A server that ignores ranges sends the whole
    /// object, which is cut.
    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
        self.late.settled(key).await;
        let _turn = self.client.turn().await?;
        let found = self.client.get_range(&mut self.client.attempts(), key, range).await;
        found.map_err(|unread| unread.error(&self.client.place, Doing::Read(key)))
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        let (late, below) = (self.late.clone(), prefix.clone());
        let lines = list::lazily(self.client.clone(), prefix, after);
        // The handle's own copies that are still being written are listed too.
        let settled = async move {
            late.settled_below(&below).await;
            lines
        };
        stream::once(settled).flatten().boxed()
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        batch.check(&self.capabilities())?;
        commit::commit(&self.client, &self.late, batch).await
    }

    fn passed_over(&self) -> Vec<String> {
        let root = self.client.root();
        let names = self.client.foreign.take();
        names.iter().filter_map(|name| name.strip_prefix(&root)).map(str::to_owned).collect()
    }

    async fn attempt(&self, put: Operation) -> Result<Commit> {
        let batch = Batch::new().stage([put]);
        batch.check(&self.capabilities())?;
        commit::attempt(&self.client, batch).await
    }

    fn name(&self) -> Option<String> {
        self.endpoint()
    }

    fn endpoint(&self) -> Option<String> {
        Some(self.client.place.to_string())
    }

    async fn examine(&self, ground: &Prefix) -> Result<Vec<Check>> {
        examine::examine(&self.client, ground).await
    }

    /// Waits for the copies that are written after their answers. Later commits write theirs before the
    /// answer.
    async fn close(&self) -> Result<()> {
        self.late.close().await
    }

    fn location_id(&self) -> Option<String> {
        self.endpoint()
    }
}

/// Shows the place and no settings.
impl fmt::Debug for ObjectBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectBackend").field("place", &self.client.place.to_string()).finish_non_exhaustive()
    }
}
