//! Of writes that exclude each other, exactly those happen that some order allows, however they race.

use std::ops::RangeInclusive;

use futures::{FutureExt, future::BoxFuture};
use tokio::task::yield_now;

use crate::{
    Batch, Commit, Object, Operation, Position,
    conformance::{
        check::{Checked, Rule, Stop, delete, ensure, number_of, put},
        ground::Ground,
        handle::Handle,
        together::together,
    },
};

/// How many tasks race at once.
pub(super) const RACERS: usize = 16;
/// How often a short race is run.
pub(super) const ROUNDS: usize = 8;
/// The number of counting tasks, and how often each one counts.
const COUNTERS: usize = 8;
const COUNTS: usize = 12;
/// How often a task may lose before the suite gives up. A lost race means that another task won, so with
/// exact conflicts no task loses more often than there are races to win; the rest is for storages that report
/// false conflicts.
const PATIENCE: usize = 10 * COUNTERS * COUNTS;

/// What the answers of racing commits have in common. `Busy` is for a wait that has taken as long as the
/// backend's patience, which the harness sets long enough for a race.
const RACE: &str = "commits that race are waited for, or answered as a Conflict";

/// Commits all batches at once, alternating between both handles, and returns which of them committed.
async fn race(handles: &[Handle; 2], batches: Vec<Batch>) -> Checked<Vec<bool>> {
    let tasks = handles.iter().cycle().cloned().zip(batches).map(|(store, batch)| async move {
        let answer = store.attempt(batch).await.rule(RACE)?;
        Ok(matches!(answer, Commit::Committed(_)))
    });
    together(tasks).await
}

/// Of several puts of `<racer>` under one condition, exactly one wins, and its bytes are stored.
async fn one_wins(handles: &[Handle; 2], name: &str, with: impl Fn(Operation) -> Operation) -> Checked {
    let batch = |racer: usize| Ok(Batch::new().stage([with(put(name, format!("racer {racer}"))?)]));
    let won = race(handles, (0..RACERS).map(batch).collect::<Checked<_>>()?).await?;
    let winners: Vec<usize> =
        won.iter().enumerate().filter(|(_, won)| **won).map(|(racer, _)| racer).collect();
    let [winner] = *winners else {
        return Err(Stop::Failed(format!(
            "of {RACERS} commits under one condition on {name} exactly one happens, and these did: {winners:?}"
        )));
    };
    for store in handles {
        store.expect(name, format!("racer {winner}")).await?;
    }
    Ok(())
}

/// Of many creates of one key, exactly one wins.
pub(super) async fn of_many_creates_one_wins(ground: &Ground) -> Checked {
    let handles = ground.both().await?;
    for round in 0..ROUNDS {
        one_wins(&handles, &format!("created/{round}"), Operation::absent).await?;
    }
    Ok(())
}

/// Of many swaps of one version, exactly one wins.
pub(super) async fn of_many_swaps_one_wins(ground: &Ground) -> Checked {
    let handles = ground.both().await?;
    let mut present = ground.store.put("swapped", "start").await?;
    for round in 0..ROUNDS {
        one_wins(&handles, "swapped", |put| put.is(present.clone())).await?;
        present = ground.store.put("swapped", format!("round {round}")).await?;
    }
    Ok(())
}

/// Of many conditional deletes of one version, exactly one wins.
pub(super) async fn of_many_conditional_deletes_one_wins(ground: &Ground) -> Checked {
    if !ground.store.capabilities().conditional_delete {
        return Err(Stop::Skipped("no conditional_delete".to_owned()));
    }
    let handles = ground.both().await?;
    for round in 0..ROUNDS {
        let present = ground.store.put("deleted", round.to_string()).await?;
        let batch = |_| Ok(Batch::new().stage([delete("deleted")?.is(present.clone())]));
        let won = race(&handles, (0..RACERS).map(batch).collect::<Checked<_>>()?).await?;
        let winners = won.iter().filter(|won| **won).count();
        ensure!(winners == 1, "of {RACERS} deletes of one version exactly one happens, and {winners} did");
        ground.store.expect_absent("deleted").await?;
    }
    Ok(())
}

