//! What readers see while other clients write.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{FutureExt, future::BoxFuture};
use tokio::task::yield_now;

use crate::{
    Batch, Version,
    conformance::{
        check::{Checked, Rule, Stop, ensure, number_of, numbered_body, put, same_bytes},
        ground::Ground,
        handle::Handle,
        together::together,
    },
};

/// How often the writer writes.
const WRITES: usize = 40;

/// The progress of the one writer: the last write that has begun, and the last that was answered.
#[derive(Default)]
struct Progress {
    begun: AtomicUsize,
    answered: AtomicUsize,
}

impl Progress {
    fn is_through(&self) -> bool {
        self.answered.load(Ordering::SeqCst) == WRITES
    }
}

/// Commits `batch` with every number from 1 on, in order.
fn writer(
    store: Handle,
    progress: Arc<Progress>,
    batch: impl Fn(usize) -> Checked<Batch> + Send + 'static,
) -> BoxFuture<'static, Checked> {
    async move {
        for number in 1..=WRITES {
            progress.begun.store(number, Ordering::SeqCst);
            store.commit(batch(number)?).await?;
            progress.answered.store(number, Ordering::SeqCst);
            // Yields once or twice in turn: on a single thread a constant rhythm could stay in step with the
            // readers, so that they never read in between.
            for _ in 0..=number % 2 {
                yield_now().await;
            }
        }
        Ok(())
    }
    .boxed()
}

/// A reader that sees a stage of a batch finds all earlier stages, for as long as it reads.
pub(super) async fn a_later_stage_is_never_seen_without_the_earlier_ones(ground: &Ground) -> Checked {
    const STAGES: [&str; 3] = ["first", "second", "third"];
    let batch = |number: usize| {
        STAGES.iter().try_fold(Batch::new(), |batch, name| {
            let own = put(&format!("own/{number}/{name}"), number.to_string())?.absent().fresh();
            Ok(batch.stage([put(name, number.to_string())?, own]))
        })
    };
    let [writes, reads] = ground.both().await?;
    writes.commit(batch(0)?).await?;
    let progress = Arc::new(Progress::default());
    let reader = |store: Handle| {
        let progress = progress.clone();
        async move {
            loop {
                let last_look = progress.is_through();
                let mut at_least = 0;
                // The last stage is read first: anything that is read later can only be newer.
                for name in STAGES.iter().rev() {
                    let number = number_of(name, &store.read(name).await?.bytes)?;
                    ensure!(number >= at_least, "a reader saw a later stage of batch {at_least}, and then {name}, an earlier one, of batch {number}");
                    at_least = number;
                    yield_now().await;
                }
                let third = number_of("third", &store.read("third").await?.bytes)?;
                for name in ["second", "first"] {
                    store.expect(&format!("own/{third}/{name}"), third.to_string()).await?;
                }
                if last_look {
                    return Ok(());
                }
            }
        }
        .boxed()
    };
    together([writer(writes.clone(), progress.clone(), batch), reader(writes), reader(reads)]).await.map(drop)
}

/// A reader that has read one object of an atomic batch finds all others of it, in whatever order it reads.
pub(super) async fn an_atomic_batch_is_never_seen_in_part(ground: &Ground) -> Checked {
    const NAMES: [&str; 3] = ["first", "second", "third"];
    if !ground.store.capabilities().atomic_batch {
        return Err(Stop::Skipped("no atomic_batch".to_owned()));
    }
    let batch = |number: usize| {
        let body = |name: &str| put(name, number.to_string());
        let [first, second, third] = NAMES;
        Ok(Batch::new().stage([body(first)?, body(second)?]).stage([body(third)?]))
    };
    let [writes, reads] = ground.both().await?;
    writes.commit(batch(0)?).await?;
    let progress = Arc::new(Progress::default());
    let reader = |store: Handle| {
        let progress = progress.clone();
        async move {
            for round in 0_usize.. {
                let last_look = progress.is_through();
                let (mut at_least, mut seen) = (0, "");
                for name in NAMES.iter().cycle().skip(round % NAMES.len()).take(NAMES.len()) {
                    let number = number_of(name, &store.read(name).await?.bytes)?;
                    ensure!(
                        number >= at_least,
                        "an atomic batch was seen in part: {seen} is that of batch {at_least}, and {name}, which \
                         was read later, that of batch {number}"
                    );
                    (at_least, seen) = (number, name);
                    yield_now().await;
                }
                if last_look {
                    break;
                }
            }
            Ok(())
        }
        .boxed()
    };
    together([writer(writes.clone(), progress.clone(), batch), reader(writes), reader(reads)]).await.map(drop)
}

