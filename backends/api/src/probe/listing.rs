//! Tests whether listings show the objects that were written and omit those that were deleted.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join;

use super::{
    Ended, LIST_AFTER_WRITE, RACING_UPDATES, STALE_UPDATE,
    conditions::Seen,
    ground::{Ground, Stop, Tried, ensure},
    races::Raced,
};
use crate::{Key, Listed};

/// How often objects that reappear are deleted before the check is unclear.
const DELETIONS: u32 = 3;

/// Lists everything, and the second half of the keys of the races.
///
/// The sizes in the listing also show that every race left the body of its winner.
pub(super) async fn after_write(ground: &Ground<'_>, seen: &Seen, raced: &[Raced]) -> Result<String, Ended> {
    let middle = raced.get(raced.len() / 2).map(|raced| &raced.key);
    let (all, half) = join(ground.list("", None), ground.list("races", middle)).await;
    let (all, half) = (LIST_AFTER_WRITE.step(all)?, LIST_AFTER_WRITE.step(half)?);

    let known: BTreeMap<&Key, &[u64]> = raced
        .iter()
        .filter(|raced| !raced.lengths.is_empty())
        .map(|raced| (&raced.key, raced.lengths.as_slice()))
        .collect();
    LIST_AFTER_WRITE.step(complete(ground, seen, &known, &all))?;
    for listed in &all {
        let Some(lengths) = known.get(&listed.key) else { continue };
        if !lengths.contains(&listed.size) {
            return Err(wrong_size(ground, listed, lengths).await);
        }
    }
    let is_ghost = |listed: &Listed| listed.key.as_str().contains("/missing.");
    STALE_UPDATE.ensure(!all.iter().any(is_ghost), "It created a key by an update that it refused")?;
    LIST_AFTER_WRITE.step(behind(&known, middle, &half))?;
    Ok(format!("{} objects were listed behind their writes, in order", known.len() + 1))
}

/// Checks that the listing has every object that certainly exists, once and in order, and none that cannot
/// exist.
fn complete(ground: &Ground<'_>, seen: &Seen, known: &BTreeMap<&Key, &[u64]>, all: &[Listed]) -> Tried {
    let listed: BTreeSet<&Key> = all.iter().map(|listed| &listed.key).collect();
    let certain = known.keys().copied().chain([&seen.key]);
    let (count, missing) = (known.len() + 1, certain.filter(|key| !listed.contains(key)).count());
    ensure!(missing == 0, "It left {missing} of {count} objects that are there out of a listing");
    let made = ground.made();
    let extra = listed.iter().filter(|key| !made.contains(**key)).count();
    ensure!(extra == 0, "It listed {extra} objects that are not there");
    ensure!(listed.len() == all.len(), "It listed an object twice");
    ensure!(all.is_sorted_by(|a, b| a.key < b.key), "It did not list in the order of the keys' bytes");
    ensure!(all.iter().all(|listed| listed.size > 0), "It listed objects without their size");
    Ok(())
}

/// Checks that the listing of the folder after `middle` has the rest of the folder and nothing else.
fn behind(known: &BTreeMap<&Key, &[u64]>, middle: Option<&Key>, half: &[Listed]) -> Tried {
    let is_behind = |key: &Key| middle.is_none_or(|middle| key > middle);
    let is_outside = |listed: &&Listed| !listed.key.as_str().contains("/races/");
    let outside = half.iter().filter(is_outside).count();
    ensure!(outside == 0, "It listed {outside} objects that are not below the prefix");
    ensure!(
        half.iter().all(|listed| is_behind(&listed.key)),
        "It did not go on with a listing where it was told to"
    );
    let listed: BTreeSet<&Key> = half.iter().map(|listed| &listed.key).collect();
    let missing = known.keys().filter(|key| is_behind(key) && !listed.contains(**key)).count();
    ensure!(missing == 0, "It left {missing} objects out of a listing that goes on behind a key");
    Ok(())
}

/// The meaning of a size that none of the possible bodies has: another body, or a listing of an earlier
/// state.
async fn wrong_size(ground: &Ground<'_>, listed: &Listed, lengths: &[u64]) -> Ended {
    match ground.get(&listed.key).await {
        Err(stop) => Ended { promise: LIST_AFTER_WRITE, stop },
        Ok(Some(object)) if lengths.contains(&(object.bytes.len() as u64)) => {
            let sentence = "It listed an object with another size than it has".to_owned();
            Ended { promise: LIST_AFTER_WRITE, stop: Stop::Broken(sentence) }
        }
        Ok(_) => {
            let sentence = "It lost a racing update that it had acknowledged".to_owned();
            Ended { promise: RACING_UPDATES, stop: Stop::Broken(sentence) }
        }
    }
}

/// Deletes everything, and checks that it is gone.
///
/// A create whose request seemed lost may land after the delete of its key. So a body that was only created
/// and reappears is deleted once more. A body that was written by an update cannot reappear; if it does, the
/// delete did not happen.
pub(super) async fn after_delete(ground: &Ground<'_>, seen: &Seen, raced: &[Raced]) -> Tried<String> {
    ground.rest().await;
    let made = ground.made().len();
    ground.clear().await?;
    let raced: BTreeSet<&Key> = raced.iter().map(|raced| &raced.key).collect();
    for _ in 0..DELETIONS {
        let (listed, object) = join(ground.list("", None), ground.get(&seen.key)).await;
        let (listed, object) = (listed?, object?);
        let is_present = object.as_ref().is_some_and(|object| object.bytes == seen.present);
        ensure!(!is_present, "It gave back an object that was deleted");
        let is_left = |it: &&Listed| raced.contains(&it.key) && Raced::is_update(it.size);
        ensure!(!listed.iter().any(|it| is_left(&it)), "It listed an object that was deleted");
        let mut back: BTreeSet<Key> = listed.into_iter().map(|listed| listed.key).collect();
        back.extend(object.map(|object| object.meta.key));
        if back.is_empty() {
            return Ok(format!("{made} keys were deleted and not seen again"));
        }
        ground.rest().await;
        ground.delete(back).await?;
    }
    Err(Stop::Unclear("Objects came back after they were deleted: creates may have landed late".to_owned()))
}
