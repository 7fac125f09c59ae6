//! Everything that a store holds, looked at in every way.

use futures::TryStreamExt;
use pflow_backend::{Error, Key, Prefix, StorageBackend, Version};

use super::model::Objects;
use crate::FsBackend;

/// Why a look brought nothing.
#[derive(Debug)]
pub(crate) enum Seen {
    Failed(Error),
    Contradiction(String),
}

impl From<Error> for Seen {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Everything that is there, looked at in every way.
pub(crate) async fn observe(
    backend: &FsBackend,
    keys: impl Iterator<Item = &String>,
) -> std::result::Result<Objects, Seen> {
    let listed: Vec<_> = backend.list(&Prefix::root(), None).try_collect().await?;
    // One after the other: reads at the same time share what they ask, as it happens.
    let (mut objects, mut metas) = (Vec::new(), Vec::new());
    for it in &listed {
        objects.push(backend.get(&it.key).await);
        metas.push(backend.stat(&it.key).await);
    }
    let mut seen = Objects::new();
    for ((it, object), meta) in listed.iter().zip(objects).zip(metas) {
        let Some(object) = object? else {
            return Err(Seen::Contradiction(format!("{} is listed and not there", it.key)));
        };
        if object.meta.version != Version::of_content(&object.bytes) || it.size != object.bytes.len() as u64 {
            return Err(Seen::Contradiction(format!("{} is not what it is said to be", it.key)));
        }
        if meta?.map(|meta| meta.version).as_ref() != Some(&object.meta.version) {
            return Err(Seen::Contradiction(format!("{} has two versions", it.key)));
        }
        let range = it.size / 3..it.size / 3 + 400;
        let part = backend.get_range(&it.key, range.clone()).await?;
        let expected = object.excerpt(range);
        let is_part = part.is_some_and(|part| {
            (&part.bytes, part.size) == (&expected.bytes, expected.size)
                && part.version.is_none_or(|version| version == object.meta.version)
        });
        if !is_part {
            return Err(Seen::Contradiction(format!("a range of {} is of other bytes", it.key)));
        }
        seen.insert(it.key.as_str().to_owned(), object.bytes);
    }
    if !listed.windows(2).all(|pair| pair[0].key < pair[1].key) {
        return Err(Seen::Contradiction("the listing is in no order".to_owned()));
    }
    for key in keys.filter(|key| !seen.contains_key(*key)).collect::<Vec<_>>() {
        let key = Key::parse(key.as_str()).unwrap();
        if backend.get(&key).await?.is_some() {
            return Err(Seen::Contradiction(format!("{key} is there and not listed")));
        }
    }
    Ok(seen)
}
