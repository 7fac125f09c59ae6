use std::{path::Path, pin::pin};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use pflow_store::{Expect, Query, SaveRequest, Store, WorkflowId};

use super::{Client, Open};
use crate::work::Save;

/// pflow-store itself, through its public interface.
pub(super) struct Ours(Store);

impl Ours {
    pub(super) async fn open(folder: &Path) -> Self {
        Self(Store::builder(folder).init().await.unwrap())
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

    async fn load(&mut self, id: &str) {
        self.0.load(&WorkflowId::parse(id).unwrap()).await.unwrap();
    }

    async fn list(&mut self) -> usize {
        self.0.list(Query::new()).try_collect::<Vec<_>>().await.unwrap().len()
    }
}

fn request(save: Save) -> SaveRequest {
    SaveRequest::new(WorkflowId::parse(save.id).unwrap(), save.content, Expect::Any)
}
