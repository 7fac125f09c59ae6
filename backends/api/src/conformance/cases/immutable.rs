//! An object that is written once: equal bytes are a success, other bytes a conflict.

use crate::{
    Batch, Commit, ErrorKind, Outcome, Position, Precondition, Version,
    conformance::{
        cases::{
            interruption::{MOST_POLLS, poll_and_drop},
            racing::{RACERS, ROUNDS},
        },
        check::{Checked, Rule, Stop, ensure, numbered_body, put},
        ground::Ground,
        handle::Handle,
        together::together,
    },
};

const FIRST: Position = Position { stage: 0, operation: 0 };

/// The rule that most of these cases check.
const EQUAL: &str = "an immutable put succeeds if its key holds equal bytes";

/// Ends a case that needs the capability.
fn needs_immutable_puts(store: &Handle) -> Checked {
    match store.capabilities().immutable_puts {
        true => Ok(()),
        false => Err(Stop::Skipped("no immutable_puts".to_owned())),
    }
}

fn once(name: &str, body: &[u8]) -> Checked<Batch> {
    Ok(Batch::new().stage([put(name, body.to_vec())?.immutable()]))
}

/// Puts an object that exists with these bytes, under this version.
async fn again(store: &Handle, name: &str, body: &[u8], stored: &Version) -> Checked {
    let versions = store.commit(once(name, body)?).await.rule(EQUAL)?;
    let says = versions.get(FIRST);
    ensure!(
        says == Some(stored),
        "{EQUAL}, with the version of the stored object: {name} is {stored}, and the answer says {says:?}"
    );
    let now = store.expect(name, body).await?;
    ensure!(now == *stored, "{EQUAL}, and rewrites nothing: {name} was {stored} and is {now}");
    Ok(())
}

/// The bodies of these cases: none, short and long ones.
fn bodies(store: &Handle) -> [Vec<u8>; 3] {
    [Vec::new(), b"x".to_vec(), numbered_body(1, store.at_most(300_000))]
}

/// The first put stores the object, under the version that it answers.
pub(super) async fn the_first_put_stores_the_object(ground: &Ground) -> Checked {
    let store = &ground.store;
    for (number, body) in bodies(store).into_iter().enumerate() {
        let name = format!("chunks/{number}");
        let versions = store.commit(once(&name, &body)?).await?;
        let found = store.expect(&name, &body).await?;
        ensure!(versions.get(FIRST) == Some(&found), "commit and stat give {name} different versions");
    }
    Ok(())
}

/// Equal bytes succeed as often as they are put, whichever kind of put has stored them, and after a delete.
pub(super) async fn equal_bytes_succeed_again(ground: &Ground) -> Checked {
    let store = &ground.store;
    needs_immutable_puts(store)?;
    for (number, body) in bodies(store).into_iter().enumerate() {
        let name = &format!("chunks/{number}");
        store.commit(once(name, &body)?).await?;
        let stored = store.expect(name, &body).await?;
        for _ in 0..3 {
            again(store, name, &body, &stored).await?;
        }
        let stored = store.put(name, body.clone()).await?;
        again(store, name, &body, &stored).await?;
        store.delete(name).await?;
        store.commit(once(name, &body)?).await?;
        let stored = store.expect(name, &body).await?;
        again(store, name, &body, &stored).await?;
    }
    Ok(())
}

/// Objects that exist do not stop their batch: the others of their stage and the later stages happen, and every
/// version is at its own place.
pub(super) async fn equal_bytes_let_the_batch_go_on(ground: &Ground) -> Checked {
    let store = &ground.store;
    needs_immutable_puts(store)?;
    let head = store.put("head", "0").await?;
    store.commit(once("chunks/2", b"two")?).await?;
    store.commit(once("chunks/4", b"four")?).await?;
    let batch = Batch::new()
        .stage([
            put("chunks/1", "one")?.immutable(),
            put("chunks/2", "two")?.immutable(),
            put("record", "the record")?.absent().fresh(),
            put("chunks/3", "three")?.immutable(),
        ])
        .stage([put("chunks/4", "four")?.immutable()])
        .stage([put("head", "1")?.is(head)]);
    let versions = store.commit(batch.clone()).await.rule(EQUAL)?;
    for (at, operation) in batch.operations() {
        let crate::Operation::Put { key, bytes, .. } = operation else { continue };
        let now = store.expect(key.as_str(), bytes).await.rule("the batch goes on after equal bytes")?;
        let says = versions.get(at);
        ensure!(says == Some(&now), "Versions has {says:?} for {key} at {at:?}, and stat finds {now}");
    }
    Ok(())
}

/// Other bytes are a conflict that names the operation, and nothing of the later stages happens.
pub(super) async fn other_bytes_are_a_conflict(ground: &Ground) -> Checked {
    let store = &ground.store;
    store.commit(once("chunks/0", b"abc")?).await?;
    store.commit(once("chunks/2", b"two")?).await?;
    for other in ["", "ab", "abd", "Abc", "abcd"] {
        store.conflict(once("chunks/0", other.as_bytes())?, FIRST).await?;
        store.expect("chunks/0", "abc").await?;
    }
    store.put("empty", "").await?;
    store.conflict(once("empty", b"x")?, FIRST).await?;
    let large = numbered_body(1, store.at_most(300_000));
    store.commit(once("large", &large)?).await?;
    let mut differs = large.clone();
    differs.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
    store.conflict(once("large", &differs)?, FIRST).await?;
    store.expect("large", &large).await?;
    let batch = Batch::new()
        .stage([put("before", "before")?])
        .stage([put("chunks/1", "one")?.immutable(), put("chunks/2", "other")?.immutable()])
        .stage([put("behind", "behind")?]);
    store.conflict(batch, Position { stage: 1, operation: 1 }).await?;
    store.expect("chunks/2", "two").await?;
    store.expect_absent("behind").await.rule("a conflict of an immutable put stops the batch")
}

