//! A flow for each set of params: `test_batch_flow.py`, `test_async_batch_flow.py`,
//! `test_async_parallel_batch_flow.py`.

use std::collections::BTreeMap;
use std::time::Duration;

use pflow_store::flow::{Action, BatchFlow, BatchNode, Flow, FlowBuilder, Params, Visit};

use super::Fault;
use crate::support::{pause, run};

type Chosen = Result<Action, Fault>;

#[derive(Default)]
struct State {
    input: Vec<(&'static str, i64)>,
    intermediate: BTreeMap<String, i64>,
    results: BTreeMap<String, i64>,
}

/// The key that the params name, and its number.
fn input(state: &State, visit: Visit<'_>) -> Result<(String, i64), Fault> {
    let key = visit.params().get("key").and_then(|key| key.as_str()).ok_or("no key")?;
    let found = state.input.iter().find(|(name, _)| *name == key).ok_or("no such key")?;
    Ok((key.to_owned(), found.1))
}

/// A set for each key.
fn keys(state: &State, _: &Params) -> Result<Vec<Params>, Fault> {
    Ok(state.input.iter().map(|(key, _)| Params::new().with("key", *key)).collect())
}

/// A flow of one node, which doubles. It fails at `error_key`.
fn double() -> Flow<State, Fault> {
    let mut flow: FlowBuilder<State, Fault> = Flow::builder("double");
    let double = flow.act_async("double", "processed", |state, visit| {
        Box::pin(async move {
            pause(Duration::from_millis(10)).await;
            let (key, number) = input(state, visit)?;
            if key == "error_key" {
                return Err(format!("Error processing key: {key}").into());
            }
            state.results.insert(key, number * 2);
            Ok("processed")
        })
    });
    flow.start(double).end(double, "processed").build().unwrap()
}

fn results(state: &State) -> Vec<(&str, i64)> {
    state.results.iter().map(|(key, number)| (key.as_str(), *number)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_flow_runs_for_each_key() {
    for (input, expected) in [
        (vec![("a", 1), ("b", 2), ("c", 3)], vec![("a", 2), ("b", 4), ("c", 6)]),
        (vec![("single", 5)], vec![("single", 10)]),
        (vec![], vec![]),
    ] {
        let mut state = State { input, ..State::default() };
        let outcome = BatchFlow::new(double(), keys).run(&mut state, &run()).await.unwrap();
        assert_eq!(results(&state), expected);
        assert_eq!(outcome.action, Action::DEFAULT);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_for_one_key_ends_the_batch() {
    let input = vec![("normal_key", 1), ("error_key", 2), ("another_key", 3)];
    let mut state = State { input, ..State::default() };
    let error = BatchFlow::new(double(), keys).run(&mut state, &run()).await.unwrap_err();
    assert_eq!(results(&state), [("normal_key", 2)]);
    assert_eq!(Fault::from(error).source().unwrap().to_string(), "Error processing key: error_key");
}

#[tokio::test]
async fn every_node_of_the_flow_sees_the_key() {
    let mut flow: FlowBuilder<State, Fault> = Flow::builder("f");
    let inner = flow.act("inner", "next", |state, visit| {
        let (key, number) = input(state, visit)?;
        state.intermediate.insert(key, number + 1);
        Ok("next")
    });
    let outer = flow.act("outer", "done", |state, visit| {
        let (key, _) = input(state, visit)?;
        let number = *state.intermediate.get(&key).ok_or("no intermediate result")?;
        state.results.insert(key, number * 2);
        Ok("done")
    });
    let flow = flow.start(inner).connect(inner, "next", outer).end(outer, "done").build().unwrap();
    let mut state = State { input: vec![("x", 1), ("y", 2)], ..State::default() };
    BatchFlow::new(flow, keys).run(&mut state, &run()).await.unwrap();
    assert_eq!(results(&state), [("x", 4), ("y", 6)]);
}

#[tokio::test]
async fn a_set_may_have_several_params() {
    let mut flow: FlowBuilder<State, Fault> = Flow::builder("f");
    let multiply = flow.act("multiply", (), |state, visit| {
        let factor = visit.params().get("multiplier").and_then(|factor| factor.as_i64()).unwrap_or(1);
        let (key, number) = input(state, visit)?;
        state.results.insert(key, number * factor);
        Ok(())
    });
    let flow = flow.start(multiply).end(multiply, ()).build().unwrap();
    let batch = BatchFlow::new(flow, |state: &State, params| {
        let keys = keys(state, params)?.into_iter().enumerate();
        Ok(keys.map(|(index, set)| set.with("multiplier", index + 1)).collect())
    });
    let mut state = State { input: vec![("a", 1), ("b", 2), ("c", 3)], ..State::default() };
    batch.run(&mut state, &run()).await.unwrap();
    assert_eq!(results(&state), [("a", 1), ("b", 4), ("c", 9)]);
}

#[derive(Default)]
struct Batches {
    input: Vec<Vec<i64>>,
    doubled: BTreeMap<usize, Vec<i64>>,
    total: i64,
}

/// Doubles the numbers of the batch that the params name, all at the same time.
struct DoubleBatch;

impl BatchNode<Batches, Fault> for DoubleBatch {
    type Item = i64;
    type Output = i64;

    fn concurrency(&self) -> usize {
        usize::MAX
    }

    async fn prep(&self, state: &Batches, visit: Visit<'_>) -> Result<Vec<i64>, Fault> {
        Ok(state.input.get(batch_id(visit)?).ok_or("no such batch")?.clone())
    }

    async fn exec(&self, number: &i64, _: Visit<'_>) -> Result<i64, Fault> {
        pause(Duration::from_millis(100)).await;
        if *number < 0 { Err("Error processing item".into()) } else { Ok(number * 2) }
    }

    async fn post(&self, state: &mut Batches, _: Vec<i64>, doubled: Vec<i64>, visit: Visit<'_>) -> Chosen {
        state.doubled.insert(batch_id(visit)?, doubled);
        Ok(Action::DEFAULT)
    }
}

fn batch_id(visit: Visit<'_>) -> Result<usize, Fault> {
    let id = visit.params().get("batch_id").and_then(|id| id.as_u64()).ok_or("no batch_id")?;
    Ok(usize::try_from(id)?)
}

/// Doubles all batches at the same time; each pass sums what it sees.
fn double_batches() -> BatchFlow<Batches, Fault> {
    let mut flow: FlowBuilder<Batches, Fault> = Flow::builder("batches");
    let double = flow.batch(DoubleBatch);
    let sum = flow.act("sum", (), |state: &mut Batches, _| {
        state.total = state.doubled.values().flatten().sum();
    });
    let flow = flow.start(double).chain([double, sum]).end(sum, ()).build().unwrap();
    let sets = |state: &Batches, _: &Params| {
        Ok((0..state.input.len()).map(|id| Params::new().with("batch_id", id)).collect())
    };
    let fork = |state: &Batches, _: &Params| Batches { input: state.input.clone(), ..Batches::default() };
    BatchFlow::new(flow, sets).concurrency(usize::MAX, fork, |all, _, own| {
        all.doubled.extend(own.doubled);
        all.total += own.total;
        Ok(())
    })
}

/// Different on purpose: PocketFlow's passes share the state, and the last one sums what all have made. Here
/// each pass has its own, and the join sums.
#[tokio::test(start_paused = true)]
async fn batches_run_at_the_same_time_and_are_joined() {
    for input in [
        vec![vec![1, 2, 3], vec![4, 5, 6], vec![7, 8, 9]],
        vec![vec![1], vec![2, 3, 4], vec![5, 6], vec![7, 8, 9, 10]],
    ] {
        let doubled = input.iter().map(|batch| batch.iter().map(|number| number * 2).collect()).enumerate();
        let (doubled, total) = (doubled.collect(), input.iter().flatten().sum::<i64>() * 2);
        let mut state = Batches { input, ..Batches::default() };
        double_batches().run(&mut state, &run()).await.unwrap();
        state.total = 0;
        let outcome = double_batches().run(&mut state, &run()).await.unwrap();
        assert_eq!((state.doubled, state.total), (doubled, total), "the second run counts nothing twice");
        let steps = outcome.trace.steps;
        assert!(steps.iter().all(|step| step.began + step.duration <= Duration::from_millis(100)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_in_one_parallel_batch_ends_the_flow() {
    let mut state = Batches { input: vec![vec![1, -2, 3], vec![4, 5, 6]], ..Batches::default() };
    let error = double_batches().run(&mut state, &run()).await.unwrap_err();
    assert_eq!(error.path.to_string(), "batches[0]/DoubleBatch");
    assert_eq!(Fault::from(error).source().unwrap().to_string(), "Error processing item");
    assert!(state.doubled.is_empty());
}
