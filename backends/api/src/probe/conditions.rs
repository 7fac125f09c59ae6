use super::ground::{Answer, Ground, Tried, ensure};
use crate::Operation;

/// Creates a key, and again.
pub(super) async fn create_twice(ground: &Ground<'_>, name: String) -> Tried<String> {
    let key = ground.key(&name)?;
    let (first, second) = (ground.body("first"), ground.body("second"));
    let create = |body| Operation::put(key.clone(), body).absent().fresh();
    ground.store(create(first.clone()), "to create a key that is not there").await?;
    let again = ground.write(create(second.clone())).await?;
    ensure!(!matches!(again, Answer::Stored(_)), "It created a key that exists already");
    let there = ground.read(&key).await?.bytes;
    ensure!(there != second, "It replaced an object by a create that it refused");
    ensure!(there == first, "It gave back bytes that nobody wrote");
    Ok("the second create was refused, and the first object stayed".to_owned())
}

/// Updates a key under its present version, under the one before, and a key that is not there.
pub(super) async fn stale_update(ground: &Ground<'_>, name: String) -> Tried<String> {
    let key = ground.key(&name)?;
    let old = Operation::put(key.clone(), ground.body("old"));
    let old = ground.store(old.absent().fresh(), "to create a key that is not there").await?;
    let present = ground.body("present");
    let update = Operation::put(key.clone(), present.clone()).is(old.clone());
    ground.store(update, "an update of the version that it gave itself").await?;

    let stale = ground.body("stale");
    let answer = ground.write(Operation::put(key.clone(), stale.clone()).is(old.clone())).await?;
    ensure!(!matches!(answer, Answer::Stored(_)), "It accepted an update of a version that was replaced");
    let there = ground.read(&key).await?.bytes;
    ensure!(there != stale, "It replaced an object by an update that it refused");
    ensure!(there == present, "It gave back bytes that nobody wrote");

    let missing = ground.key(&format!("{name}.missing"))?;
    let answer = ground.write(Operation::put(missing.clone(), ground.body("ghost")).is(old)).await?;
    ensure!(!matches!(answer, Answer::Stored(_)), "It accepted an update of a key that is not there");
    let there = ground.backend.get(&missing).await?;
    ensure!(there.is_none(), "It created a key by an update that it refused");
    Ok("updates of an old version and of a missing key were refused".to_owned())
}