/// A put of this kind under another condition is refused, and nothing happens.
pub(super) async fn another_condition_is_refused(ground: &Ground) -> Checked {
    let store = &ground.store;
    let version = store.put("there", "x").await?;
    for when in [Precondition::Always, Precondition::Is(version)] {
        for name in ["there", "new"] {
            let wrong = put(name, "x")?.immutable().when(when.clone());
            let batch = Batch::new().stage([put("before", "before")?]).stage([wrong]);
            store.refused(batch, ErrorKind::InvalidInput).await?;
        }
    }
    for name in ["before", "new"] {
        store.expect_absent(name).await.rule("a batch that was refused changed nothing")?;
    }
    store.expect("there", "x").await.map(drop)
}

/// A batch of such puts that was dropped at any point may be repeated: it finds what the first one left.
pub(super) async fn a_dropped_batch_may_be_repeated(ground: &Ground) -> Checked {
    let store = &ground.store;
    needs_immutable_puts(store)?;
    let body = |number: usize| numbered_body(number, store.at_most(20_000));
    for polls in 1..=MOST_POLLS {
        let name = |number: usize| format!("dropped/{polls}/{number}");
        let puts = (0..4).map(|number| Ok(put(&name(number), body(number))?.immutable()));
        let root = put(&name(4), body(4))?.immutable();
        let batch = Batch::new().stage(puts.collect::<Checked<Vec<_>>>()?).stage([root]);
        drop(poll_and_drop(store.backend().commit(batch.clone()), polls).await);
        for _ in 0..2 {
            store.commit(batch.clone()).await.rule("an immutable put may be repeated after any outcome")?;
        }
        for number in 0..5 {
            store.expect(&name(number), body(number)).await?;
        }
    }
    Ok(())
}

/// A put whose reply is lost has committed or is unknown, and succeeds when it is repeated.
pub(super) async fn a_put_without_reply_may_be_repeated(ground: &Ground) -> Checked {
    let store = &ground.store;
    needs_immutable_puts(store)?;
    let losing = ground.losing_a_reply().await?;
    match losing.backend().commit(once("chunk", b"mine")?).await {
        Ok(Commit::Committed(_)) => {}
        Ok(answer) => {
            return Err(Stop::Failed(format!("no other client wrote, and an immutable put has {answer:?}")));
        }
        Err(error) if error.outcome() == Outcome::Unknown => {}
        Err(error) => {
            let found = store.get("chunk").await?;
            ensure!(
                found.is_none(),
                "an immutable put says that it did not happen, and it is there: {error}"
            );
        }
    }
    store.commit(once("chunk", b"mine")?).await.rule(EQUAL)?;
    let stored = store.expect("chunk", "mine").await?;
    again(store, "chunk", b"mine", &stored).await
}

/// Of several puts of one key at once, exactly `winners` succeed.
async fn race(ground: &Ground, round: usize, differ: bool, winners: usize) -> Checked {
    let handles = ground.both().await?;
    let name = format!("raced/{round}");
    let body = |racer: usize| format!("round {round}, racer {}", if differ { racer } else { 0 });
    let tasks = handles.iter().cycle().take(RACERS).cloned().enumerate().map(|(racer, store)| {
        let (batch, body) = (once(&name, body(racer).as_bytes()), body(racer));
        async move {
            Ok(match store.attempt(batch?).await? {
                Commit::Committed(versions) => Some((versions.get(FIRST).cloned(), body)),
                Commit::Conflict(_) => None,
                Commit::Overtaken(_) => {
                    let is_exact = store.capabilities().immutable_puts;
                    ensure!(!is_exact, "an immutable put that lost a race is Overtaken, and not a Conflict");
                    None
                }
            })
        }
    });
    let won: Vec<_> = together(tasks).await?.into_iter().flatten().collect();
    ensure!(
        won.len() == winners,
        "of {RACERS} immutable puts of {} bytes at once {winners} succeed, and {} did",
        if differ { "different" } else { "equal" },
        won.len()
    );
    for (version, body) in won {
        for store in &handles {
            let now = store.expect(&name, &body).await?;
            ensure!(version.as_ref() == Some(&now), "a racer calls {name} {version:?}, stat {now}");
        }
    }
    Ok(())
}

/// Of many puts of equal bytes every one succeeds.
pub(super) async fn of_many_equal_puts_all_succeed(ground: &Ground) -> Checked {
    needs_immutable_puts(&ground.store)?;
    for round in 0..ROUNDS {
        race(ground, round, false, RACERS).await?;
    }
    Ok(())
}

/// Of many puts of different bytes exactly one succeeds.
pub(super) async fn of_many_different_puts_one_succeeds(ground: &Ground) -> Checked {
    for round in 0..ROUNDS {
        race(ground, round, true, 1).await?;
    }
    Ok(())
}
