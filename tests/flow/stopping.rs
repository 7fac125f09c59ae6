//! What ends a run from outside: cancellation and the step limit. And that a run can live in a task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Oops, alone, calc, cancel_after, chain, nop, pause, run};
use pflow_store::flow::{Action, BatchFlow, Cause, Failure, Flow, Node, Params, Phase, Retry, Visit};
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

/// Takes its time, and remembers whether it was dropped before it was done.
struct Slow {
    exec: Duration,
    fails: bool,
    fallback: Duration,
    retry: Retry,
    done: Arc<AtomicBool>,
    /// Cancelled in `prep`.
    cancels: Option<CancellationToken>,
    /// Cancelled at the end of `exec`.
    cancels_late: Option<CancellationToken>,
}

fn slow(exec: Duration) -> Slow {
    let done = Arc::new(AtomicBool::new(false));
    let (fallback, retry) = (Duration::ZERO, Retry::ONCE);
    Slow { exec, fails: false, fallback, retry, done, cancels: None, cancels_late: None }
}

impl Node<i64, Oops> for Slow {
    type Prep = ();
    type Exec = ();

    fn name(&self) -> &str {
        "slow"
    }

    fn retry(&self) -> Retry {
        self.retry
    }

    async fn prep(&self, _: &i64, _: Visit<'_>) -> Result<(), Oops> {
        self.cancels.iter().for_each(CancellationToken::cancel);
        Ok(())
    }

    async fn exec(&self, (): &(), _: Visit<'_>) -> Result<(), Oops> {
        pause(self.exec).await;
        self.done.store(true, Ordering::Relaxed);
        self.cancels_late.iter().for_each(CancellationToken::cancel);
        if self.fails { Err(Oops("too bad")) } else { Ok(()) }
    }

    async fn exec_fallback(
        &self,
        (): &(),
        failure: Failure<Oops>,
        _: Visit<'_>,
    ) -> Result<(), Failure<Oops>> {
        pause(self.fallback).await;
        Err(failure)
    }

    async fn post(&self, state: &mut i64, (): (), (): (), _: Visit<'_>) -> Result<Action, Oops> {
        *state += 1;
        Ok(Action::DEFAULT)
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_drops_exec_and_leaves_the_state_alone() {
    let (token, node) = (CancellationToken::new(), slow(9 * SECOND));
    let done = Arc::clone(&node.done);
    cancel_after(&token, SECOND);
    let mut state = 0;
    let error = alone("f", node).run(&mut state, &run().cancelled_by(token)).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Cancelled));
    assert_eq!(error.phase, Phase::Exec { attempt: 1, item: None });
    assert_eq!(error.trace.steps[0].duration, SECOND);
    pause(20 * SECOND).await;
    assert!(!done.load(Ordering::Relaxed), "exec went on");
    assert_eq!(state, 0);
}

#[tokio::test]
async fn no_attempt_begins_after_a_cancellation() {
    let token = CancellationToken::new();
    let node = Slow { cancels: Some(token.clone()), ..slow(Duration::ZERO) };
    let error = alone("f", node).run(&mut 0, &run().cancelled_by(token)).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Cancelled));
    assert_eq!(error.phase, Phase::Exec { attempt: 0, item: None });
    assert_eq!(error.trace.steps[0].attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_interrupts_the_wait_between_attempts() {
    let token = CancellationToken::new();
    cancel_after(&token, SECOND);
    let node = Slow { fails: true, retry: Retry::attempts(2).wait(60 * SECOND), ..slow(Duration::ZERO) };
    let error = alone("f", node).run(&mut 0, &run().cancelled_by(token)).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Cancelled));
    assert_eq!(error.trace.steps[0].duration, SECOND);
    assert_eq!(error.trace.steps[0].failed[0].error, "too bad", "what failed before is not lost");
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_interrupts_the_fallback() {
    let token = CancellationToken::new();
    cancel_after(&token, SECOND);
    let node = Slow { fails: true, fallback: 60 * SECOND, ..slow(Duration::ZERO) };
    let error = alone("f", node).run(&mut 0, &run().cancelled_by(token)).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Cancelled));
    assert_eq!(error.trace.steps[0].duration, SECOND);
}

