use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use futures::{StreamExt, TryFutureExt, stream, try_join};
use object_store::{ObjectStoreExt, local::LocalFileSystem};

use super::{Client, Open, files};
use crate::work::Save;

/// `object_store` on the same disk. A reader never finds a head before its version; content and record may follow side by side.
#[derive(Clone)]
pub(super) struct ObjectStore(Arc<LocalFileSystem>);

impl ObjectStore {
    pub(super) fn open(folder: &Path) -> Self {
        Self(Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap().with_fsync(true)))
    }

    async fn put(&self, key: String, bytes: Vec<u8>) -> object_store::Result<()> {
        self.0.put(&key.into(), bytes.into()).map_ok(drop).await
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
}
