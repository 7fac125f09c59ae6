use super::Store;
use crate::{
    Result,
    conflict::{Conflict, differences},
    document::MediaType,
    format::keys,
    merge::Change,
};

impl Store {
    /// What is different now from the version that a refused change was built on, for whoever was told of a
    /// conflict. A resolver asks its
    /// [`Case`](crate::conflict::Case) instead.
    ///
    /// None where the conflict is about something else than content, and where one of the two is not there:
    /// deleted, pruned, never made.
    ///
    /// # Errors
    /// [`crate::Error::Document`] for a person's edit that is no workflow, [`crate::Error::TooMuch`] for documents that are too large to be
    /// compared; errors of the storage; what is stored is damaged.
    pub async fn what_changed(&self, conflict: &Conflict) -> Result<Option<Vec<Change>>> {
        let objects = &self.shared.objects;
        let (id, base) = match conflict.cause() {
            Conflict::Version { id, expected, .. } => (id, *expected),
            Conflict::ModifiedOutside { id, generation: Some(generation), .. } => (id, *generation),
            _ => return Ok(None),
        };
        let head = objects.head(id).await?.head;
        let before = objects.document_of(&head, base).await?.and_then(|version| version.content);
        let after = match (conflict.cause(), &head.current) {
            (Conflict::ModifiedOutside { .. }, _) => {
                objects.get(&keys::content(id, MediaType::Json)).await?.map(|object| object.bytes)
            }
            (_, Some(current)) => objects.named_version(id, &current.reference()).await?.content,
            (_, None) => None,
        };
        let (Some(before), Some(after)) = (before, after) else { return Ok(None) };
        differences(id, before, after).await.map(Some)
    }
}
