//! Stages happen in order, under all of their conditions, or as far as the answer says.

use crate::{
    Batch, ErrorKind, Position,
    conformance::{
        check::{Checked, Rule, Stop, delete, ensure, put},
        ground::Ground,
        handle::Handle,
    },
};

/// A batch without stages, or with empty ones, commits.
pub(super) async fn an_empty_batch_commits(ground: &Ground) -> Checked {
    const RULE: &str = "a batch without operations commits";
    ground.store.commit(Batch::new()).await.rule(RULE)?;
    ground.store.commit(Batch::new().stage([]).stage([])).await.rule(RULE)?;
    let names = ground.store.names("", None).await?;
    ensure!(names.is_empty(), "nothing was put; list finds {names:?}");
    Ok(())
}

/// Versions and conflicts count empty stages too.
pub(super) async fn an_empty_stage_keeps_its_number(ground: &Ground) -> Checked {
    let batch =
        |body: &str| Ok(Batch::new().stage([]).stage([put("a", body.to_owned())?.absent()]).stage([]));
    let versions = ground.store.commit(batch("a")?).await?;
    let here = Position { stage: 1, operation: 0 };
    let committed = versions.get(here).cloned();
    let found = ground.store.expect("a", "a").await?;
    ensure!(committed == Some(found), "the version at {here:?} is not that of a");
    ground.store.conflict(batch("b")?, here).await.map(drop)
}

/// Puts and deletes of all kinds and stages are in place once the batch has committed.
pub(super) async fn every_operation_of_every_stage_happens(ground: &Ground) -> Checked {
    let store = &ground.store;
    store.put("old/1", "old").await?;
    let head = store.put("head", "0").await?;
    store.put("copy", "a copy that is longer than the next").await?;
    let batch = Batch::new()
        .stage([put("versions/1", "one")?.absent().fresh(), put("versions/2", "two")?.fresh()])
        .stage([put("head", "1")?.is(head), delete("old/1")?, delete("old/2")?])
        .stage([put("copy", "one")?.copy()]);
    let versions = store.commit(batch.clone()).await?;
    let expected = [("versions/1", "one"), ("versions/2", "two"), ("head", "1")];
    for (name, body) in expected {
        let found = store.expect(name, body).await.rule("every operation of every stage happens")?;
        let place = batch.operations().find(|(_, it)| it.key().as_str() == name).map(|(at, _)| at);
        let committed = place.and_then(|at| versions.get(at));
        ensure!(committed == Some(&found), "commit calls {name} {committed:?}, get and stat {found}");
    }
    // A copy may be written after the answer, but it is the old one or the new one.
    if store.expect("copy", "one").await.is_err() {
        store.expect("copy", "a copy that is longer than the next").await?;
    }
    store.expect_absent("old/1").await?;
    let names = store.names("", None).await?;
    ensure!(names == ["copy", "head", "versions/1", "versions/2"], "list finds {names:?}");
    Ok(())
}

/// The version of each put is at its own place, also after deletes in its stage and after stages of deletes.
pub(super) async fn versions_have_a_place_for_every_operation(ground: &Ground) -> Checked {
    let store = &ground.store;
    for name in ["a", "d", "f"] {
        store.put(name, "old").await?;
    }
    let batch = Batch::new()
        .stage([delete("a")?, put("b", "b")?, delete("absent/1")?, put("c", "c")?])
        .stage([])
        .stage([delete("d")?])
        .stage([delete("absent/2")?, delete("f")?, put("g", "g")?]);
    let versions = store.commit(batch.clone()).await?;
    for (at, operation) in batch.operations() {
        let name = operation.key().as_str();
        let now = store.stat(name).await?.map(|meta| meta.version);
        let says = versions.get(at);
        ensure!(says == now.as_ref(), "Versions has {says:?} for {name} at {at:?}, and stat finds {now:?}");
    }
    Ok(())
}

/// A stage of hundreds of operations happens completely.
pub(super) async fn a_wide_stage_happens_whole(ground: &Ground) -> Checked {
    let names: Vec<String> = (100..400).map(|number| format!("wide/{}/{number}", number % 7)).collect();
    ground.store.fill(&names).await?;
    for name in &names {
        ground.store.expect(name, name).await.rule("every operation of a stage of 300 happens")?;
    }
    Ok(())
}

/// The conflict names the one operation of its stage whose condition does not hold.
pub(super) async fn a_conflict_names_its_operation(ground: &Ground) -> Checked {
    ground.store.put("k/5", "there").await?;
    let puts = (0..8).map(|number| Ok(put(&format!("k/{number}"), "new")?.absent()));
    let batch = Batch::new().stage(puts.collect::<Checked<Vec<_>>>()?);
    ground.store.conflict(batch, Position { stage: 0, operation: 5 }).await?;
    ground.store.expect("k/5", "there").await.map(drop)
}