/// The number of a write, and the version that was answered or read with it.
type Seen = Vec<(usize, Version)>;

/// Puts every number from 1 on under `key`, in order. Returns the versions, with the `first` one, of number 0.
fn numbers(
    store: Handle,
    progress: Arc<Progress>,
    key: &'static str,
    first: Version,
    body: impl Fn(usize) -> Vec<u8> + Send + 'static,
) -> BoxFuture<'static, Checked<Seen>> {
    async move {
        let mut versions = vec![(0, first)];
        for number in 1..=WRITES {
            progress.begun.store(number, Ordering::SeqCst);
            versions.push((number, store.put(key, body(number)).await?));
            progress.answered.store(number, Ordering::SeqCst);
            for _ in 0..=number % 2 {
                yield_now().await;
            }
        }
        Ok(versions)
    }
    .boxed()
}

/// Checks that readers found each number with its own version. The first answer is that of the writer.
fn are_read_at_once(method: &str, mut answers: Vec<Seen>) -> Checked {
    let versions = answers.remove(0);
    for (number, version) in answers.into_iter().flatten() {
        let own = versions.iter().find(|(_, it)| *it == version).map(|(number, _)| number);
        ensure!(
            own == Some(&number),
            "{method} gave the bytes of write {number} with the version of write {own:?}: it must read both at once"
        );
    }
    Ok(())
}

/// A read gives bytes and the version of exactly these bytes, also while they are replaced: it reads both at
/// once.
pub(super) async fn a_version_is_read_with_its_own_bytes(ground: &Ground) -> Checked {
    let [writes, reads] = ground.both().await?;
    let first = writes.put("a", "0").await?;
    let progress = Arc::new(Progress::default());
    let reader = |store: Handle| {
        let progress = progress.clone();
        async move {
            let mut found = Vec::new();
            loop {
                let last_look = progress.is_through();
                let object = store.read("a").await?;
                found.push((number_of("a", &object.bytes)?, object.meta.version));
                if last_look {
                    return Ok(found);
                }
                yield_now().await;
            }
        }
        .boxed()
    };
    let versions =
        numbers(writes.clone(), progress.clone(), "a", first, |number| number.to_string().into_bytes());
    let answers = together([versions, reader(writes), reader(reads.clone()), reader(reads)]).await?;
    are_read_at_once("get", answers)
}

/// An object that is put as immutable is seen whole or not at all, also while its batch is in progress.
pub(super) async fn an_immutable_object_is_seen_whole_or_not_at_all(ground: &Ground) -> Checked {
    let [writes, reads] = ground.both().await?;
    let most = writes.at_most(300_000);
    let progress = Arc::new(Progress::default());
    let name = |number: usize| format!("chunks/{number}");
    let batch = move |number| {
        let chunk = put(&name(number), numbered_body(number, most))?.immutable();
        Ok(Batch::new().stage([chunk]).stage([put("head", number.to_string())?]))
    };
    let reader = |store: Handle| {
        let progress = progress.clone();
        async move {
            loop {
                let last_look = progress.is_through();
                let answered = progress.answered.load(Ordering::SeqCst);
                // The one that was answered, the one that is in progress, and the next one.
                for number in (answered..=answered + 2).filter(|number| (1..=WRITES).contains(number)) {
                    let Some(object) = store.get(&name(number)).await? else {
                        ensure!(number > answered, "{} was put and is not there", name(number));
                        continue;
                    };
                    let whole = same_bytes(&name(number), &object.bytes, &numbered_body(number, most));
                    whole.rule("an immutable object is seen whole or not at all")?;
                    yield_now().await;
                }
                if last_look {
                    return Ok(());
                }
                yield_now().await;
            }
        }
        .boxed()
    };
    let writer = writer(writes.clone(), progress.clone(), batch);
    together([writer, reader(writes), reader(reads.clone()), reader(reads)]).await.map(drop)
}

