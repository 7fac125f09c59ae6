use std::sync::Arc;

use super::{Change, actions, state::Phase};
use crate::{
    Error, Result,
    flow::{Action, Failure, Node, Retry, Visit},
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
        Retry::attempts(3)
    }

    fn is_retryable(&self, failure: &Failure<Error>) -> bool {
        matches!(failure, Failure::Error(error) if error.may_pass())
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<Self::Prep> {
        let Phase::Done(written) = &change.phase else { return Err(change.misplaced(self.name())) };
        let due = change.shared.index.remember(&written.head);
        Ok((Arc::clone(&change.shared), due && !change.is_of_batch))
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
        match failure {
            Failure::Error(error) => Ok(Some(error)),
            timeout @ Failure::Timeout(_) => Err(timeout),
        }
    }

    async fn post(
        &self,
        change: &mut Change,
        _: Self::Prep,
        error: Self::Exec,
        _: Visit<'_>,
    ) -> Result<Action> {
        let is_folded = error.is_none();
        let Phase::Done(written) = &mut change.phase else { return Err(change.misplaced(self.name())) };
        written.index_error = error;
        Ok(if is_folded { actions::SUCCESS } else { actions::INDEX_ERROR })
    }
}
