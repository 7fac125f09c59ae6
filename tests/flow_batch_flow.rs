//! Flows that run once for each set of params.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

mod flow_support;

use std::collections::BTreeMap;

use flow_support::{Oops, alone, run};
use pflow_store::flow::{Action, BatchFlow, Flow, Node, Params, Phase, Visit};

/// Numbers by key, and what became of them.
#[derive(Debug, Default)]
struct Data {
    numbers: BTreeMap<String, Vec<i64>>,
    results: BTreeMap<String, Vec<i64>>,
}

impl Data {
    fn of<const N: usize>(numbers: [(&str, &[i64]); N]) -> Self {
        let numbers = numbers.iter().map(|(key, numbers)| ((*key).to_owned(), numbers.to_vec())).collect();
        Self { numbers, ..Self::default() }
    }

    fn results(&self) -> Vec<(&str, &[i64])> {
        self.results.iter().map(|(key, numbers)| (key.as_str(), numbers.as_slice())).collect()
    }
}

/// Doubles the number that the params name. A negative number is an error.
struct Double;

impl Node<Data, Oops> for Double {
    type Prep = (String, i64);
    type Exec = i64;

    fn name(&self) -> &str {
        "double"
    }

    async fn prep(&self, data: &Data, visit: Visit<'_>) -> Result<(String, i64), Oops> {
        let key = key(visit.params())?;
        let at = visit.params().get("at").and_then(|at| at.as_u64()).unwrap_or(0);
        let number = data.numbers.get(key).and_then(|numbers| numbers.get(usize::try_from(at).unwrap()));
        Ok((key.to_owned(), *number.ok_or(Oops("no such number"))?))
    }

    async fn exec(&self, (_, number): &(String, i64), _: Visit<'_>) -> Result<i64, Oops> {
        if *number < 0 { Err(Oops("negative")) } else { Ok(number * 2) }
    }

    async fn post(
        &self,
        data: &mut Data,
        (key, _): (String, i64),
        double: i64,
        _: Visit<'_>,
    ) -> Result<Action, Oops> {
        data.results.entry(key).or_default().push(double);
        Ok(Action::DEFAULT)
    }
}

fn key(params: &Params) -> Result<&str, Oops> {
    params.get("key").and_then(|key| key.as_str()).ok_or(Oops("no key"))
}

/// One set for each key.
fn keys(data: &Data, _: &Params) -> Result<Vec<Params>, Oops> {
    Ok(data.numbers.keys().map(|key| Params::new().with("key", key.as_str())).collect())
}

#[tokio::test]
async fn a_batch_flow_runs_once_for_each_key() {
    let mut data = Data::of([("a", &[1]), ("b", &[2]), ("c", &[3])]);
    let outcome = BatchFlow::new(alone("keys", Double), keys).run(&mut data, &run()).await.unwrap();
    assert_eq!(data.results(), [("a", &[2][..]), ("b", &[4]), ("c", &[6])]);
    assert_eq!(outcome.action, Action::DEFAULT);
    let paths: Vec<_> = outcome.trace.steps.iter().map(|step| step.path.to_string()).collect();
    assert_eq!(paths, ["keys[0]/double", "keys[1]/double", "keys[2]/double"]);
}

#[tokio::test]
async fn a_batch_flow_without_keys_does_nothing() {
    let mut data = Data::default();
    let outcome = BatchFlow::new(alone("keys", Double), keys).run(&mut data, &run()).await.unwrap();
    assert_eq!((outcome.action, outcome.trace.steps.len()), (Action::DEFAULT, 0));
}

#[tokio::test]
async fn the_first_error_ends_a_batch_flow() {
    let mut data = Data::of([("a", &[1]), ("b", &[-1]), ("c", &[3])]);
    let error = BatchFlow::new(alone("keys", Double), keys).run(&mut data, &run()).await.unwrap_err();
    assert_eq!(error.to_string(), "Failed at keys[1]/double, in exec, attempt 1");
    assert_eq!(data.results(), [("a", &[2][..])]);
}

#[tokio::test]
async fn an_error_while_the_sets_are_made_ends_a_batch_flow() {
    let batch = BatchFlow::new(alone("keys", Double), |_: &Data, params| key(params).map(|_| Vec::new()));
    let error = batch.run(&mut Data::default(), &run()).await.unwrap_err();
    assert_eq!((error.path.to_string().as_str(), error.phase), ("keys", Phase::Prep));
}

#[tokio::test]
async fn a_sets_params_win_over_the_runs() {
    let mut data = Data::of([("a", &[1, 10]), ("b", &[2, 20])]);
    let params = Params::new().with("key", "nobody").with("at", 1);
    BatchFlow::new(alone("keys", Double), keys).run(&mut data, &run().params(params)).await.unwrap();
    assert_eq!(data.results(), [("a", &[20][..]), ("b", &[40])]);
}

#[tokio::test]
async fn batch_flows_nest() {
    let inner = BatchFlow::new(alone("inner", Double), |data: &Data, params| {
        let count = data.numbers.get(key(params)?).map_or(0, Vec::len);
        Ok((0..count).map(|at| Params::new().with("at", at)).collect())
    });
    let mut outer = Flow::builder("outer");
    let inner = outer.batch_flow(inner);
    outer.start(inner).end(inner, "default");
    let mut data = Data::of([("A", &[2, 4]), ("B", &[6, 8])]);
    let outcome = BatchFlow::new(outer.build().unwrap(), keys).run(&mut data, &run()).await.unwrap();
    assert_eq!(data.results(), [("A", &[4, 8][..]), ("B", &[12, 16])]);
    let last = &outcome.trace.steps[4];
    assert_eq!(last.path.to_string(), "outer[1]/inner[1]/double");
}
