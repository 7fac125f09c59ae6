//! What a reader sees of what was answered.

use bytes::Bytes;
use futures::StreamExt;

use super::ground::{Ground, Tried, ensure};
use crate::{Operation, Prefix};

/// How often one key is replaced.
const REPLACEMENTS: usize = 8;
/// How many keys are listed.
const LISTED: usize = 12;

/// Writes, replaces and deletes one key, and looks each time at once.
pub(super) async fn read_after_write(ground: &Ground<'_>, name: String) -> Tried<String> {
    let key = ground.key(&name)?;
    ensure!(ground.backend.get(&key).await?.is_none(), "It found an object that nobody wrote");
    for replacement in 0..REPLACEMENTS {
        let body = ground.body(replacement);
        let put = Operation::put(key.clone(), body.clone());
        ground.store(put, "a write that names no condition").await?;
        let object = ground.read(&key).await?;
        ensure!(object.bytes == body, "It gave back other bytes than were written last");
        let meta = ground.backend.stat(&key).await?;
        let size = meta.map(|meta| meta.size);
        ensure!(
            size == Some(body.len() as u64),
            "It said that {} bytes are {}",
            body.len(),
            size.map_or("no object".to_owned(), |size| format!("{size} bytes"))
        );
    }
    ground.delete(&key).await?;
    ensure!(ground.backend.get(&key).await?.is_none(), "It gave back an object that was deleted");
    ensure!(ground.backend.stat(&key).await?.is_none(), "It knew an object that was deleted");
    Ok(format!("{REPLACEMENTS} writes and a delete were seen at once"))
}

/// Writes and deletes keys, and lists them each time at once, whole and from the middle.
pub(super) async fn list_after_write(ground: &Ground<'_>, name: String) -> Tried<String> {
    // A neighbour whose name goes on without a slash is not below.
    let neighbour = ground.key(&format!("{name}-neighbour"))?;
    ground.store(Operation::put(neighbour, ground.body("beside")), "a write that names no condition").await?;
    let mut keys = Vec::new();
    for number in 0..LISTED {
        let key = ground.key(&format!("{name}/{number:02}"))?;
        let put = Operation::put(key.clone(), ground.body(number));
        ground.store(put, "a write that names no condition").await?;
        keys.push(key);
        expect_listed(ground, &name, &keys).await?;
    }
    if let Some(middle) = keys.get(LISTED / 2) {
        let prefix = Prefix::parse(format!("{}{name}", ground.prefix())).ok();
        let prefix = prefix.unwrap_or_else(|| ground.prefix().clone());
        let next = ground.backend.list(&prefix, Some(middle)).next().await.transpose()?;
        ensure!(
            next.map(|listed| listed.key).as_ref() == keys.get(LISTED / 2 + 1),
            "It did not go on with a listing where it was told to"
        );
    }
    while let Some(key) = keys.pop() {
        ground.delete(&key).await?;
        expect_listed(ground, &name, &keys).await?;
    }
    Ok(format!("{LISTED} writes and {LISTED} deletes were listed at once"))
}

async fn expect_listed(ground: &Ground<'_>, folder: &str, keys: &[crate::Key]) -> Tried {
    let listed = ground.list(folder).await?;
    let missing = keys.iter().filter(|key| !listed.iter().any(|it| it.key == **key)).count();
    ensure!(missing == 0, "It left {missing} of {} objects that are there out of a listing", keys.len());
    let extra = listed.iter().filter(|it| !keys.contains(&it.key)).count();
    ensure!(extra == 0, "It listed {extra} objects that are not there");
    ensure!(listed.len() == keys.len(), "It listed an object twice");
    ensure!(listed.is_sorted_by(|a, b| a.key < b.key), "It did not list in the order of the keys' bytes");
    ensure!(listed.iter().all(|it| it.size > 0), "It listed objects without their size");
    Ok(())
}

/// Bodies of one length, and whether commit, `get` and `stat` agree on what they are called.
pub(super) async fn versions(ground: &Ground<'_>, name: String) -> Tried<String> {
    let key = ground.key(&name)?;
    let mut seen = Vec::new();
    for number in 0..REPLACEMENTS {
        let put = Operation::put(key.clone(), ground.body(number));
        let version = ground.store(put, "a write that names no condition").await?;
        let read = ground.read(&key).await?.meta.version;
        ensure!(
            read == version,
            "It called one version by two names, when it was written and when it was read"
        );
        let known = ground.backend.stat(&key).await?.map(|meta| meta.version);
        ensure!(
            known.as_ref() == Some(&version),
            "It called one version by two names, with its bytes and without"
        );
        ensure!(!seen.contains(&version), "It gave the same version to different bytes");
        seen.push(version);
    }
    Ok(format!("{REPLACEMENTS} bodies of one length had {REPLACEMENTS} versions"))
}

/// An object of many bytes that nothing can compress.
pub(super) async fn large_object(ground: &Ground<'_>, name: String) -> Tried<String> {
    let key = ground.key(&name)?;
    let most = usize::try_from(ground.backend.capabilities().max_object_size).unwrap_or(usize::MAX);
    let size = ground.depth.large.min(most);
    let body = noise(ground.environment.random(), size);
    let put = Operation::put(key.clone(), body.clone()).absent().fresh();
    ground.store(put, "a large object").await?;
    let object = ground.read(&key).await?;
    ensure!(
        object.bytes.len() == size && object.meta.size == size as u64,
        "It gave back {} bytes of a large object of {size}",
        object.bytes.len()
    );
    ensure!(object.bytes == body, "It gave back other bytes of a large object than were written");
    Ok(format!("{size} bytes came back"))
}

/// Numbers of a multiplicative generator: cheap, and without a pattern that compression would find.
fn noise(seed: u64, size: usize) -> Bytes {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 32).to_le_bytes()[..4]);
    }
    bytes.truncate(size);
    bytes.into()
}