/// Reads the range of a numbered body that has only its filler, and returns the number and the version.
async fn read_filler(store: &Handle, most: usize) -> Checked<(usize, Option<Version>)> {
    const DIGITS: u64 = 64;
    let part = store.get_range("big", DIGITS..u64::MAX).await?;
    let part = part.ok_or_else(|| Stop::Failed("big was put, and get_range does not find it".to_owned()))?;
    let number = part.bytes.first().map_or(0, |filler| usize::from(*filler));
    let expected = numbered_body(number, most);
    let (says, has) = (part.size, expected.len());
    ensure!(
        says == has as u64,
        "a range is of one version: it has the bytes of write {number}, which has {has} bytes, and says {says}"
    );
    let filler = expected.get(64..).unwrap_or_default();
    same_bytes("the range of big", &part.bytes, filler).rule("a range is of one version")?;
    Ok((number, part.version))
}

/// The bytes of a range, the size and the version are of one write, also while the object is replaced.
pub(super) async fn a_range_is_of_one_version(ground: &Ground) -> Checked {
    let [writes, reads] = ground.both().await?;
    let most = writes.at_most(300_000);
    let first = writes.put("big", numbered_body(0, most)).await?;
    let progress = Arc::new(Progress::default());
    let reader = |store: Handle| {
        let progress = progress.clone();
        async move {
            let mut found = Vec::new();
            loop {
                let answered = progress.answered.load(Ordering::SeqCst);
                let (number, version) = read_filler(&store, most).await?;
                let begun = progress.begun.load(Ordering::SeqCst);
                let possible = (answered..=begun).contains(&number);
                ensure!(
                    possible,
                    "a range of big was of write {number}, where {answered} to {begun} could be there"
                );
                found.extend(version.map(|version| (number, version)));
                if answered == WRITES {
                    return Ok(found);
                }
                yield_now().await;
            }
        }
        .boxed()
    };
    let versions =
        numbers(writes.clone(), progress.clone(), "big", first, move |number| numbered_body(number, most));
    let answers = together([versions, reader(writes), reader(reads.clone()), reader(reads)]).await?;
    are_read_at_once("get_range", answers)
}

/// A reader finds one write completely, never a mixture, a part or a gap, and none older than the last
/// answered one.
pub(super) async fn an_object_is_never_seen_torn_or_older_than_answered(ground: &Ground) -> Checked {
    let [writes, reads] = ground.both().await?;
    let most = writes.at_most(300_000);
    writes.put("big", numbered_body(0, most)).await?;
    let progress = Arc::new(Progress::default());
    let reader = |store: Handle| {
        let progress = progress.clone();
        async move {
            loop {
                let answered = progress.answered.load(Ordering::SeqCst);
                let object = store.read("big").await?;
                let begun = progress.begun.load(Ordering::SeqCst);
                let number = number_of("big", &object.bytes)?;
                let whole = same_bytes("big", &object.bytes, &numbered_body(number, most));
                whole.rule("a reader sees a write whole")?;
                let possible = (answered..=begun).contains(&number);
                ensure!(possible, "read {number} of big, where {answered} to {begun} could be there");
                if answered == WRITES {
                    return Ok(());
                }
                yield_now().await;
            }
        }
        .boxed()
    };
    let batch = move |number| Ok(Batch::new().stage([put("big", numbered_body(number, most))?]));
    let writer = writer(writes.clone(), progress.clone(), batch);
    together([writer, reader(writes), reader(reads.clone()), reader(reads)]).await.map(drop)
}

/// An object that is being swapped always exists, so every listing has it once.
pub(super) async fn a_swapped_object_is_always_listed(ground: &Ground) -> Checked {
    const NAMES: [&str; 4] = ["list/a", "list/b", "list/c/d", "list/e"];
    let batch = |number: usize| {
        let puts = NAMES.iter().map(|name| put(name, numbered_body(number, 4_096)));
        Ok(Batch::new().stage(puts.collect::<Checked<Vec<_>>>()?))
    };
    let [writes, reads] = ground.both().await?;
    writes.commit(batch(0)?).await?;
    let progress = Arc::new(Progress::default());
    let reader = |store: Handle| {
        let progress = progress.clone();
        async move {
            loop {
                let last_look = progress.is_through();
                let found = store.names("list", None).await?;
                ensure!(
                    found == NAMES,
                    "an object that is replaced is always listed: {NAMES:?} are there; list finds {found:?}"
                );
                if last_look {
                    return Ok(());
                }
                yield_now().await;
            }
        }
        .boxed()
    };
    together([writer(writes.clone(), progress.clone(), batch), reader(writes), reader(reads)]).await.map(drop)
}
