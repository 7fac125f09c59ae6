//! A flow's own `prep` and `post`, and the clock that is ready made.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{Oops, run};
use pflow_store::backend::{Environment, ManualEnvironment};
use pflow_store::flow::{Action, BatchFlow, Cause, Clock, Flow, Node, Params, Phase, Retry, Run, Visit};

/// Doubles the number. The flow's `prep` reads the number and refuses 13; its `post` compares both.
fn growth() -> Flow<i64, Oops> {
    let mut flow = Flow::<i64, Oops>::builder("growth");
    let double = flow.act("double", ["doubled", "zero"], |number, _| {
        *number *= 2;
        if *number == 0 { "zero" } else { "doubled" }
    });
    flow.start(double).end(double, "doubled").end(double, "zero").around(
        ["grew", "shrank", "zero"],
        |number, _| if *number == 13 { Err(Oops("thirteen")) } else { Ok(*number) },
        |number, before, last, _| {
            *number += 1000;
            match last.as_str() {
                "doubled" if *number > before + 1000 => "grew",
                "doubled" if before == -13 => "vanished",
                "doubled" => "shrank",
                _ => "zero",
            }
        },
    );
    flow.build().unwrap()
}

#[tokio::test]
async fn a_flow_may_read_before_and_decide_after_its_nodes() {
    for (start, end, action) in [(2, 1004, "grew"), (-2, 996, "shrank"), (0, 1000, "zero")] {
        let mut number = start;
        let outcome = growth().run(&mut number, &run()).await.unwrap();
        assert_eq!((number, outcome.action.as_str()), (end, action));
        assert_eq!(outcome.trace.steps.len(), 1, "only nodes are steps");
    }
}

#[tokio::test]
async fn the_post_of_a_nested_flow_picks_the_outer_path() {
    let mut outer = Flow::<i64, Oops>::builder("outer");
    let inner = outer.flow(growth());
    let negate = outer.act("negate", (), |number, _| *number = -*number);
    outer.start(inner).end(inner, "grew").end(inner, "zero").connect(inner, "shrank", negate).end(negate, ());
    let mut number = -2;
    outer.build().unwrap().run(&mut number, &run()).await.unwrap();
    assert_eq!(number, -996);
}

#[tokio::test]
async fn an_error_of_a_flows_own_prep_has_the_flows_path() {
    let mut number = 13;
    let error = growth().run(&mut number, &run()).await.unwrap_err();
    assert_eq!((error.path.to_string().as_str(), error.phase, number), ("growth", Phase::Prep, 13));
    let [step] = error.trace.steps.as_slice() else { panic!("{:?}", error.trace) };
    assert_eq!((&step.path, &step.result), (&error.path, &Err("thirteen".to_owned())));
}

#[tokio::test]
async fn the_post_of_a_flow_returns_only_declared_actions() {
    let error = growth().run(&mut -13, &run()).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::UndeclaredAction(action) if *action == "vanished"));
    assert_eq!((error.path.to_string().as_str(), error.phase), ("growth", Phase::Post));
    let paths: Vec<_> = error.trace.steps.iter().map(|step| step.path.to_string()).collect();
    assert_eq!(paths, ["growth/double", "growth"]);
}

#[tokio::test]
async fn a_failed_prep_of_a_nested_flow_is_in_the_trace_once() {
    let mut outer = Flow::<i64, Oops>::builder("outer");
    let inner = outer.flow(growth());
    outer.start(inner).end(inner, "grew").end(inner, "shrank").end(inner, "zero");
    let error = outer.build().unwrap().run(&mut 13, &run()).await.unwrap_err();
    let paths: Vec<_> = error.trace.steps.iter().map(|step| step.path.to_string()).collect();
    assert_eq!(paths, ["outer/growth"]);
}

#[tokio::test]
async fn a_failed_prep_of_a_pass_is_in_the_trace() {
    let batch = BatchFlow::new(growth(), |_: &i64, _| Ok(vec![Params::new()]));
    let error = batch.run(&mut 13, &run()).await.unwrap_err();
    let paths: Vec<_> = error.trace.steps.iter().map(|step| step.path.to_string()).collect();
    assert_eq!(paths, ["growth[0]"]);
}

#[tokio::test]
async fn the_post_of_a_flow_is_drawn_at_all_its_ends() {
    let mut outer = Flow::builder("outer");
    let inner = outer.flow(growth());
    outer.start(inner);
    for action in ["grew", "shrank", "zero"] {
        outer.end_as(inner, action, action);
    }
    let drawn = outer.build().unwrap().mermaid();
    assert!(drawn.contains("n0e0 -->|\"grew\"| e0"), "{drawn}");
    assert!(drawn.contains("n0e0 -->|\"shrank\"| e1"), "{drawn}");
}

#[tokio::test]
async fn the_clock_is_that_of_the_environment() {
    let environment = Arc::new(ManualEnvironment::new(7));
    let began = environment.monotonic();
    let mut flow = Flow::<i64, Oops>::builder("f");
    let ticking = Arc::clone(&environment);
    let node = flow.act("node", (), move |_, _| ticking.advance(Duration::from_secs(5)));
    let flow = flow.start(node).end(node, ()).build().unwrap();
    let outcome = flow.run(&mut 0, &Run::new(Arc::new(Clock::new(environment)))).await.unwrap();
    let step = &outcome.trace.steps[0];
    assert_eq!((step.began, step.duration), (began, Duration::from_secs(5)));
}

/// Waits for a second by the environment, which is longer than its timeout.
struct Late(Arc<ManualEnvironment>);

impl Node<i64, Oops> for Late {
    type Prep = ();
    type Exec = ();

    fn retry(&self) -> Retry {
        Retry::attempts(2).wait(Duration::from_secs(10))
    }

    fn timeout(&self) -> Option<Duration> {
        Some(Duration::from_millis(300))
    }

    async fn prep(&self, _: &i64, _: Visit<'_>) -> Result<(), Oops> {
        Ok(())
    }

    async fn exec(&self, (): &(), visit: Visit<'_>) -> Result<(), Oops> {
        if visit.attempt() == 1 {
            self.0.sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    async fn post(&self, number: &mut i64, (): (), (): (), visit: Visit<'_>) -> Result<Action, Oops> {
        *number = i64::from(visit.attempt());
        Ok(Action::DEFAULT)
    }
}

#[tokio::test]
async fn a_stepped_clock_decides_timeouts_and_waits() {
    let environment = Arc::new(ManualEnvironment::new(7).stepped());
    let flow = Flow::of(Late(Arc::clone(&environment)));
    let run = Run::new(Arc::new(Clock::new(Arc::<ManualEnvironment>::clone(&environment))));
    let mut number = 0;
    let mut running = Box::pin(flow.run(&mut number, &run));
    for millis in [0, 299, 1, 9_999] {
        environment.advance(Duration::from_millis(millis));
        assert!(futures::poll!(&mut running).is_pending(), "{millis}");
    }
    environment.advance(Duration::from_millis(1));
    let outcome = running.await.unwrap();
    let step = &outcome.trace.steps[0];
    assert_eq!(
        (step.duration, step.failed[0].duration),
        (Duration::from_millis(10_300), Duration::from_millis(300))
    );
    assert_eq!(number, 2);
}

#[tokio::test]
async fn a_run_needs_no_clock_of_ones_own() {
    let mut number = 2;
    growth().run(&mut number, &Run::system().unwrap()).await.unwrap();
    assert_eq!(number, 1004);
}
