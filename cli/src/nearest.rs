//! Suggests existing ids for an id that does not exist.

use pflow_store::{Error, Query, Store, WorkflowId};

use super::{failure::Failure, hint, unreadable};

/// How many ids are suggested.
const MOST: usize = 3;
/// Ids with a lower similarity are not suggested.
const ALIKE: f64 = 0.8;

/// Returns the failure. If a workflow does not exist, it names the most similar ids, which costs one list.
pub(super) async fn explained(store: &Store, error: Error) -> Failure {
    let near = match &error {
        Error::WorkflowMissing { id, deleted: false } => near(store, id).await,
        _ => Vec::new(),
    };
    let hint = hint::of_error(&error).unwrap_or_default();
    let failure = Failure::from(error);
    if near.is_empty() {
        return failure;
    }
    failure.with_hint(format!("did you mean {}? If not, {hint}", near.join(" or ")))
}

async fn near(store: &Store, id: &WorkflowId) -> Vec<String> {
    match unreadable::apart(store.list(Query::new())).await {
        Ok((found, _)) => nearest(id.as_str(), found.iter().map(|entry| entry.id.as_str())),
        // Only the error of the command is reported.
        Err(error) => {
            tracing::debug!(%error, "ids that are near could not be looked for");
            Vec::new()
        }
    }
}

/// Returns the ids that are similar enough, the most similar first.
fn nearest<'a>(wanted: &str, ids: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut near: Vec<(f64, &str)> =
        ids.map(|id| (strsim::jaro_winkler(wanted, id), id)).filter(|(alike, _)| *alike >= ALIKE).collect();
    near.sort_by(|(one, left), (other, right)| other.total_cmp(one).then(left.cmp(right)));
    near.into_iter().take(MOST).map(|(_, id)| format!("`{id}`")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_nearest_ids_are_named_and_strangers_are_not() {
        let ids = ["greet", "greet-2", "greet-3", "greetings", "report"];
        let near = nearest("gret", ids.into_iter());
        assert_eq!(near.len(), 3);
        assert_eq!(near[0], "`greet`");
        assert!(nearest("nightly", ids.into_iter()).is_empty());
    }
}
