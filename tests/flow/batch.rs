//! Batch nodes, one item after another and side by side.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Oops, TestTimer, pause, run};
use pflow_store::flow::{Action, BatchNode, Cause, Failure, Flow, Phase, Retry, Run, Visit};
use tokio_util::sync::CancellationToken;

const TENTH: Duration = Duration::from_millis(100);

/// A flow of one batch node.
fn alone<S, N>(node: N) -> Flow<S, Oops>
where
    S: Send + Sync,
    N: BatchNode<S, Oops> + 'static,
{
    let mut builder = Flow::builder("f");
    let only = builder.batch(node);
    builder.start(only).end(only, Action::DEFAULT);
    builder.build().unwrap()
}

/// Sums numbers in chunks; the state becomes the sums.
struct SumChunks(usize);

impl BatchNode<Vec<u64>, Oops> for SumChunks {
    type Item = Vec<u64>;
    type Output = u64;

    fn name(&self) -> &str {
        "sum"
    }

    async fn prep(&self, numbers: &Vec<u64>, _: Visit<'_>) -> Result<Vec<Vec<u64>>, Oops> {
        Ok(numbers.chunks(self.0).map(<[u64]>::to_vec).collect())
    }

    async fn exec(&self, chunk: &Vec<u64>, _: Visit<'_>) -> Result<u64, Oops> {
        Ok(chunk.iter().sum())
    }

    async fn post(
        &self,
        state: &mut Vec<u64>,
        chunks: Vec<Vec<u64>>,
        sums: Vec<u64>,
        _: Visit<'_>,
    ) -> Result<Action, Oops> {
        assert_eq!(chunks.len(), sums.len());
        *state = sums;
        Ok(Action::DEFAULT)
    }
}

#[tokio::test]
async fn a_batch_handles_every_item_in_order() {
    for (count, size, expected) in [
        (25, 10, vec![45, 145, 110]), // even but for the last
        (7, 4, vec![6, 15]),          // uneven
        (1, 10, vec![0]),             // single
        (0, 10, vec![]),              // empty
    ] {
        let mut state: Vec<u64> = (0..count).collect();
        alone(SumChunks(size)).run(&mut state, &run()).await.unwrap();
        assert_eq!(state, expected, "{count} by {size}");
    }
}

/// Waits as long as an item says and doubles it; all that happens is counted.
struct Doubles {
    concurrency: usize,
    retry: Retry,
    timeout: Option<Duration>,
    /// The items that fail, and how many of their attempts do.
    failing: Vec<(u64, u32)>,
    fallback: bool,
    counts: &'static Counts,
}

#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    done: AtomicUsize,
    attempt_in_post: AtomicU32,
    /// The items, in the order in which they began.
    order: Mutex<Vec<u64>>,
}

fn doubles(concurrency: usize) -> Doubles {
    let counts = Box::leak(Box::default());
    Doubles { concurrency, retry: Retry::ONCE, timeout: None, failing: vec![], fallback: false, counts }
}

impl BatchNode<Vec<u64>, Oops> for Doubles {
    /// In tenths of a second.
    type Item = u64;
    type Output = u64;

