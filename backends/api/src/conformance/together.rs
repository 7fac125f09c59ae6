use std::sync::Arc;

use futures::{FutureExt, future::try_join_all};
use tokio::{runtime::Handle as Runtime, sync::Barrier, task::JoinSet};

use super::check::{Checked, Stop};

/// Runs all `tasks` at the same time and returns their results in order, or the first failure.
///
/// In a tokio runtime each is a separate task, in parallel if the runtime has several threads; elsewhere they
/// alternate. No task is left behind: the first failure, or a drop of this future, ends all.
pub(super) async fn together<T, F>(tasks: impl IntoIterator<Item = F>) -> Checked<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Checked<T>> + Send + 'static,
{
    let tasks: Vec<F> = tasks.into_iter().collect();
    let start = Arc::new(Barrier::new(tasks.len()));
    let tasks = tasks.into_iter().map(|task| {
        let start = start.clone();
        async move {
            start.wait().await;
            task.await
        }
    });
    if Runtime::try_current().is_err() {
        return try_join_all(tasks).await;
    }
    let mut running = JoinSet::new();
    for (place, task) in tasks.enumerate() {
        running.spawn(task.map(move |answer| (place, answer)));
    }
    let mut answers = Vec::with_capacity(running.len());
    while let Some(ended) = running.join_next().await {
        let (place, answer) = ended.map_err(|ended| Stop::Failed(format!("A task was lost: {ended}")))?;
        answers.push((place, answer?));
    }
    answers.sort_by_key(|(place, _)| *place);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}