/// Commits the batch for each attempt number until one wins. `batch` reads the state that it builds on. Returns
/// how many attempts may have happened besides, because they were overtaken.
async fn until_won(
    store: &Handle,
    batch: impl Fn(usize) -> BoxFuture<'static, Checked<Batch>>,
) -> Checked<usize> {
    let mut overtaken = 0;
    for attempt in 0..PATIENCE {
        let batch = batch(attempt).await?;
        // Yields to other tasks between the read and the swap, even on a single thread.
        yield_now().await;
        match store.attempt(batch).await.rule(RACE)? {
            Commit::Committed(_) => return Ok(overtaken),
            Commit::Conflict(_) => {}
            Commit::Overtaken(_) => overtaken += 1,
        }
    }
    Err(Stop::Failed(format!("{PATIENCE} swaps in a row lost against what they had just read")))
}

/// Runs `work` for every count of every counter, alternating between both handles. Returns how many changes may
/// have been made.
async fn count_together(
    ground: &Ground,
    work: impl Fn(Handle, usize, usize) -> BoxFuture<'static, Checked<usize>> + Clone + Send + 'static,
) -> Checked<RangeInclusive<usize>> {
    let handles = ground.both().await?;
    let tasks = handles.iter().cycle().take(COUNTERS).cloned().enumerate().map(|(counter, store)| {
        let work = work.clone();
        async move {
            let mut overtaken = 0;
            for count in 0..COUNTS {
                overtaken += work(store.clone(), counter, count).await?;
            }
            Ok(overtaken)
        }
    });
    let overtaken: usize = together(tasks).await?.into_iter().sum();
    Ok(COUNTERS * COUNTS..=COUNTERS * COUNTS + overtaken)
}

/// Many tasks read a number and swap in the next one: no increment is lost. Each body is unique, as the
/// contract requires of callers.
pub(super) async fn counting_by_swaps_loses_nothing(ground: &Ground) -> Checked {
    ground.store.put("counter", "0 start").await?;
    let made = count_together(ground, |store, counter, count| {
        async move {
            let next = |attempt| {
                let store = store.clone();
                async move {
                    let Object { meta, bytes } = store.read("counter").await?;
                    let body = format!("{} {counter}-{count}-{attempt}", number_of("counter", &bytes)? + 1);
                    Ok(Batch::new().stage([put("counter", body)?.is(meta.version)]))
                }
                .boxed()
            };
            until_won(&store, next).await
        }
        .boxed()
    })
    .await?;
    let counted = number_of("counter", &ground.store.read("counter").await?.bytes)?;
    ensure!(
        made.contains(&counted),
        "updates were lost: {} swaps added one, the counter says {counted}",
        made.start()
    );
    Ok(())
}

/// Unconditional commits of one key all succeed, however many wait at once. The last one stays, under the
/// version that it returned.
pub(super) async fn unconditional_puts_of_one_key_all_commit(ground: &Ground) -> Checked {
    let handles = ground.both().await?;
    for _ in 0..ROUNDS {
        let tasks =
            handles.iter().cycle().take(RACERS * 4).cloned().enumerate().map(|(racer, store)| async move {
                let batch = Batch::new().stage([put("shared", format!("racer {racer}"))?]);
                let versions = store.commit(batch).await.rule(RACE)?;
                Ok(versions.get(Position { stage: 0, operation: 0 }).cloned())
            });
        let versions = together(tasks).await?;
        let last = ground.store.read("shared").await?;
        let racer = versions.iter().position(|version| version.as_ref() == Some(&last.meta.version));
        let Some(racer) = racer else {
            return Err(Stop::Failed(format!("no commit gave shared the version {}", last.meta.version)));
        };
        ground.store.expect("shared", format!("racer {racer}")).await?;
    }
    Ok(())
}

/// Creates and deletes of one key are queued together: between two successful creates there is a delete.
pub(super) async fn creates_and_deletes_take_turns(ground: &Ground) -> Checked {
    const DELETES: usize = 4;
    let handles = ground.both().await?;
    for round in 0..ROUNDS {
        let name = &format!("turns/{round}");
        let mut batches = Vec::new();
        for racer in 0..RACERS {
            batches.push(Batch::new().stage([put(name, format!("racer {racer}"))?.absent()]));
            if racer % (RACERS / DELETES) == 1 {
                batches.push(Batch::new().stage([delete(name)?]));
            }
        }
        let won = race(&handles, batches.clone()).await?;
        let is_create = |batch: &Batch| batch.operations().any(|(_, it)| matches!(it, Operation::Put { .. }));
        let created: Vec<&Batch> =
            won.iter().zip(&batches).filter(|(won, it)| **won && is_create(it)).map(|(_, it)| it).collect();
        let creates = created.len();
        ensure!((1..=DELETES + 1).contains(&creates), "{creates} creates won around {DELETES} deletes");
        let found = ground.store.get(name).await?.map(|object| object.bytes);
        let theirs = |bytes| created.iter().any(|batch| holds(batch, bytes));
        ensure!(found.as_ref().is_none_or(theirs), "{name} holds {found:?}, which no winner put");
        ensure!(
            found.is_some() || creates <= DELETES,
            "{creates} creates won, and {DELETES} deletes left nothing"
        );
    }
    Ok(())
}

