use std::sync::Arc;

use super::{Change, actions, state::ChangePhase};
use crate::{
    Error, Result,
    flow::{Action, Failure, Node, Retry, Visit},
    operation::{is_transient, own_error},
    store::Shared,
};

/// Updates the index: records the new head, and folds the pending records if there are enough of them.
///
/// A failure here does not affect the change. Its pending record names it to every reader.
pub(super) struct UpdateIndex;

impl Node<Change, Error> for UpdateIndex {
    type Prep = (Arc<Shared>, bool);
    type Exec = Option<Error>;

    fn name(&self) -> &str {
        "UpdateIndex"
    }

    fn actions(&self) -> &[Action] {
        const { &[actions::SUCCESS, actions::INDEX_ERROR] }
    }

    fn retry(&self) -> Retry {
        // Without a pause: the change is made, and its caller waits.
        Retry::attempts(3)
    }

    fn is_retryable(&self, failure: &Failure<Error>) -> bool {
        is_transient(failure)
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<Self::Prep> {
        let shared = &change.shared;
        change.input(self.name(), |phase| match phase {
            ChangePhase::Done(written) => {
                let due = shared.index.remember(&written.head);
                Some((Arc::clone(shared), due && !change.is_of_batch))
            }
            _ => None,
        })
    }

    async fn exec(&self, (shared, due): &Self::Prep, _: Visit<'_>) -> Result<Self::Exec> {
        match due {
            true if shared.index.folds_behind() => shared.upkeep.fold(Arc::clone(&shared.index)).await,
            true => drop(shared.index.fold_if_due().await?),
            false => {}
        }
        Ok(None)
    }

    async fn exec_fallback(
        &self,
        _: &Self::Prep,
        failure: Failure<Error>,
        _: Visit<'_>,
    ) -> std::result::Result<Self::Exec, Failure<Error>> {
        own_error(failure).map(Some)
    }

    async fn post(
        &self,
        change: &mut Change,
        _: Self::Prep,
        error: Self::Exec,
        _: Visit<'_>,
    ) -> Result<Action> {
        change.index_error = error;
        Ok(if change.index_error.is_none() { actions::SUCCESS } else { actions::INDEX_ERROR })
    }
}
