use super::Store;
use crate::{
    Error,
    stored::{WorkflowId, corrupt, layout},
};

impl Store {
    /// Why a workflow whose head has no version cannot be read: there has never been one, or its head is damaged.
    ///
    /// A head is never removed, and the index has only workflows that have a version. So what the index lists and the head does not have is damage.
    pub(super) async fn missing(&self, id: &WorkflowId) -> Error {
        let missing = Error::WorkflowMissing { id: id.clone(), deleted: false };
        let listed = match self.shared.index.view().await {
            Ok(view) => view.iter().find(|entry| entry.id == *id).map(|entry| entry.generation),
            Err(error) => return error,
        };
        let Some(generation) = listed else { return missing };
        // It may have been created since the caller looked.
        match self.shared.objects.head(id).await {
            Ok(stored) if stored.head.current.is_some() => missing,
            Ok(stored) => {
                let what = if stored.version.is_some() { "it has no version" } else { "it is missing" };
                let reason =
                    format!("{what}, although the index has the workflow at generation {generation}");
                corrupt(&layout::head(id), reason)
            }
            Err(error) => error,
        }
    }
}
