//! Several handles of one storage, which are opened, closed and dropped.

use futures::TryStreamExt;

use crate::{
    Batch, Commit, ErrorKind, Outcome, Position, Precondition,
    conformance::{
        check::{Checked, Rule, Stop, ensure, key, prefix, put},
        ground::Ground,
    },
};

/// The capabilities of a handle do not change.
pub(super) async fn capabilities_stay(ground: &Ground) -> Checked {
    let first = ground.store.capabilities();
    ground.store.put("a", "a").await?;
    ensure!(ground.store.capabilities() == first, "the capabilities changed after a commit");
    close(&ground.store).await?;
    ensure!(ground.store.capabilities() == first, "the capabilities changed after a close");
    Ok(())
}

/// A second handle finds at once, by get, stat and list, what one handle committed; in either direction.
pub(super) async fn a_second_handle_sees_commits_at_once(ground: &Ground) -> Checked {
    let another = ground.another().await?;
    for number in 0..20 {
        let body = number.to_string();
        // Each handle writes twice in a row, so that the reader has no write of its own in between.
        let (writes, reads) =
            if number % 4 < 2 { (&ground.store, &another) } else { (&another, &ground.store) };
        let written = writes.put("shared/a", body.clone()).await?;
        let found =
            reads.expect("shared/a", &body).await.rule("one handle put shared/a, and another reads it")?;
        ensure!(found == written, "one handle calls shared/a {written}, the other {found}");
        let name = format!("shared/new/{number}");
        writes.put(&name, body).await?;
        let names = reads.names("shared/new", None).await?;
        ensure!(names == [name.clone()], "one handle put {name}, the other lists {names:?}");
        writes.delete(&name).await?;
        reads.expect_absent(&name).await.rule("one handle deleted it, and another reads it")?;
    }
    Ok(())
}

/// A condition is judged by the writes of all handles.
pub(super) async fn conditions_hold_across_handles(ground: &Ground) -> Checked {
    let another = ground.another().await?;
    let first = Position { stage: 0, operation: 0 };
    // Both handles have read before, and must not rely on that read.
    for store in [&ground.store, &another] {
        store.expect_absent("a").await?;
    }
    let one = ground.store.put_when("a", "one", Precondition::Absent).await?;
    another.conflict(Batch::new().stage([put("a", "x")?.absent()]), first).await?;
    let two = another.put_when("a", "two", Precondition::Is(one.clone())).await?;
    ground.store.conflict(Batch::new().stage([put("a", "x")?.is(one)]), first).await?;
    ground.store.put_when("a", "three", Precondition::Is(two)).await?;
    another.delete("a").await?;
    ground.store.put_when("a", "four", Precondition::Absent).await?;
    another.expect("a", "four").await.map(drop)
}

/// Closing is idempotent, on an empty storage and on a used one.
pub(super) async fn closing_twice_is_fine(ground: &Ground) -> Checked {
    ground.store.put("a", "a").await?;
    for _ in 0..3 {
        close(&ground.store).await.rule("a handle may be closed again")?;
    }
    Ok(())
}

/// After a close another handle finds all objects, and can write.
pub(super) async fn closing_keeps_everything(ground: &Ground) -> Checked {
    let names: Vec<String> = (0..40).map(|number| format!("kept/{number}")).collect();
    ground.store.fill(&names).await?;
    let version = ground.store.put("kept/0", "swapped").await?;
    ground.store.delete("kept/1").await?;
    close(&ground.store).await?;
    let another = ground.another().await?;
    const RULE: &str = "a close loses no commit";
    for name in names.iter().skip(2) {
        another.expect(name, name).await.rule(RULE)?;
    }
    another.expect("kept/0", "swapped").await.rule(RULE)?;
    another.expect_absent("kept/1").await.rule(RULE)?;
    another.put_when("kept/0", "again", Precondition::Is(version)).await?;
    another.expect("kept/0", "again").await.map(drop)
}

/// Committed objects are visible to other handles after their handle was dropped without a close.
pub(super) async fn dropping_a_handle_keeps_everything(ground: &Ground) -> Checked {
    const RULE: &str = "a handle that is dropped loses no commit";
    for round in 0..4 {
        let name = format!("kept/{round}");
        let shortlived = ground.another().await?;
        shortlived.put(&name, name.clone()).await?;
        shortlived.put("last", name.clone()).await?;
        drop(shortlived);
        ground.store.expect(&name, &name).await.rule(RULE)?;
        ground.another().await?.expect("last", &name).await.rule(RULE)?;
    }
    Ok(())
}

/// A closed handle goes on working or returns an error; in either case its answer is true.
pub(super) async fn a_closed_handle_loses_nothing(ground: &Ground) -> Checked {
    ground.store.put("a", "before").await?;
    close(&ground.store).await?;
    let answer = ground.store.backend().commit(Batch::new().stage([put("b", "behind")?])).await;
    let another = ground.another().await?;
    another.expect("a", "before").await?;
    match answer {
        Ok(Commit::Committed(_)) => {
            let found = another.expect("b", "behind").await.map(drop);
            found.rule("a closed handle answered a commit as Committed")
        }
        Ok(Commit::Conflict(conflict) | Commit::Overtaken(conflict)) => {
            Err(Stop::Failed(format!("a put without a condition met a conflict: {conflict:?}")))
        }
        Err(error) if error.kind() != ErrorKind::Unavailable => {
            Err(Stop::error("A commit after close may be Unavailable; it", &error))
        }
        Err(error) if error.outcome() == Outcome::Unknown => Ok(()),
        Err(_) => another.expect_absent("b").await,
    }
}

/// A closed handle goes on reading or is unavailable. It does not say that there is nothing.
pub(super) async fn a_closed_handle_reads_the_truth_or_is_unavailable(ground: &Ground) -> Checked {
    ground.store.put("a/b", "x").await?;
    close(&ground.store).await?;
    let (backend, name) = (ground.store.backend(), key("a/b")?);
    let get = backend.get(&name).await.map(|found| found.is_some_and(|object| object.bytes == "x"));
    let stat = backend.stat(&name).await.map(|found| found.is_some_and(|meta| meta.size == 1));
    let range = backend.get_range(&name, 0..9).await;
    let range = range.map(|found| found.is_some_and(|part| part.bytes == "x" && part.size == 1));
    let list = backend.list(&prefix("a")?, None).try_collect::<Vec<_>>().await;
    let list = list.map(|lines| lines.iter().map(|line| &line.key).eq([&name]));
    for (what, answer) in [("get", get), ("stat", stat), ("get_range", range), ("list", list)] {
        match answer {
            Ok(is_true) => ensure!(is_true, "a/b was put, and {what} does not find it after a close"),
            Err(error) if error.outcome() == Outcome::Unknown => return Err(Stop::read(what, &error)),
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            Err(error) => {
                return Err(Stop::error(format!("After a close {what} may be Unavailable; it"), &error));
            }
        }
    }
    Ok(())
}

async fn close(store: &crate::conformance::handle::Handle) -> Checked {
    store.backend().close().await.map_err(|error| Stop::error("A close", &error))
}
