use super::Store;
use crate::{Error, Result, gate::instance_at};

impl Store {
    /// Returns the id of this place of the store. None if nothing was written at this place yet, or if the
    /// backend cannot tell one place from another.
    ///
    /// All copies of a store have its [store id](crate::format::Config::store_id); each place of it has an instance id
    /// of its own. Two places that have both been written to since one was copied from the other are told apart
    /// by it:
    ///
    /// - A folder on a disk has an id in `.journal/instance`, which is bound to the folder and stays when that is
    ///   moved within its file system. A copy of the folder gets an id of its own with its first write; until
    ///   then it has none.
    /// - A bucket has one for each [endpoint](pflow_backend::StorageBackend::endpoint), in `ops/instances/`. The
    ///   first writer at an endpoint makes it. This reads one object.
    /// - Memory has one for each storage.
    ///
    /// A clone of a whole disk, or of a machine with its disk, cannot be told from its original: both have one
    /// instance id.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind) if the object of the endpoint is damaged; errors of the
    /// storage.
    ///
    /// ```
    /// # use pflow_store::Store;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), pflow_store::Error> {
    /// let [one, two] = [Store::builder("memory:").init().await?, Store::builder("memory:").init().await?];
    /// assert_ne!(one.instance().await?, two.instance().await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn instance(&self) -> Result<Option<String>> {
        let objects = &self.shared.objects;
        match objects.backend.endpoint() {
            Some(endpoint) => instance_at(objects, &endpoint).await,
            None => objects.backend.instance().await.map_err(Error::Storage),
        }
    }

    /// The same where a damaged id is told elsewhere and ends nothing.
    pub(super) async fn readable_instance(&self) -> Result<Option<String>> {
        match self.instance().await {
            Err(error) if error.is_of_one_object() => {
                tracing::warn!(%error, "the instance id cannot be read");
                Ok(None)
            }
            other => other,
        }
    }
}