fn holds(batch: &Batch, found: &bytes::Bytes) -> bool {
    batch.operations().any(|(_, it)| matches!(it, Operation::Put { bytes, .. } if bytes == found))
}

/// Atomic batches that swap two keys at once, in either order, transfer from one to the other and keep the
/// sum.
pub(super) async fn transfers_between_two_keys_keep_the_sum(ground: &Ground) -> Checked {
    if !ground.store.capabilities().atomic_batch {
        return Err(Stop::Skipped("no atomic_batch".to_owned()));
    }
    let all = 2 * COUNTERS * COUNTS;
    ground.store.put("from", format!("{all} start")).await?;
    ground.store.put("to", "0 start").await?;
    let made = count_together(ground, |store, counter, count| {
        async move {
            let transfer = |attempt| {
                let store = store.clone();
                async move {
                    let (from, to) = (store.read("from").await?, store.read("to").await?);
                    let fresh = format!("{counter}-{count}-{attempt}");
                    let less = number_of("from", &from.bytes)?.saturating_sub(1);
                    let more = number_of("to", &to.bytes)? + 1;
                    let from = put("from", format!("{less} {fresh}"))?.is(from.meta.version);
                    let to = put("to", format!("{more} {fresh}"))?.is(to.meta.version);
                    Ok(match counter % 3 {
                        0 => Batch::new().stage([from, to]),
                        1 => Batch::new().stage([to, from]),
                        _ => Batch::new().stage([to]).stage([from]),
                    })
                }
                .boxed()
            };
            until_won(&store, transfer).await
        }
        .boxed()
    })
    .await?;
    let from = number_of("from", &ground.store.read("from").await?.bytes)?;
    let to = number_of("to", &ground.store.read("to").await?.bytes)?;
    ensure!(
        from + to == all && made.contains(&to),
        "updates were lost or happened in part: {} of {all} were moved, {from} are still there and {to} arrived",
        made.start()
    );
    Ok(())
}

/// Writers first create a record and then move the head to it; each record names the one before. A reader of
/// the head finds its record, and the chain from the last head has all records.
pub(super) async fn a_chain_of_records_has_no_gap(ground: &Ground) -> Checked {
    let root = Batch::new().stage([put("records/root", "0 none")?]).stage([put("head", "0 records/root")?]);
    ground.store.commit(root).await?;
    let made = count_together(ground, |store, counter, count| {
        async move {
            let append = |attempt| {
                let store = store.clone();
                async move {
                    let head = store.read("head").await?;
                    let (number, last) = number_and_name(&head)?;
                    store.read(&last).await?;
                    let next = number + 1;
                    // A name is used for one attempt only: on a backend without atomic batches a record may
                    // remain.
                    let record = format!("records/{counter}-{count}-{attempt}");
                    let first = put(&record, format!("{next} {last}"))?.absent().fresh();
                    let second = put("head", format!("{next} {record}"))?.is(head.meta.version);
                    Ok(Batch::new().stage([first]).stage([second]))
                }
                .boxed()
            };
            until_won(&store, append).await
        }
        .boxed()
    })
    .await?;
    let (mut number, mut record) = number_and_name(&ground.store.read("head").await?)?;
    ensure!(
        made.contains(&number),
        "updates were lost: {} records were appended, the head says {number}",
        made.start()
    );
    while number > 0 {
        let (own, before) = number_and_name(&ground.store.read(&record).await?)?;
        ensure!(own == number, "{record} is number {own} of the chain and should be {number}");
        (number, record) = (number - 1, before);
    }
    Ok(())
}

fn number_and_name(object: &Object) -> Checked<(usize, String)> {
    let number = number_of(object.meta.key.as_str(), &object.bytes)?;
    let name = object.bytes.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    Ok((number, String::from_utf8_lossy(name).into_owned()))
}
