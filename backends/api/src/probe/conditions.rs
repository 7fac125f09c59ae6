//! Tests every kind of condition on one key, one request after the other.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::{join, join3};

use super::{
    ATTEMPTS, CREATE_TWICE, Ended, Promise, READ_AFTER_WRITE, STALE_UPDATE, VERSIONS,
    ground::{Ground, Stop, Tried},
};
use crate::{Key, Operation};

/// All bodies have this length, so that a version derived from the length is detected.
const LENGTH: usize = 64;

/// The results of the stage.
pub(super) struct Seen {
    pub(super) key: Key,
    /// The body that an update stored.
    pub(super) present: Bytes,
    pub(super) measured: Measured,
}

/// Measurements for the checks that decide nothing.
pub(super) struct Measured {
    /// The times before and after the update.
    pub(super) updated: (DateTime<Utc>, DateTime<Utc>),
    /// The time of the update according to the storage.
    pub(super) modified: DateTime<Utc>,
    pub(super) write: Duration,
    pub(super) read: Duration,
}

/// Runs the whole stage; if it ends unclear, runs it once more on other keys.
pub(super) async fn run(ground: &Ground<'_>) -> Result<Seen, Ended> {
    let mut attempt = 1;
    loop {
        match chain(ground, attempt).await {
            Err(Ended { stop: Stop::Unclear(_), .. }) if attempt < ATTEMPTS => attempt += 1,
            other => return other,
        }
    }
}

async fn chain(ground: &Ground<'_>, attempt: u32) -> Result<Seen, Ended> {
    // The key is a neighbour of the folder `races` and comes after that folder's keys: a listing of the
    // folder must not include it.
    let key = CREATE_TWICE.step(ground.key(&format!("races_and_conditions.{attempt}")))?;
    let [first, present, again, stale, ghost] = std::array::from_fn(|_| ground.body(LENGTH));
    let clock = || ground.environment.monotonic();

    let create = |body: &Bytes| Operation::put(key.clone(), body.clone()).absent().fresh();
    let began = clock();
    let created = ground.store(create(&first), "to create a key that is not there").await;
    let old = CREATE_TWICE.step(created)?;
    let created = clock();

    let before = ground.environment.now();
    let new = STALE_UPDATE.step(ground.update(&key, &present, &old).await)?;
    let (after, updated) = (ground.environment.now(), clock());
    VERSIONS.ensure(new != old, "It gave the same version to different bytes")?;

    let missing = STALE_UPDATE.step(ground.key(&format!("missing.{attempt}")))?;
    let under_old = |key: &Key, body: &Bytes| Operation::put(key.clone(), body.clone()).is(old.clone());
    let (twice, late, nothing) = join3(
        ground.refused(create(&again), "It created a key that exists already"),
        ground.refused(under_old(&key, &stale), "It accepted an update of a version that was replaced"),
        ground.refused(under_old(&missing, &ghost), "It accepted an update of a key that is not there"),
    )
    .await;
    CREATE_TWICE.step(twice)?;
    STALE_UPDATE.step(late)?;
    STALE_UPDATE.step(nothing)?;

    let asked = clock();
    let ((object, read), meta) = join(timed(ground, &key), ground.backend.stat(&key)).await;
    let meta = READ_AFTER_WRITE.step(meta.map_err(Stop::from))?;
    let Some(object) = READ_AFTER_WRITE.step(object)? else {
        return missed(READ_AFTER_WRITE, "It did not find an object that was written");
    };
    let bytes = &object.bytes;
    CREATE_TWICE.ensure(*bytes != again, "It replaced an object by a create that it refused")?;
    STALE_UPDATE.ensure(*bytes != stale, "It replaced an object by an update that it refused")?;
    READ_AFTER_WRITE.ensure(*bytes != first, "It gave back other bytes than were written last")?;
    READ_AFTER_WRITE.ensure(*bytes == present, "It gave back bytes that were never written")?;
    VERSIONS.ensure(object.meta.version == new, "It called one version by two names, written and read")?;
    let Some(meta) = meta else {
        return missed(READ_AFTER_WRITE, "It knew nothing of an object that was written");
    };
    VERSIONS.ensure(meta.version == new, "It called one version by two names, with its bytes and without")?;
    READ_AFTER_WRITE.ensure(meta.size == LENGTH as u64, "It gave another size than that of the object")?;

    let write = created.saturating_sub(began).min(updated.saturating_sub(created));
    let read = read.saturating_sub(asked);
    let measured = Measured { updated: (before, after), modified: object.meta.modified, write, read };
    Ok(Seen { key, present, measured })
}

/// Reads an object, and records when the read ended.
async fn timed(ground: &Ground<'_>, key: &Key) -> (Tried<Option<crate::Object>>, Duration) {
    let object = ground.get(key).await;
    (object, ground.environment.monotonic())
}

fn missed<T>(promise: &'static Promise, sentence: &str) -> Result<T, Ended> {
    promise.step(Err(Stop::Broken(sentence.to_owned())))
}
