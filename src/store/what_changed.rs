use super::{Store, change::document_of};
use crate::{
    Result,
    conflict::{Conflict, ExpectedVersion, ReadSides, TypedContent, differences, media_type_of_edit},
    format::StoredVersion,
    merge::Change,
};

impl Store {
    /// Lists what differs now from the version that a refused change was built on, for a caller that got a
    /// conflict. A resolver asks its [`Case`](crate::conflict::Case) instead.
    ///
    /// None if the conflict is not about content, or if one of the two does not exist: deleted, pruned, never
    /// made.
    ///
    /// # Errors
    /// [`crate::Error::Document`] for a person's edit that is not a workflow, [`crate::Error::TooMuch`] for
    /// documents that are too large to be compared; errors of the storage; damaged data.
    pub async fn what_changed(&self, conflict: &Conflict) -> Result<Option<Vec<Change>>> {
        let objects = &self.shared.objects;
        let (id, base) = match conflict.cause() {
            Conflict::Version { id, expected, .. } => (id, *expected),
            Conflict::ModifiedOutside { id, generation: Some(generation), .. } => {
                (id, ExpectedVersion::Generation(*generation))
            }
            _ => return Ok(None),
        };
        let head = objects.head(id).await?.head;
        let typed = |version: StoredVersion| {
            let media_type = version.record.media_type.known().ok()?;
            Some(TypedContent { media_type, content: version.content? })
        };
        let before = document_of(objects, &head, &base).await?.and_then(typed);
        let after = match (conflict.cause(), &head.current) {
            (Conflict::ModifiedOutside { key, .. }, _) => {
                let media_type = media_type_of_edit(&head, key);
                let content = objects.working_copy(key).await?;
                media_type.zip(content).map(|(media_type, content)| TypedContent { media_type, content })
            }
            (_, Some(current)) => typed(objects.named_version(id, &current.reference()).await?),
            (_, None) => None,
        };
        let (Some(before), Some(after)) = (before, after) else { return Ok(None) };
        differences(id, before, after).await.map(Some)
    }
}
