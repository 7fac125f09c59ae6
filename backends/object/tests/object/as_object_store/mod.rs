//! Any storage as an `object_store`: on memory and on disk.

mod answers;
mod names;
mod renames;
mod scripted;
mod suite;
mod uploads;
mod writes;

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::{ObjectStore, Result, path::Path};
use pflow_backend::{Environment, StorageBackend, SystemEnvironment};
use pflow_backend_fs::FsOptions;
use pflow_backend_memory::MemoryBackend;
use pflow_backend_object::AsObjectStore;
use tempfile::TempDir;

/// An adapter, and the folder of its storage if it has one.
struct Site {
    store: AsObjectStore,
    folder: Option<TempDir>,
}

impl Site {
    /// Returns another adapter on the same objects, like that of another process.
    async fn another(&self) -> AsObjectStore {
        match &self.folder {
            Some(folder) => on_disk(folder).await,
            None => AsObjectStore::new(self.store.backend().clone()),
        }
    }
}

fn environment() -> Arc<dyn Environment> {
    Arc::new(SystemEnvironment::new().unwrap())
}

fn memory() -> AsObjectStore {
    AsObjectStore::new(Arc::new(MemoryBackend::new(environment())))
}

async fn on_disk(folder: &TempDir) -> AsObjectStore {
    // The racing tests queue many commits on a machine that may be slow.
    let options = FsOptions::new().lock_wait(std::time::Duration::from_secs(120));
    AsObjectStore::new(Arc::new(options.open(folder.path(), environment()).await.unwrap()))
}

async fn sites() -> [Site; 2] {
    let folder = TempDir::new().unwrap();
    let disk = on_disk(&folder).await;
    [Site { store: memory(), folder: None }, Site { store: disk, folder: Some(folder) }]
}

fn path(raw: &str) -> Path {
    Path::parse(raw).unwrap()
}

async fn listed(store: &AsObjectStore, prefix: Option<&Path>) -> Result<Vec<String>> {
    store.list(prefix).map_ok(|it| it.location.to_string()).try_collect().await
}

async fn text(store: &AsObjectStore, path: &Path) -> String {
    let bytes = object_store::ObjectStoreExt::get(store, path).await.unwrap().bytes().await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Returns the objects in the backend.
async fn keys(store: &AsObjectStore) -> Vec<String> {
    let all = store.backend().list(&pflow_backend::Prefix::root(), None);
    all.map_ok(|it| it.key.to_string()).try_collect().await.unwrap()
}

/// Returns a store with the backend of a test.
fn over(backend: impl StorageBackend) -> AsObjectStore {
    AsObjectStore::new(Arc::new(backend))
}
