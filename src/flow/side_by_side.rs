//! A bounded number of futures at a time.

use futures::stream::{FuturesUnordered, StreamExt};

use super::Cause;
use super::error::Stop;

/// Runs all futures, at most `limit` at a time (0 counts as 1), in the task that polls this one. Returns
/// their results in the order of the futures.
///
/// After an error no further one begins. An error of a node drops those under way. A cancellation does not:
/// each of them ends at its own next check, so that none is dropped within a `post`. The
/// first error is returned; an error of a node replaces a cancellation.
pub(super) async fn side_by_side<T, E, F>(
    limit: usize,
    work: impl Iterator<Item = F>,
) -> Result<Vec<T>, Stop<E>>
where
    F: Future<Output = Result<T, Stop<E>>>,
{
    let mut waiting = work.enumerate();
    let mut under_way = FuturesUnordered::new();
    let mut done = Vec::new();
    let mut cancelled = None;
    loop {
        if cancelled.is_none() {
            let free = limit.max(1).saturating_sub(under_way.len());
            for (index, next) in waiting.by_ref().take(free) {
                under_way.push(async move { next.await.map(|result| (index, result)) });
            }
        }
        match under_way.next().await {
            Some(Ok(ended)) => done.push(ended),
            Some(Err(stop)) if matches!(stop.cause, Cause::Cancelled) => {
                cancelled.get_or_insert(stop);
            }
            Some(Err(stop)) => return Err(stop),
            None => break,
        }
    }
    if let Some(stop) = cancelled {
        return Err(stop);
    }
    done.sort_unstable_by_key(|&(index, _)| index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
