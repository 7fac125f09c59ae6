use std::sync::{Arc, PoisonError, atomic::Ordering};

use futures::{StreamExt, TryStreamExt, future::ready, stream};
use pflow_backend::{BoxStream, Key, Listed, Prefix, Result, StorageBackend};
use pflow_backend_memory::MemoryBackend;

use super::{
    Fault,
    storage::{Faulty, Shared},
};

pub(crate) async fn all(objects: &MemoryBackend) -> Result<Vec<Listed>> {
    objects.list(&Prefix::root(), None).try_collect().await
}

pub(crate) fn list(store: &Faulty, prefix: Prefix, after: Option<Key>) -> BoxStream<'static, Result<Listed>> {
    let objects = store.objects.clone();
    let honest = objects.list(&prefix, after.as_ref());
    match store.fault {
        Fault::ListsByFolder => {
            sorted(objects, prefix, after, |key| key.segments().map(str::to_owned).collect::<Vec<_>>())
        }
        Fault::ListsAsADictionary => sorted(objects, prefix, after, |key| {
            let letters: String = key.as_str().chars().filter(char::is_ascii_alphanumeric).collect();
            (letters.to_ascii_lowercase(), key.clone())
        }),
        Fault::PrefixIsAPattern => matching(objects, prefix, after, |pattern, key| {
            key.len() >= pattern.len() && pattern.bytes().zip(key.bytes()).all(|(a, b)| a == b'_' || a == b)
        }),
        Fault::PrefixIsARegex => matching(objects, prefix, after, |pattern, key| {
            key.len() >= pattern.len() && pattern.bytes().zip(key.bytes()).all(|(a, b)| a == b'.' || a == b)
        }),
        Fault::PrefixIgnoresCase => matching(objects, prefix, after, |start, key| {
            key.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start))
        }),
        Fault::PrefixIsFoundInside => matching(objects, prefix, after, |part, key| key.contains(part)),
        Fault::PrefixTakesItsEnd => matching(objects, prefix, after, |start, key| {
            // `0` comes right after `/`.
            key.starts_with(start) || start.strip_suffix('/').is_some_and(|it| key == format!("{it}0"))
        }),
        Fault::PagesOverlap => {
            let page = move |from: Option<Key>| {
                let again = objects.list(&prefix, after.as_ref()).filter(move |line| {
                    let is_from = |from: &Key| line.as_ref().is_ok_and(|line| line.key >= *from);
                    ready(from.as_ref().is_none_or(is_from))
                });
                async move {
                    let lines: Vec<_> = again.take(100).collect().await;
                    let last = lines.last()?.as_ref().ok()?.key.clone();
                    (lines.len() > 1).then_some((stream::iter(lines), Some(last)))
                }
            };
            stream::unfold(None, page).flatten().boxed()
        }
        Fault::ListingLocks => {
            let open = Open::of(store.shared.clone());
            honest
                .inspect_ok(move |_| {
                    let _is_open = &open;
                })
                .boxed()
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

/// Counts a listing as open until this is dropped.
struct Open(Arc<Shared>);

impl Open {
    fn of(shared: Arc<Shared>) -> Self {
        shared.listings.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.listings.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Returns the listing in another order.
fn sorted<K: Ord + Send + 'static>(
    objects: MemoryBackend,
    prefix: Prefix,
    after: Option<Key>,
    by: impl Fn(&Key) -> K + Send + 'static,
) -> BoxStream<'static, Result<Listed>> {
    let lines = async move {
        let mut lines: Vec<Listed> = all(&objects).await?;
        lines.retain(|it| prefix.contains(&it.key) && after.as_ref().is_none_or(|after| it.key > *after));
        lines.sort_by_cached_key(|it| by(&it.key));
        Ok(stream::iter(lines.into_iter().map(Ok)))
    };
    stream::once(lines).try_flatten().boxed()
}

/// Returns the listing of the keys that match the prefix by another rule. The prefix ends with its slash.
fn matching(
    objects: MemoryBackend,
    prefix: Prefix,
    after: Option<Key>,
    matches: impl Fn(&str, &str) -> bool + Send + 'static,
) -> BoxStream<'static, Result<Listed>> {
    let start = prefix.to_string();
    let fits = move |line: &Listed| ready(matches(&start, line.key.as_str()));
    objects.list(&Prefix::root(), after.as_ref()).try_filter(fits).boxed()
}
