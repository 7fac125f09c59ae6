//! A write happens if its condition holds, and changes nothing if not.

use crate::{
    Batch, Commit, ErrorKind, Operation, Position, Precondition, Version,
    conformance::{
        check::{Checked, Rule, Stop, delete, ensure, put},
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

/// A version is never used again for other bytes of its key, also if the key was deleted in between. The same
/// bytes may have the same version again, so each body is put once.
pub(super) async fn a_version_never_returns_for_other_bytes(ground: &Ground) -> Checked {
    let store = &ground.store;
    let mut earlier: Vec<(String, Version)> = Vec::new();
    for life in 0..4 {
        for number in 0..=life {
            let body = format!("life {life}, number {number}");
            let version = store.put("a", body.clone()).await?;
            if let Some((other, _)) = earlier.iter().find(|(_, it)| *it == version) {
                return Err(Stop::Failed(format!(
                    "the version {version} was that of {other:?}, and returns for {body:?} after a was deleted: a \
                     version that starts again after a delete lets a stale condition hold"
                )));
            }
            for (_, stale) in &earlier {
                store.conflict(Batch::new().stage([put("a", "stale")?.is(stale.clone())]), FIRST).await?;
            }
            store.expect("a", &body).await?;
            earlier.push((body, version));
        }
        store.delete("a").await?;
    }
    Ok(())
}

/// `Always` holds for a missing key, for other bytes and for the same bytes.
pub(super) async fn always_creates_and_overwrites(ground: &Ground) -> Checked {
    for body in ["one", "a longer body", "", "x", "x"] {
        ground.store.put("a", body).await?;
        ground.store.expect("a", body).await.rule("a put without a condition replaces what is there")?;
    }
    Ok(())
}

/// Deleting a missing key commits, even below a prefix without objects.
pub(super) async fn deleting_what_is_not_there_succeeds(ground: &Ground) -> Checked {
    ground.store.put("b/x", "x").await?;
    for name in ["a", "b/y", "b/c/d", "e/f/g"] {
        ground.store.delete(name).await.rule("a delete of a missing key commits")?;
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
    ground.store.expect_absent("a/b").await.rule("a/b was deleted")?;
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

/// `attempt` sends a put once and returns the answer of the storage: a second copy of it is refused, although
/// the stored bytes are those of the first one.
pub(super) async fn an_attempt_is_not_taken_for_its_own_copy(ground: &Ground) -> Checked {
    let store = &ground.store;
    // From commits a backend may learn in which form its server takes conditions; an attempt only sends one.
    let learnt = store.put("b", "one").await?;
    store.put_when("b", "two", Precondition::Is(learnt)).await?;
    attempt_once(ground, put("a", "one")?.absent()).await?;
    let first = store.expect("a", "one").await?;
    attempt_once(ground, put("a", "two")?.is(first)).await?;
    store.expect("a", "two").await.map(drop)
}

/// How often a storage may refuse an attempt whose condition holds. A server that lost a race with itself does so
/// now and then, and an attempt passes that on.
const REFUSALS: usize = 8;

/// Sends an attempt until it is applied, and once more, when it must not be.
async fn attempt_once(ground: &Ground, put: Operation) -> Checked {
    let send = || async {
        let answer = ground.store.backend().attempt(put.clone()).await;
        answer.map_err(|error| Stop::error(format!("An attempt at {}", put.key()), &error))
    };
    let mut refusals = 0;
    loop {
        let answer = send().await?;
        let now = ground.store.stat(put.key().as_str()).await?.map(|meta| meta.version);
        if let Commit::Committed(versions) = answer {
            let says = versions.get(FIRST);
            ensure!(says == now.as_ref(), "an attempt calls {} {says:?}, stat {now:?}", put.key());
            break;
        }
        if !put.precondition().holds(now.as_ref()) {
            // A server may have answered to a second copy of the request.
            break;
        }
        refusals += 1;
        ensure!(
            refusals < REFUSALS,
            "the condition of an attempt held, and it has a conflict {REFUSALS} times: {put:?}"
        );
    }
    ensure!(
        !matches!(send().await?, Commit::Committed(_)),
        "a second copy of an attempt was answered as Committed: attempt returns the answer of the storage and \
         resolves nothing"
    );
    Ok(())
}