/// After a conflict in the first stage no other stage happens.
pub(super) async fn a_conflict_in_the_first_stage_stops_the_others(ground: &Ground) -> Checked {
    let store = &ground.store;
    let stale = store.put("a", "zero").await?;
    store.put("a", "one").await?;
    store.put("gone", "still here").await?;
    let batch = Batch::new()
        .stage([put("a", "two")?.is(stale)])
        .stage([put("b", "b")?, delete("gone")?])
        .stage([put("c", "c")?]);
    store.conflict(batch, Position { stage: 0, operation: 0 }).await?;
    const RULE: &str = "after a conflict in the first stage nothing of the batch happens";
    store.expect("a", "one").await.rule(RULE)?;
    store.expect("gone", "still here").await.rule(RULE)?;
    store.expect_absent("b").await.rule(RULE)?;
    store.expect_absent("c").await.rule(RULE)
}

/// A conflict in a later stage leaves exactly the stages that it names, and parts of its own stage only if it
/// says so. An atomic batch leaves nothing.
pub(super) async fn a_conflict_in_a_later_stage_leaves_what_it_says(ground: &Ground) -> Checked {
    let store = &ground.store;
    for name in ["0/swapped", "0/deleted", "2/taken", "2/deleted"] {
        store.put(name, "old").await?;
    }
    let batch = Batch::new()
        .stage([put("0/new", "new")?.absent().fresh(), put("0/swapped", "new")?, delete("0/deleted")?])
        .stage([put("1/new", "new")?])
        .stage([put("2/new", "new")?, put("2/taken", "new")?.absent(), delete("2/deleted")?])
        .stage([put("3/new", "new")?]);
    let at = Position { stage: 2, operation: 1 };
    let conflict = store.conflict(batch, at).await?;
    // Each key, the stage that changes it, and its content before and after that.
    let changes = [
        ("0/new", 0, None, Some("new")),
        ("0/swapped", 0, Some("old"), Some("new")),
        ("0/deleted", 0, Some("old"), None),
        ("1/new", 1, None, Some("new")),
        ("2/new", 2, None, Some("new")),
        ("2/deleted", 2, Some("old"), None),
        ("2/taken", 2, Some("old"), Some("old")),
        ("3/new", 3, None, Some("new")),
    ];
    for (name, stage, before, behind) in changes {
        let found = store.get(name).await?.map(|object| object.bytes);
        let is = |body: Option<&str>| found.as_deref() == body.map(str::as_bytes);
        let applied = conflict.applied;
        let fits = if stage < applied {
            is(behind)
        } else if stage == applied && applied == at.stage && !store.capabilities().atomic_batch {
            is(before) || is(behind)
        } else {
            is(before)
        };
        ensure!(
            fits,
            "the conflict says that {applied} stages stay, and {name} of stage {stage} holds {found:?}"
        );
    }
    Ok(())
}

/// A key that appears twice, in any stages and operations, is refused.
pub(super) async fn a_key_twice_is_refused(ground: &Ground) -> Checked {
    ground.store.put("a", "old").await?;
    let batches = [
        Batch::new().stage([put("b", "b")?, put("a", "1")?, put("a", "2")?]),
        Batch::new().stage([put("b", "b")?, put("a", "1")?]).stage([put("a", "2")?]),
        Batch::new().stage([put("b", "b")?, put("a", "1")?]).stage([delete("a")?]),
        Batch::new().stage([put("b", "b")?, delete("a")?, delete("a")?]),
    ];
    for batch in batches {
        refused_without_a_trace(&ground.store, batch).await?;
    }
    Ok(())
}

/// A key that is below another key of the batch is refused.
pub(super) async fn a_key_below_another_is_refused(ground: &Ground) -> Checked {
    ground.store.put("a", "old").await?;
    let batches = [
        Batch::new().stage([put("c", "c")?, put("c/d", "d")?]),
        Batch::new().stage([put("c/d/e", "e")?]).stage([put("c-d", "x")?, put("c", "c")?]),
        Batch::new().stage([delete("a")?]).stage([put("a/b", "b")?]),
    ];
    for batch in batches {
        refused_without_a_trace(&ground.store, batch).await?;
    }
    Ok(())
}

async fn refused_without_a_trace(store: &Handle, batch: Batch) -> Checked {
    store.refused(batch, ErrorKind::InvalidInput).await?;
    store.expect("a", "old").await.rule("a batch that is refused changes nothing")?;
    let names = store.names("", None).await?;
    ensure!(
        names == ["a"],
        "a batch that is refused changes nothing, and only a was there; after the refusal list finds {names:?}"
    );
    Ok(())
}

/// An object of the maximum size is accepted, and one byte more is refused with the whole batch.
pub(super) async fn an_object_over_the_limit_is_refused(ground: &Ground) -> Checked {
    const WORTH_TRYING: u64 = 64 << 20;
    let limit = ground.store.capabilities().max_object_size;
    if limit > WORTH_TRYING {
        return Err(Stop::Skipped(format!("the largest object has {limit} bytes, too many to try")));
    }
    let mut body = vec![b'x'; usize::try_from(limit).unwrap_or(usize::MAX)];
    ground.store.put("a", body.clone()).await?;
    ground.store.expect("a", &body).await?;
    ground.store.put("a", "old").await?;
    body.push(b'x');
    refused_without_a_trace(&ground.store, Batch::new().stage([put("b", "b")?]).stage([put("c", body)?]))
        .await
}
