use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryFutureExt, TryStreamExt, stream, try_join};
use object_store::{ObjectStore as _, ObjectStoreExt, local::LocalFileSystem};

use super::{Client, Open, files};
use crate::work::{Save, is_named_by};

/// `object_store` on the same disk. The version is written before the head; content and record may follow in
/// parallel.
#[derive(Clone)]
pub(super) struct ObjectStore {
    store: Arc<LocalFileSystem>,
    contents_alone: bool,
}

impl ObjectStore {
    pub(super) fn open(folder: &Path) -> Self {
        let store = LocalFileSystem::new_with_prefix(folder).unwrap().with_fsync(true);
        Self { store: Arc::new(store), contents_alone: false }
    }

    /// Loads without the head, and so without a hash to verify.
    pub(super) fn contents_alone(self) -> Self {
        Self { contents_alone: true, ..self }
    }

    async fn get(&self, key: String) -> object_store::Result<Bytes> {
        self.store.get(&key.into()).await?.bytes().await
    }

    async fn put(&self, key: String, bytes: Vec<u8>) -> object_store::Result<()> {
        self.store.put(&key.into(), bytes.into()).map_ok(drop).await
    }

    async fn save(&self, save: Save) -> object_store::Result<()> {
        let parts = save.parts();
        self.put(files::version(&save), parts.version).await?;
        self.put(files::head(&save.id), parts.head).await?;
        let content = self.put(files::content(&save.id), save.content);
        try_join!(content, self.put(files::record(&save.id), parts.record)).map(drop)
    }
}

impl Open for ObjectStore {
    fn client(&self) -> Box<dyn Client> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Client for ObjectStore {
    async fn save(&mut self, save: Save) {
        Self::save(self, save).await.unwrap();
    }

    async fn save_batch(&mut self, saves: Vec<Save>) {
        let together = saves.len();
        let saves = stream::iter(saves).map(|save| Self::save(self, save));
        saves.buffer_unordered(together).for_each(|saved| async { saved.unwrap() }).await;
    }

    async fn load(&mut self, id: &str) {
        let content = self.get(files::content(id));
        if self.contents_alone {
            content.await.unwrap();
        } else {
            let (content, head) = try_join!(content, self.get(files::head(id))).unwrap();
            assert!(is_named_by(&content, &head));
        }
    }

    async fn list(&mut self) -> usize {
        let listed: Vec<_> = self.store.list(Some(&files::INDEX.into())).try_collect().await.unwrap();
        let records = stream::iter(listed).map(|record| self.get(record.location.into()));
        records.buffer_unordered(64).map(Result::unwrap).collect::<Vec<_>>().await.len()
    }
}
