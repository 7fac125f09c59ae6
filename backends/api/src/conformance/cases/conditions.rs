//! A write happens if its condition holds, and changes nothing if not.

use crate::{
    Batch, ErrorKind, Position, Precondition,
    conformance::{
        check::{Checked, delete, ensure, put},
        ground::Ground,
    },
};

const FIRST: Position = Position { stage: 0, operation: 0 };

/// `Absent` creates an object once; later attempts conflict with it and leave it unchanged.
pub(super) async fn absent_creates_once(ground: &Ground) -> Checked {
    ground.store.put_when("a/b", "one", Precondition::Absent).await?;
    for second in ["two", ""] {
        ground.store.conflict(Batch::new().stage([put("a/b", second)?.absent()]), FIRST).await?;
        ground.store.expect("a/b", "one").await?;
    }
    ground.store.conflict_or_own(Batch::new().stage([put("a/b", "one")?.absent()]), FIRST).await?;
    ground.store.expect("a/b", "one").await?;
    // An empty object exists too.
    ground.store.put_when("empty", "", Precondition::Absent).await?;
    ground.store.conflict(Batch::new().stage([put("empty", "x")?.absent()]), FIRST).await?;
    ground.store.expect("empty", "").await?;
    Ok(())
}

/// `Absent` holds again after a delete, and only then.
pub(super) async fn absent_holds_again_after_a_delete(ground: &Ground) -> Checked {
    for body in ["one", "two", "one"] {
        ground.store.put_when("a", body, Precondition::Absent).await?;
        ground.store.expect("a", body).await?;
        ground.store.delete("a").await?;
    }
    ground.store.expect_absent("a").await
}

/// `Is` with the present version swaps, whether the version came from commit, get or stat.
pub(super) async fn is_swaps_the_version_it_names(ground: &Ground) -> Checked {
    let committed = ground.store.put("a", "one").await?;
    ground.store.put_when("a", "two", Precondition::Is(committed)).await?;
    let read = ground.store.read("a").await?.meta.version;
    ground.store.put_when("a", "three", Precondition::Is(read)).await?;
    let seen = ground.store.expect("a", "three").await?;
    ground.store.put_when("a", "four", Precondition::Is(seen)).await?;
    ground.store.expect("a", "four").await?;
    Ok(())
}

/// `Is` with the version of replaced bytes gives a conflict that names the present version.
pub(super) async fn is_refuses_a_version_that_was_replaced(ground: &Ground) -> Checked {
    let first = ground.store.put("a", "one").await?;
    ground.store.put("a", "two").await?;
    let stale = |body: &str| Ok(Batch::new().stage([put("a", body.to_owned())?.is(first.clone())]));
    for body in ["three", "one"] {
        ground.store.conflict(stale(body)?, FIRST).await?;
        ground.store.expect("a", "two").await?;
    }
    ground.store.conflict_or_own(stale("two")?, FIRST).await?;
    ground.store.expect("a", "two").await?;
    Ok(())
}

/// `Is` does not hold for a key that never existed or was deleted.
pub(super) async fn is_refuses_a_key_that_is_not_there(ground: &Ground) -> Checked {
    let version = ground.store.put("a", "one").await?;
    ground.store.conflict(Batch::new().stage([put("b", "one")?.is(version.clone())]), FIRST).await?;
    ground.store.expect_absent("b").await?;
    ground.store.delete("a").await?;
    ground.store.conflict(Batch::new().stage([put("a", "two")?.is(version)]), FIRST).await?;
    ground.store.expect_absent("a").await
}

/// `Always` holds for a missing key, for other bytes and for the same bytes.
pub(super) async fn always_creates_and_overwrites(ground: &Ground) -> Checked {
    for body in ["one", "a longer body", "", "x", "x"] {
        ground.store.put("a", body).await?;
        ground.store.expect("a", body).await?;
    }
    Ok(())
}

/// Deleting a missing key commits, even below a prefix without objects.
pub(super) async fn deleting_what_is_not_there_succeeds(ground: &Ground) -> Checked {
    ground.store.put("b/x", "x").await?;
    for name in ["a", "b/y", "b/c/d", "e/f/g"] {
        ground.store.delete(name).await?;
    }
    ground.store.expect("b/x", "x").await?;
    ground.store.delete("b/x").await?;
    ground.store.delete("b/x").await
}

/// A deleted object is not found by any read, and its neighbours are.
pub(super) async fn a_deleted_object_is_gone(ground: &Ground) -> Checked {
    for name in ["a/b", "a/c", "a-b"] {
        ground.store.put(name, name).await?;
    }
    ground.store.delete("a/b").await?;
    ground.store.expect_absent("a/b").await?;
    let left = ground.store.names("", None).await?;
    ensure!(left == ["a-b", "a/c"], "a-b and a/c are left; list finds {left:?}");
    for name in ["a/c", "a-b"] {
        ground.store.expect(name, name).await?;
    }
    Ok(())
}

/// A conditional delete removes exactly the version that it names, or it is `Unsupported` and changes
/// nothing.
pub(super) async fn a_conditional_delete_holds_or_is_unsupported(ground: &Ground) -> Checked {
    let store = &ground.store;
    let first = store.put("a", "one").await?;
    let present = store.put("a", "two").await?;
    let delete = |condition: Precondition| Ok(Batch::new().stage([delete("a")?.when(condition)]));
    let stale = || Precondition::Is(first.clone());
    if !store.capabilities().conditional_delete {
        for condition in [stale(), Precondition::Is(present), Precondition::Absent] {
            store.refused(delete(condition)?, ErrorKind::Unsupported).await?;
            store.expect("a", "two").await?;
        }
        return Ok(());
    }
    for condition in [stale(), Precondition::Absent] {
        store.conflict(delete(condition)?, FIRST).await?;
        store.expect("a", "two").await?;
    }
    store.commit(delete(Precondition::Is(present))?).await?;
    store.expect_absent("a").await?;
    store.conflict(delete(stale())?, FIRST).await?;
    store.commit(delete(Precondition::Absent)?).await?;
    store.expect_absent("a").await
}
