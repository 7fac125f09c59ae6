use async_trait::async_trait;
use bytes::Bytes;
use pflow_backend::Key;

use crate::{
    Error, Result,
    conflict::{ExpectedVersion, ReadSides},
    format::{Current, Head, StoredVersion, WorkflowId, keys},
    repo::{Objects, unreadable},
};

/// Returns the version among the ancestors of `head` whose content is to be read as a document; none if
/// there is none, and if several have the generation.
///
/// # Errors
/// Only a newer program knows its media type.
pub(in crate::store) async fn document_of(
    objects: &Objects,
    head: &Head,
    version: &ExpectedVersion,
) -> Result<Option<StoredVersion>> {
    let version = match version {
        ExpectedVersion::Generation(generation) => objects.only_generation(head, *generation).await?,
        ExpectedVersion::Id(version_id) => objects.version_of_id(head, version_id).await?,
    };
    if let Some(StoredVersion { record, .. }) = &version {
        let key = keys::version(&head.id, record.generation, &record.version_id);
        record.media_type.known().map_err(|source| unreadable(&key, source))?;
    }
    Ok(version)
}

#[async_trait]
impl ReadSides for Objects {
    async fn current(&self, id: &WorkflowId, current: &Current) -> Result<StoredVersion> {
        self.named_version(id, &current.reference()).await
    }

    async fn base(&self, head: &Head, version: &ExpectedVersion) -> Result<Option<StoredVersion>> {
        document_of(self, head, version).await
    }

    async fn working_copy(&self, key: &str) -> Result<Option<Bytes>> {
        let key = Key::parse(key).map_err(|error| Error::Internal(format!("{key}: {error}")))?;
        Ok(self.get(&key).await?.map(|object| object.bytes))
    }
}
