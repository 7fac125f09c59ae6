//! A name may be an object and later a folder, and a request for both at once does no harm.
//!
//! Callers must not keep `a` beside `a/b`. A storage with folders must refuse it as `InvalidInput`; one
//! without may accept both.

use crate::{
    Batch, Commit, ErrorKind, Outcome,
    conformance::{
        check::{Checked, Rule, Stop, ensure, put},
        ground::Ground,
        handle::Handle,
    },
};

/// A name may become an object once the objects below it are deleted, and the other way round, repeatedly.
pub(super) async fn a_name_may_become_a_folder_and_back(ground: &Ground) -> Checked {
    for turn in ["first", "second"] {
        for name in ["a/b/c/d", "a", "a/b", "a/b/c"] {
            ground.store.put(name, turn).await.rule("a name is free once all keys below it were deleted")?;
            ground.store.expect(name, turn).await?;
            ground.store.delete(name).await?;
            ground.store.expect_absent(name).await?;
        }
    }
    Ok(())
}

/// A folder disappears with its last object, and not before.
pub(super) async fn a_folder_goes_with_its_last_object(ground: &Ground) -> Checked {
    for name in ["a/b/1", "a/b/2", "a/c"] {
        ground.store.put(name, name).await?;
    }
    ground.store.delete("a/b/1").await?;
    ground.store.expect("a/b/2", "a/b/2").await?;
    ground.store.delete("a/b/2").await?;
    let put = ground.store.put("a/b", "now an object").await;
    put.rule("a name is free once all keys below it were deleted")?;
    ground.store.expect("a/c", "a/c").await?;
    let names = ground.store.names("", None).await?;
    ensure!(names == ["a/b", "a/c"], "a/b and a/c are there; list finds {names:?}");
    Ok(())
}

/// A put below an object leaves the object unchanged.
pub(super) async fn an_object_survives_a_key_below_it(ground: &Ground) -> Checked {
    let store = &ground.store;
    store.put("a", "the object").await?;
    store.expect_absent("a/b").await?;
    let below = store.names("a", None).await?;
    ensure!(below.is_empty(), "nothing is below a; list finds {below:?}");
    store.delete("a/b").await?;
    for name in ["a/b", "a/b/c"] {
        if put_or_refused(store, name).await? {
            store.delete(name).await?;
        }
        store.expect("a", "the object").await.rule("a put below an object leaves the object")?;
    }
    Ok(())
}

/// A put of a name that is the folder of other objects leaves them unchanged.
pub(super) async fn objects_survive_a_key_above_them(ground: &Ground) -> Checked {
    let store = &ground.store;
    let names = ["a/b/c", "a/b/d"];
    for name in names {
        store.put(name, name).await?;
    }
    for above in ["a", "a/b"] {
        store.expect_absent(above).await.rule("a name with keys below it is no object")?;
        store.delete(above).await?;
        if put_or_refused(store, above).await? {
            store.delete(above).await?;
        }
        for name in names {
            store.expect(name, name).await.rule("a put above objects leaves them")?;
        }
        let found = store.names("", None).await?;
        ensure!(found == names, "{names:?} are there; list finds {found:?}");
    }
    Ok(())
}

/// Whether the storage accepted the key. The key must then exist, and must not exist if the storage refused
/// it.
async fn put_or_refused(store: &Handle, name: &str) -> Checked<bool> {
    match store.backend().commit(Batch::new().stage([put(name, "x")?])).await {
        Ok(Commit::Committed(_)) => {
            store.expect(name, "x").await?;
            Ok(true)
        }
        Ok(Commit::Conflict(conflict) | Commit::Overtaken(conflict)) => {
            Err(Stop::Failed(format!("a put without a condition met a conflict: {conflict:?}")))
        }
        Err(error) if error.outcome() == Outcome::Unknown || error.kind() != ErrorKind::InvalidInput => {
            let wanted =
                format!("a put of {name}, which is accepted or refused as InvalidInput (NotApplied),");
            Err(Stop::error(wanted, &error))
        }
        Err(_) => {
            store.expect_absent(name).await?;
            Ok(false)
        }
    }
}
