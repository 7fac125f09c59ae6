use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Result,
    conflict::ReadSides,
    document::MediaType,
    format::{Current, Head, StoredVersion, WorkflowId, keys},
    repo::Objects,
};

#[async_trait]
impl ReadSides for Objects {
    async fn current(&self, id: &WorkflowId, current: &Current) -> Result<StoredVersion> {
        self.named_version(id, &current.reference()).await
    }

    async fn base(&self, head: &Head, generation: u64) -> Result<Option<StoredVersion>> {
        self.document_of(head, generation).await
    }

    async fn working_copy(&self, id: &WorkflowId) -> Result<Option<Bytes>> {
        let copy = self.get(&keys::content(id, MediaType::Json)).await?;
        Ok(copy.map(|object| object.bytes))
    }
}
