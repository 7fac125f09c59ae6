//! The same work for every item: `test_batch_node.py`, `test_async_batch_node.py`,
//! `test_async_parallel_batch_node.py`, `test_async_batch_none_handling.py`.

use std::sync::Mutex;
use std::time::Duration;

use pflow_store::flow::{Action, BatchNode, Flow, Visit};

use super::Fault;
use crate::support::{pause, run};

type Chosen = Result<Action, Fault>;

#[derive(Default)]
struct State {
    input: Vec<i64>,
    results: Vec<i64>,
    total: i64,
    /// The items in the order in which they were done.
    done: Vec<i64>,
}

/// Sums the input in chunks of this size.
struct SumChunks(usize);

impl BatchNode<State, Fault> for SumChunks {
    type Item = Vec<i64>;
    type Output = i64;

    async fn prep(&self, state: &State, _: Visit<'_>) -> Result<Vec<Vec<i64>>, Fault> {
        Ok(state.input.chunks(self.0).map(<[i64]>::to_vec).collect())
    }

    async fn exec(&self, chunk: &Vec<i64>, _: Visit<'_>) -> Result<i64, Fault> {
        Ok(chunk.iter().sum())
    }

    async fn post(&self, state: &mut State, _: Vec<Vec<i64>>, sums: Vec<i64>, _: Visit<'_>) -> Chosen {
        state.results = sums;
        Ok(Action::DEFAULT)
    }
}

/// Sums the chunks and then their sums.
fn map_reduce(chunk: usize) -> Flow<State, Fault> {
    let mut flow = Flow::builder("map_reduce");
    let map = flow.batch(SumChunks(chunk));
    let reduce = flow.act("reduce", (), |state: &mut State, _| state.total = state.results.iter().sum());
    flow.start(map).chain([map, reduce]).end(reduce, ()).build().unwrap()
}

/// Doubles all items at the same time. An item waits for its milliseconds, or fails.
struct DoubleAll {
    millis: fn(i64) -> Result<u64, Fault>,
    done: Mutex<Vec<i64>>,
}

fn double_all(millis: fn(i64) -> Result<u64, Fault>) -> DoubleAll {
    DoubleAll { millis, done: Mutex::default() }
}

impl BatchNode<State, Fault> for DoubleAll {
    type Item = i64;
    type Output = i64;

    fn concurrency(&self) -> usize {
        usize::MAX
    }

    async fn prep(&self, state: &State, _: Visit<'_>) -> Result<Vec<i64>, Fault> {
        Ok(state.input.clone())
    }

    async fn exec(&self, number: &i64, _: Visit<'_>) -> Result<i64, Fault> {
        pause(Duration::from_millis((self.millis)(*number)?)).await;
        self.done.lock().unwrap().push(*number);
        Ok(number * 2)
    }

    async fn post(&self, state: &mut State, _: Vec<i64>, doubled: Vec<i64>, _: Visit<'_>) -> Chosen {
        state.results = doubled;
        state.done.append(&mut self.done.lock().unwrap());
        Ok(Action::DEFAULT)
    }
}

fn state(input: impl IntoIterator<Item = i64>) -> State {
    State { input: input.into_iter().collect(), ..State::default() }
}

#[tokio::test]
async fn a_list_is_split_and_summed_in_chunks() {
    let mut state = state(0..25);
    Flow::of_batch(SumChunks(10)).run(&mut state, &run()).await.unwrap();
    assert_eq!(state.results, [45, 145, 110]);
}

#[tokio::test]
async fn a_node_behind_a_batch_gets_all_results() {
    // A hundred by tens; an uneven rest; chunks of fifteen; chunks of one; nothing.
    for (count, chunk, total) in [(100, 10, 4950), (25, 10, 300), (100, 15, 4950), (5, 1, 10), (0, 10, 0)] {
        let mut state = state(0..count);
        map_reduce(chunk).run(&mut state, &run()).await.unwrap();
        assert_eq!(state.total, total, "{count} by {chunk}");
    }
}

#[tokio::test]
async fn a_batch_of_nothing_has_no_results() {
    let mut state = State { results: vec![7], ..State::default() };
    Flow::of_batch(SumChunks(10)).run(&mut state, &run()).await.unwrap();
    assert!(state.results.is_empty());
    state.results = vec![7];
    Flow::of_batch(double_all(|_| Ok(0))).run(&mut state, &run()).await.unwrap();
    assert!(state.results.is_empty());
}

#[tokio::test(start_paused = true)]
async fn parallel_items_take_as_long_as_one() {
    let mut state = state(0..5);
    let outcome = Flow::of_batch(double_all(|_| Ok(100))).run(&mut state, &run()).await.unwrap();
    assert_eq!(state.results, [0, 2, 4, 6, 8]);
    assert_eq!(outcome.trace.steps[0].duration, Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn one_item_or_a_hundred_keep_their_order() {
    for input in [vec![42], (0..100).collect()] {
        let mut state = state(input.clone());
        Flow::of_batch(double_all(|number| Ok(number.unsigned_abs() % 7)))
            .run(&mut state, &run())
            .await
            .unwrap();
        assert_eq!(state.results, input.iter().map(|number| number * 2).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_parallel_item_ends_the_node() {
    let node = double_all(|item| if item == 2 { Err("Error processing item 2".into()) } else { Ok(0) });
    let error = Flow::of_batch(node).run(&mut state([1, 2, 3]), &run()).await.unwrap_err();
    assert_eq!(Fault::from(error).source().unwrap().to_string(), "Error processing item 2");
}

#[tokio::test(start_paused = true)]
async fn a_faster_parallel_item_is_done_before_a_slower_one() {
    let mut state = state([0, 1, 2, 3]);
    let millis = |number| Ok(if number % 2 == 0 { 100 } else { 50 });
    Flow::of_batch(double_all(millis)).run(&mut state, &run()).await.unwrap();
    assert_eq!(state.done, [1, 3, 0, 2]);
}
