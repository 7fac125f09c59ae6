//! Flows that run once for each set of params.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Oops, alone, cancel_after, pause, run};
use pflow_store::flow::{Action, BatchFlow, Cause, Flow, Node, Params, Phase, Visit};
use tokio_util::sync::CancellationToken;

/// Numbers by key, and the results by key.
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
    let [step] = error.trace.steps.as_slice() else { panic!("{:?}", error.trace) };
    assert_eq!((&step.path, &step.result), (&error.path, &Err("no key".to_owned())));
}

#[tokio::test]
async fn a_sets_params_win_over_the_runs() {
    let mut data = Data::of([("a", &[1, 10]), ("b", &[2, 20])]);
    let params = Params::new().with("key", "none").with("at", 1);
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

/// Waits as many seconds as its param `seconds` says, then pushes that number. 9 is an error.
fn waits() -> Flow<Vec<u64>, Oops> {
    let mut flow = Flow::<Vec<u64>, Oops>::builder("waits");
    let wait = flow.act_async("wait", (), |numbers, visit| {
        Box::pin(async move {
            let seconds =
                visit.params().get("seconds").and_then(|it| it.as_u64()).ok_or(Oops("no seconds"))?;
            pause(Duration::from_secs(seconds)).await;
            numbers.push(seconds);
            if seconds == 9 { Err(Oops("nine")) } else { Ok(()) }
        })
    });
    flow.start(wait).end(wait, ()).build().unwrap()
}

fn append(all: &mut Vec<u64>, _: &Params, own: Vec<u64>) -> Result<(), Oops> {
    all.extend(own);
    Ok(())
}

/// A set for each number, and passes side by side that start with an empty list.
fn side_by_side(passes: usize, seconds: &'static [u64]) -> BatchFlow<Vec<u64>, Oops> {
    let sets = move |_: &Vec<u64>, _: &Params| {
        Ok(seconds.iter().map(|&seconds| Params::new().with("seconds", seconds)).collect())
    };
    BatchFlow::new(waits(), sets).concurrency(passes, |_, _| Vec::new(), append)
}

#[tokio::test(start_paused = true)]
async fn passes_overlap_and_are_joined_in_the_order_of_the_sets() {
    for (passes, seconds) in [(3, 4), (2, 5), (1, 9), (0, 9)] {
        let mut numbers = vec![100];
        let mut outer = Flow::builder("outer");
        let batch = outer.batch_flow(side_by_side(passes, &[4, 2, 3]));
        let outer = outer.start(batch).end(batch, ()).build().unwrap();
        let outcome = outer.run(&mut numbers, &run()).await.unwrap();
        assert_eq!(numbers, [100, 4, 2, 3]);
        assert_eq!(outcome.trace.steps.last().unwrap().duration, Duration::from_secs(seconds), "{passes}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_pass_sees_what_another_one_did() {
    let sets = |_: &Vec<u64>, _: &Params| Ok((1..=3).map(|n| Params::new().with("seconds", n)).collect());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let states = Arc::clone(&seen);
    let fork = |numbers: &Vec<u64>, _: &Params| numbers.clone();
    let batch = BatchFlow::new(waits(), sets).concurrency(1, fork, move |_, _, own| {
        states.lock().unwrap().push(own);
        Ok(())
    });
    batch.run(&mut vec![7], &run()).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [[7, 1], [7, 2], [7, 3]]);
}

#[tokio::test(start_paused = true)]
async fn the_fork_and_the_join_get_the_params_of_their_pass() {
    let sets = |_: &Vec<u64>, _: &Params| Ok((1..=3).map(|n| Params::new().with("seconds", n)).collect());
    let number = |params: &Params, name| params.get(name).and_then(|it| it.as_u64()).unwrap();
    let fork = move |_: &Vec<u64>, params: &Params| vec![number(params, "base") + number(params, "seconds")];
    let batch = BatchFlow::new(waits(), sets).concurrency(3, fork, move |all, params, own| {
        if number(params, "seconds") == 3 {
            return Err(Oops("three"));
        }
        all.extend(own);
        all.push(number(params, "base") * number(params, "seconds"));
        Ok(())
    });
    let mut numbers = vec![];
    let run = run().params(Params::new().with("base", 100));
    let error = batch.run(&mut numbers, &run).await.unwrap_err();
    assert_eq!(numbers, [101, 1, 100, 102, 2, 200]);
    assert_eq!((error.path.to_string().as_str(), error.phase), ("waits[2]", Phase::Post));
    assert_eq!(error.trace.steps.last().unwrap().path, error.path);
    assert!(matches!(error.cause(), Cause::Node(Oops("three"))));
}

#[tokio::test(start_paused = true)]
async fn a_failing_pass_drops_the_others_and_leaves_the_state() {
    let mut numbers = vec![100];
    let error = side_by_side(2, &[1, 9, 30, 2]).run(&mut numbers, &run()).await.unwrap_err();
    assert_eq!(error.to_string(), "Failed at waits[1]/wait, in post");
    assert_eq!(numbers, [100]);
    let ended: Vec<_> = error.trace.steps.iter().map(|step| step.path.to_string()).collect();
    assert_eq!(ended, ["waits[0]/wait", "waits[1]/wait"], "the third is dropped, the fourth never begins");
}

/// What the passes did, in this order.
type Effects = Arc<Mutex<Vec<String>>>;

/// Waits as many seconds as the param `what` says and notes it; nothing without the param.
async fn wait(effects: &Effects, visit: Visit<'_>, what: &str) {
    if let Some(seconds) = visit.params().get(what).and_then(|it| it.as_u64()) {
        pause(Duration::from_secs(seconds)).await;
        effects.lock().unwrap().push(format!("{what} {seconds}"));
    }
}

/// Waits in `exec` and in `post`.
struct Waits(Effects);

impl Node<Vec<u64>, Oops> for Waits {
    type Prep = ();
    type Exec = ();

    async fn prep(&self, _: &Vec<u64>, _: Visit<'_>) -> Result<(), Oops> {
        Ok(())
    }

    async fn exec(&self, (): &(), visit: Visit<'_>) -> Result<(), Oops> {
        wait(&self.0, visit, "exec").await;
        Ok(())
    }

    async fn post(&self, numbers: &mut Vec<u64>, (): (), (): (), visit: Visit<'_>) -> Result<Action, Oops> {
        wait(&self.0, visit, "post").await;
        numbers.push(1);
        Ok(Action::DEFAULT)
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_passes_finish_their_step_and_begin_no_other() {
    let (effects, acted) = (Effects::default(), Effects::default());
    let mut flow = Flow::<Vec<u64>, Oops>::builder("f");
    let noted = Arc::clone(&effects);
    let act = flow.act_async("act", (), move |_, visit| {
        let noted = Arc::clone(&noted);
        Box::pin(async move { wait(&noted, visit, "act").await })
    });
    let waits = flow.node(Waits(Arc::clone(&effects)));
    let noted = Arc::clone(&acted);
    let last = flow.act("last", (), move |_, visit| noted.lock().unwrap().push(visit.path().to_string()));
    let flow = flow.start(act).chain([act, waits, last]).end(last, ()).build().unwrap();
    let sets = |_: &Vec<u64>, _: &Params| {
        let sets = [("act", 30), ("exec", 40), ("post", 60), ("act", 0)];
        Ok(sets.map(|(what, seconds)| Params::new().with(what, seconds)).into())
    };
    let batch = BatchFlow::new(flow, sets).concurrency(3, |_, _| Vec::new(), append);
    let token = CancellationToken::new();
    cancel_after(&token, Duration::from_secs(1));
    let mut numbers = vec![100];
    let error = batch.run(&mut numbers, &run().cancelled_by(token)).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Cancelled));
    assert_eq!(error.path.to_string(), "f[1]/Waits", "only `exec` is dropped");
    assert_eq!(*effects.lock().unwrap(), ["act 30", "post 60"]);
    assert_eq!((numbers, acted.lock().unwrap().len()), (vec![100], 0));
}

#[tokio::test(start_paused = true)]
async fn the_sets_may_be_awaited() {
    let batch = BatchFlow::new_async(waits(), |numbers: &Vec<u64>, _| {
        Box::pin(async move {
            pause(Duration::from_secs(1)).await;
            Ok(numbers.iter().map(|&seconds| Params::new().with("seconds", seconds + 1)).collect())
        })
    });
    let mut numbers = vec![1, 2];
    batch.run(&mut numbers, &run()).await.unwrap();
    assert_eq!(numbers, [1, 2, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn the_post_of_a_batch_flow_gets_its_sets_and_chooses() {
    for (seconds, action) in [(&[][..], "nothing"), (&[1, 2], "something")] {
        let batch = side_by_side(9, seconds).post(["nothing", "something"], |numbers, sets, _| {
            numbers.push(u64::try_from(sets.len()).unwrap());
            if sets.is_empty() { "nothing" } else { "something" }
        });
        let mut outer = Flow::builder("outer");
        let batch = outer.batch_flow(batch);
        let outer = outer.start(batch).end(batch, "nothing").end(batch, "something").build().unwrap();
        let mut numbers = vec![];
        let outcome = outer.run(&mut numbers, &run()).await.unwrap();
        assert_eq!((outcome.action.as_str(), numbers.len()), (action, seconds.len() + 1));
        assert_eq!(numbers.last(), Some(&u64::try_from(seconds.len()).unwrap()));
    }
}

#[tokio::test]
async fn the_post_of_a_batch_flow_returns_only_declared_actions() {
    let batch = side_by_side(9, &[]).post("known", |_, _, _| "unknwon");
    let error = batch.run(&mut vec![], &run()).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::UndeclaredAction(action) if *action == "unknwon"));
    let batch = side_by_side(9, &[]).post("known", |_, _, _| Err::<(), _>(Oops("unwritable")));
    let error = batch.run(&mut vec![], &run()).await.unwrap_err();
    assert_eq!((error.path.to_string().as_str(), error.phase), ("waits", Phase::Post));
}
