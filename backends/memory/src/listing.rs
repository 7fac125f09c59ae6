use futures::{StreamExt, stream};
use pflow_backend::{BoxStream, Key, Listed, Prefix, Result};

use crate::shared::Shared;

/// How many entries are copied under one lock. It bounds the memory of a listing and how long other calls
/// wait for it.
const PAGE: usize = 1_000;

/// Lists the objects below `prefix` after `after`, one page at a time as the stream is polled.
pub(crate) fn lazily(
    shared: Shared,
    prefix: Prefix,
    after: Option<Key>,
) -> BoxStream<'static, Result<Listed>> {
    let pages = stream::unfold(after, move |after| {
        let page = shared.lock().page(&prefix, after.as_ref(), PAGE);
        // An empty page is the end; the next page begins after the last key of this one.
        let next = page.last().map(|it| it.key.clone());
        async { next.map(|last| (stream::iter(page), Some(last))) }
    });
    pages.flatten().map(Ok).boxed()
}
