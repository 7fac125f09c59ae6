use std::sync::PoisonError;

use futures::{StreamExt, TryStreamExt, future::ready, stream};
use pflow_backend::{BoxStream, Key, Listed, Prefix, Result, StorageBackend};
use pflow_backend_memory::MemoryBackend;

use super::{Fault, storage::Faulty};

pub(crate) async fn all(objects: &MemoryBackend) -> Result<Vec<Listed>> {
    objects.list(&Prefix::root(), None).try_collect().await
}

pub(crate) fn list(store: &Faulty, prefix: Prefix, after: Option<Key>) -> BoxStream<'static, Result<Listed>> {
    let objects = store.objects.clone();
    let honest = objects.list(&prefix, after.as_ref());
    match store.fault {
        Fault::ListsByFolder => {
            let lines = async move {
                let mut lines: Vec<Listed> = all(&objects).await?;
                lines.retain(|it| {
                    prefix.contains(&it.key) && after.as_ref().is_none_or(|after| it.key > *after)
                });
                lines.sort_by_cached_key(|it| it.key.segments().map(str::to_owned).collect::<Vec<_>>());
                Ok(stream::iter(lines.into_iter().map(Ok)))
            };
            stream::once(lines).try_flatten().boxed()
        }
        Fault::AfterIsInclusive => {
            let everything = objects.list(&prefix, None);
            let before = move |line: &Result<Listed>| {
                let is_before = |after: &Key| line.as_ref().is_ok_and(|line| line.key < *after);
                ready(after.as_ref().is_some_and(is_before))
            };
            everything.skip_while(before).boxed()
        }
        Fault::PrefixIsAString => {
            let start = prefix.key().map(Key::to_string).unwrap_or_default();
            let begins = move |line: &Listed| ready(line.key.as_str().starts_with(&start));
            objects.list(&Prefix::root(), after.as_ref()).try_filter(begins).boxed()
        }
        Fault::ListsAThousand => honest.take(1_000).boxed(),
        Fault::ListsByOffset => {
            let page = move |offset| {
                let page = objects.list(&prefix, after.as_ref()).skip(offset).take(100);
                async move {
                    let lines: Vec<_> = page.collect().await;
                    let next = offset + lines.len();
                    (!lines.is_empty()).then_some((stream::iter(lines), next))
                }
            };
            stream::unfold(0, page).flatten().boxed()
        }
        Fault::SharesACursor => {
            let cursor = store.cursor.clone();
            let from = cursor.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let set = move |key| *cursor.lock().unwrap_or_else(PoisonError::into_inner) = key;
            let end = set.clone();
            objects
                .list(&prefix, after.max(from).as_ref())
                .inspect_ok(move |line| set(Some(line.key.clone())))
                .chain(stream::poll_fn(move |_| {
                    end(None);
                    std::task::Poll::Ready(None)
                }))
                .boxed()
        }
        Fault::HidesDotFiles => {
            honest.try_filter(|line| ready(!line.key.segments().any(|it| it.starts_with('.')))).boxed()
        }
        Fault::ListsNoSizes => honest.map_ok(|line| Listed::new(line.key, 0, line.modified)).boxed(),
        _ => honest,
    }
}