    fn name(&self) -> &str {
        "double"
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn retry(&self) -> Retry {
        self.retry
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    async fn prep(&self, state: &Vec<u64>, visit: Visit<'_>) -> Result<Vec<u64>, Oops> {
        assert_eq!((visit.item(), visit.attempt()), (None, 0));
        Ok(state.clone())
    }

    async fn exec(&self, tenths: &u64, visit: Visit<'_>) -> Result<u64, Oops> {
        let counts = self.counts;
        counts.order.lock().unwrap().push(*tenths);
        counts.begun.fetch_add(1, Ordering::Relaxed);
        let under_way = counts.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        counts.most_under_way.fetch_max(under_way, Ordering::Relaxed);
        pause(TENTH * u32::try_from(*tenths).unwrap()).await;
        counts.under_way.fetch_sub(1, Ordering::Relaxed);
        if self.failing.iter().any(|(item, failures)| item == tenths && visit.attempt() <= *failures) {
            return Err(Oops("bad item"));
        }
        counts.done.fetch_add(1, Ordering::Relaxed);
        Ok(tenths * 2)
    }

    async fn exec_fallback(
        &self,
        _: &u64,
        failure: Failure<Oops>,
        visit: Visit<'_>,
    ) -> Result<u64, Failure<Oops>> {
        if self.fallback { Ok(1000 + visit.item().unwrap() as u64) } else { Err(failure) }
    }

    async fn post(
        &self,
        state: &mut Vec<u64>,
        _: Vec<u64>,
        outputs: Vec<u64>,
        visit: Visit<'_>,
    ) -> Result<Action, Oops> {
        self.counts.attempt_in_post.store(visit.attempt(), Ordering::Relaxed);
        *state = outputs;
        Ok(Action::DEFAULT)
    }
}

#[tokio::test(start_paused = true)]
async fn without_concurrency_one_item_follows_another() {
    for concurrency in [0, 1] {
        let (node, run) = (doubles(concurrency), run());
        let counts = node.counts;
        let outcome = alone(node).run(&mut vec![3, 1, 2], &run).await.unwrap();
        assert_eq!(*counts.order.lock().unwrap(), [3, 1, 2]);
        assert_eq!(counts.most_under_way.load(Ordering::Relaxed), 1);
        assert_eq!(outcome.trace.steps[0].duration, 6 * TENTH);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_belongs_to_its_item() {
    let timer = TestTimer::new();
    let retry = Retry::attempts(2).wait(TENTH);
    let node = Doubles { retry, failing: vec![(2, 9), (3, 1)], fallback: true, ..doubles(1) };
    let mut state = vec![1, 2, 3];
    let outcome = alone(node).run(&mut state, &Run::new(timer.clone())).await.unwrap();
    assert_eq!(state, [2, 1001, 6]);
    assert_eq!(timer.slept(), [TENTH, TENTH]);
    let step = &outcome.trace.steps[0];
    let failed: Vec<_> = step.failed.iter().map(|failed| (failed.item, failed.attempt)).collect();
    assert_eq!(failed, [(Some(1), 1), (Some(1), 2), (Some(2), 1)]);
    assert_eq!(step.attempts, 5);
}

#[tokio::test]
async fn a_permanent_failure_ends_a_batch_in_order() {
    let node = Doubles { failing: vec![(0, 9)], ..doubles(1) };
    let counts = node.counts;
    let mut state = vec![1, 0, 2];
    let error = alone(node).run(&mut state, &run()).await.unwrap_err();
    assert_eq!(error.phase, Phase::Exec { attempt: 1, item: Some(1) });
    assert_eq!(error.to_string(), "Failed at f/double, in exec of item 1, attempt 1");
    assert_eq!(counts.begun.load(Ordering::Relaxed), 2, "no further item begins");
    assert_eq!(state, [1, 0, 2]);
}

#[tokio::test(start_paused = true)]
async fn five_items_of_a_tenth_of_a_second_overlap() {
    let node = doubles(5);
    let counts = node.counts;
    let outcome = alone(node).run(&mut vec![1; 5], &run()).await.unwrap();
    assert_eq!(counts.most_under_way.load(Ordering::Relaxed), 5);
    assert_eq!(outcome.trace.steps[0].duration, TENTH);
}

#[tokio::test(start_paused = true)]
async fn items_side_by_side_keep_their_order() {
    let mut state = vec![5, 1, 4, 2, 3];
    alone(doubles(5)).run(&mut state, &run()).await.unwrap();
    assert_eq!(state, [10, 2, 8, 4, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_items_stay_within_the_bound() {
    let node = doubles(8);
    let counts = node.counts;
    let mut state: Vec<u64> = (1..=100).collect();
    alone(node).run(&mut state, &run()).await.unwrap();
    assert_eq!(state, (1..=100).map(|n| n * 2).collect::<Vec<_>>());
    assert_eq!(counts.most_under_way.load(Ordering::Relaxed), 8);
}

#[tokio::test(start_paused = true)]
async fn a_slow_item_does_not_hold_up_those_behind_it() {
    let outcome = alone(doubles(2)).run(&mut vec![4, 1, 1, 1, 1], &run()).await.unwrap();
    assert_eq!(outcome.trace.steps[0].duration, 4 * TENTH);
}

#[tokio::test(start_paused = true)]
async fn an_error_among_parallel_items_cancels_the_siblings() {
    let node = Doubles { failing: vec![(2, 9)], ..doubles(4) };
    let counts = node.counts;
    let mut state = vec![1, 2, 9, 9, 9, 9];
    let error = alone(node).run(&mut state, &run()).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Node(Oops("bad item"))));
    assert_eq!(error.phase, Phase::Exec { attempt: 1, item: Some(1) });
    pause(100 * TENTH).await;
    assert_eq!(counts.begun.load(Ordering::Relaxed), 5, "the sixth never begins");
    assert_eq!(counts.done.load(Ordering::Relaxed), 1, "the slow ones are dropped");
    assert_eq!(state, [1, 2, 9, 9, 9, 9]);
}

#[tokio::test(start_paused = true)]
async fn every_parallel_item_counts_its_own_attempts() {
    let retry = Retry::attempts(3);
    let node = Doubles { retry, failing: vec![(1, 2), (2, 2), (3, 1)], ..doubles(3) };
    let (counts, mut state) = (node.counts, vec![1, 2, 3]);
    let outcome = alone(node).run(&mut state, &run()).await.unwrap();
    assert_eq!(state, [2, 4, 6], "two succeed at their third attempt, one at its second");
    assert_eq!(outcome.trace.steps[0].attempts, 8);
    assert_eq!(counts.attempt_in_post.load(Ordering::Relaxed), 3, "the largest of them");
}

#[tokio::test(start_paused = true)]
async fn the_timeout_is_for_each_item() {
    let node = Doubles { timeout: Some(2 * TENTH), fallback: true, ..doubles(2) };
    let mut state = vec![1, 9, 1, 1];
    alone(node).run(&mut state, &run()).await.unwrap();
    assert_eq!(state, [2, 1001, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_drops_all_items() {
    let (token, node) = (CancellationToken::new(), doubles(3));
    let (canceller, counts) = (token.clone(), node.counts);
    tokio::spawn(async move {
        pause(TENTH).await;
        canceller.cancel();
    });
    let error = alone(node).run(&mut vec![5; 9], &run().cancelled_by(token)).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Cancelled));
    assert_eq!(error.trace.steps[0].duration, TENTH);
    pause(100 * TENTH).await;
    assert_eq!((counts.begun.load(Ordering::Relaxed), counts.done.load(Ordering::Relaxed)), (3, 0));
}

#[tokio::test]
async fn a_run_with_a_batch_can_live_in_a_task() {
    let flow = alone(SumChunks(10));
    let task = tokio::spawn(async move {
        let mut state: Vec<u64> = (0..25).collect();
        flow.run(&mut state, &run()).await.unwrap();
        state
    });
    assert_eq!(task.await.unwrap(), [45, 145, 110]);
}
