use std::{path::Path, pin::pin};

use async_trait::async_trait;
use futures::StreamExt;
use pflow_store::{Expect, SaveRequest, Store, StoreOptions, WorkflowId};

use super::{Client, Open};
use crate::work::Save;

/// pflow-store itself, through the interface that everybody has.
pub(super) struct Ours(Store);

impl Ours {
    pub(super) async fn open(folder: &Path) -> Self {
        let options = StoreOptions::system().unwrap();
        Self(Store::init_url(folder.to_str().unwrap(), options).await.unwrap())
    }
}

#[async_trait]
impl Open for Ours {
    fn client(&self) -> Box<dyn Client> {
        Box::new(Self(self.0.clone()))
    }

    async fn close(self: Box<Self>) {
        self.0.close().await.unwrap();
    }
}

#[async_trait]
impl Client for Ours {
    async fn save(&mut self, save: Save) {
        let saved = self.0.save(request(save)).await.unwrap();
        assert!(!saved.unchanged && saved.copy_error.is_none() && saved.index_error.is_none());
    }

    async fn save_batch(&mut self, saves: Vec<Save>) {
        let requests: Vec<SaveRequest> = saves.into_iter().map(request).collect();
        let mut results = pin!(self.0.save_all(requests));
        while let Some((_, saved)) = results.next().await {
            assert!(!saved.unwrap().unchanged);
        }
    }
}

fn request(save: Save) -> SaveRequest {
    SaveRequest::new(WorkflowId::parse(save.id).unwrap(), save.content, Expect::Any)
}
