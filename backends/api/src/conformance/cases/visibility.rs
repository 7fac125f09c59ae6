//! What readers see while other clients write.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{FutureExt, future::BoxFuture};
use tokio::task::yield_now;

use crate::{
    Batch,
    conformance::{
        check::{Checked, ensure, number_of, numbered_body, put, same_bytes},
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
                    ensure!(number >= at_least, "a later stage is at {at_least}, and {name} at {number}");
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
                same_bytes("big", &object.bytes, &numbered_body(number, most))?;
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
                ensure!(found == NAMES, "{NAMES:?} are there all the time; list finds {found:?}");
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
