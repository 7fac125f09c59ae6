//! A bounded number of futures at a time.

use futures::stream::{FuturesUnordered, StreamExt};

/// Runs all futures, at most `limit` at a time (0 counts as 1), in the task that polls this one. Returns
/// their results in the order of the futures. The first error drops those under way, and no further one
/// begins.
pub(super) async fn side_by_side<T, E, F>(limit: usize, work: impl Iterator<Item = F>) -> Result<Vec<T>, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut waiting = work.enumerate();
    let mut under_way = FuturesUnordered::new();
    let mut done = Vec::new();
    loop {
        let free = limit.max(1).saturating_sub(under_way.len());
        for (index, next) in waiting.by_ref().take(free) {
            under_way.push(async move { Ok((index, next.await?)) });
        }
        match under_way.next().await {
            Some(ended) => done.push(ended?),
            None => break,
        }
    }
    done.sort_unstable_by_key(|&(index, _)| index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