#[tokio::test]
async fn the_last_failure_is_not_lost_to_a_cancellation() {
    for (attempts, is_last) in [(1, true), (2, false)] {
        let (token, retry) = (CancellationToken::new(), Retry::attempts(attempts));
        let node = Slow { fails: true, retry, cancels_late: Some(token.clone()), ..slow(Duration::ZERO) };
        let error = alone("f", node).run(&mut 0, &run().cancelled_by(token)).await.unwrap_err();
        assert_eq!(error.phase, Phase::Exec { attempt: 1, item: None });
        assert_eq!(error.trace.steps[0].failed[0].error, "too bad");
        assert_eq!(matches!(error.cause(), Cause::Node(Oops("too bad"))), is_last);
        assert_eq!(matches!(error.cause(), Cause::Cancelled), !is_last);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_does_not_interrupt_a_node_that_acts() {
    let token = CancellationToken::new();
    cancel_after(&token, SECOND);
    let mut flow = Flow::<i64, Oops>::builder("f");
    let act = flow.act_async("act", (), |number, _| {
        Box::pin(async move {
            pause(9 * SECOND).await;
            *number += 1;
        })
    });
    let next = flow.act("next", (), |number, _| *number += 10);
    let flow = flow.start(act).chain([act, next]).end(next, ()).build().unwrap();
    let mut state = 0;
    let error = flow.run(&mut state, &run().cancelled_by(token)).await.unwrap_err();
    assert_eq!((state, error.path.to_string().as_str(), error.phase), (1, "f/next", Phase::Enter));
    assert_eq!(error.trace.steps[0].duration, 9 * SECOND);
}

#[tokio::test]
async fn a_cancellation_stops_the_run_between_steps() {
    let token = CancellationToken::new();
    let canceller = token.clone();
    let nodes = vec![
        calc("first", move |number| {
            canceller.cancel();
            number + 1
        }),
        calc("second", |number| number + 10),
    ];
    let mut state = 0;
    let error = chain("f", nodes).unwrap().run(&mut state, &run().cancelled_by(token)).await.unwrap_err();
    assert_eq!((error.path.to_string().as_str(), error.phase), ("f/second", Phase::Enter));
    assert!(matches!(error.cause(), Cause::Cancelled));
    assert_eq!(state, 1, "the first node's result was ready and is kept");
    assert_eq!(error.trace.steps.len(), 1);
}

#[tokio::test]
async fn a_run_that_is_cancelled_already_does_nothing() {
    let token = CancellationToken::new();
    token.cancel();
    let mut state = 0;
    let error =
        alone("f", calc("add", |n| n + 1)).run(&mut state, &run().cancelled_by(token)).await.unwrap_err();
    assert_eq!((state, error.phase, error.trace.steps.len()), (0, Phase::Enter, 0));
}

#[tokio::test]
async fn a_run_that_is_cancelled_already_calls_no_function() {
    let token = CancellationToken::new();
    token.cancel();
    let run = run().cancelled_by(token);
    let mut flow = Flow::<i64, Oops>::builder("f");
    let node = flow.act("node", (), |_, _| ());
    flow.start(node).end(node, ()).around(
        (),
        |_, _| -> Result<(), _> { panic!("prep ran") },
        |_, (), _, _| (),
    );
    let error = flow.build().unwrap().run(&mut 0, &run).await.unwrap_err();
    assert_eq!((error.path.to_string().as_str(), error.phase), ("f", Phase::Enter));

    let batch = BatchFlow::new(alone("f", nop("n")), |_: &i64, _| panic!("the sets were made"));
    let error = batch.run(&mut 0, &run).await.unwrap_err();
    assert_eq!((error.path.to_string().as_str(), error.phase), ("f", Phase::Enter));
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_interrupts_the_making_of_sets() {
    let token = CancellationToken::new();
    cancel_after(&token, SECOND);
    let batch = BatchFlow::new_async(alone("f", nop("n")), |_: &i64, _| Box::pin(std::future::pending()));
    let error = batch.run(&mut 0, &run().cancelled_by(token)).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Cancelled));
    assert_eq!((error.path.to_string().as_str(), error.phase), ("f", Phase::Prep));
}

#[tokio::test]
async fn an_endless_loop_meets_the_step_limit() {
    let mut builder = Flow::builder("endless");
    let node = builder.node(calc("count", |n| n + 1));
    builder.start(node).connect(node, "default", node);
    let flow = builder.build().unwrap();
    let mut state = 0;
    let error = flow.run(&mut state, &run().step_limit(25)).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::StepLimit(25)));
    assert_eq!(error.path.to_string(), "endless/count");
    assert_eq!((state, error.trace.steps.len()), (25, 25));

    let mut state = 0;
    flow.run(&mut state, &run()).await.unwrap_err();
    assert_eq!(state, 10_000, "the default");
}

#[tokio::test]
async fn a_flow_of_as_many_steps_as_the_limit_ends_well() {
    let flow = || chain("f", vec![nop("a"), nop("b"), nop("c")]).unwrap();
    flow().run(&mut 0, &run().step_limit(3)).await.unwrap();
    flow().run(&mut 0, &run().step_limit(2)).await.unwrap_err();
}

#[tokio::test]
async fn each_pass_of_a_batch_flow_counts_its_own_steps() {
    let flow = chain("f", vec![nop("a"), calc("b", |n| n + 1)]).unwrap();
    let many = BatchFlow::new(flow, |_: &i64, _| Ok(vec![Params::new(); 50]));
    let mut state = 0;
    many.run(&mut state, &run().step_limit(2)).await.unwrap();
    assert_eq!(state, 50);
}

#[tokio::test]
async fn a_run_can_live_in_a_task() {
    let mut builder = Flow::builder("outer");
    let inner = builder.flow(alone("inner", slow(Duration::ZERO)));
    builder.start(inner).end(inner, "default");
    let flow = builder.build().unwrap();
    let task = tokio::spawn(async move {
        let mut state = 0;
        flow.run(&mut state, &run()).await.unwrap();
        state
    });
    assert_eq!(task.await.unwrap(), 1);
}
