//! Failing attempts: retries, waits, timeouts, fallbacks, and the errors that remain.

use std::error::Error;
use std::time::Duration;

use crate::support::{Oops, TestTimer, alone, nop, pause, run};
use pflow_store::flow::{Action, Cause, Failure, Flow, Node, Phase, Retry, Run, Visit};

const SECOND: Duration = Duration::from_secs(1);

/// Fails at its first attempts; keeps a diary in the state.
struct Flaky {
    failing: u32,
    retry: Retry,
    fallback: bool,
    /// How long an attempt that fails takes.
    slow: Duration,
    timeout: Option<Duration>,
    retryable: bool,
}

/// Fails `failing` times at each visit and may try `attempts` times.
fn flaky(failing: u32, attempts: u32) -> Flaky {
    let retry = Retry::attempts(attempts);
    Flaky { failing, retry, fallback: false, slow: Duration::ZERO, timeout: None, retryable: true }
}

impl Node<Vec<String>, Oops> for Flaky {
    type Prep = ();
    type Exec = String;

    fn name(&self) -> &str {
        "flaky"
    }

    fn retry(&self) -> Retry {
        self.retry
    }

    fn is_retryable(&self, _: &Failure<Oops>) -> bool {
        self.retryable
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    async fn prep(&self, _: &Vec<String>, visit: Visit<'_>) -> Result<(), Oops> {
        assert_eq!(visit.attempt(), 0);
        Ok(())
    }

    async fn exec(&self, (): &(), visit: Visit<'_>) -> Result<String, Oops> {
        if visit.attempt() <= self.failing {
            pause(self.slow).await;
            return Err(Oops("disk full"));
        }
        Ok(format!("exec at attempt {}", visit.attempt()))
    }

    async fn exec_fallback(
        &self,
        (): &(),
        failure: Failure<Oops>,
        visit: Visit<'_>,
    ) -> Result<String, Failure<Oops>> {
        match self.fallback {
            true => Ok(format!("fallback after attempt {}: {failure}", visit.attempt())),
            false => Err(failure),
        }
    }

    async fn post(
        &self,
        diary: &mut Vec<String>,
        (): (),
        result: String,
        visit: Visit<'_>,
    ) -> Result<Action, Oops> {
        diary.push(format!("{result}; post after attempt {}", visit.attempt()));
        Ok(Action::DEFAULT)
    }
}

#[tokio::test]
async fn success_at_the_first_attempt_runs_no_fallback() {
    let mut diary = Vec::new();
    let outcome = alone("f", Flaky { fallback: true, ..flaky(0, 3) }).run(&mut diary, &run()).await.unwrap();
    assert_eq!(diary, ["exec at attempt 1; post after attempt 1"]);
    assert_eq!((outcome.trace.steps[0].attempts, outcome.trace.steps[0].failed.len()), (1, 0));
}

#[tokio::test]
async fn a_later_attempt_may_succeed_without_fallback() {
    let mut diary = Vec::new();
    alone("f", Flaky { fallback: true, ..flaky(2, 3) }).run(&mut diary, &run()).await.unwrap();
    assert_eq!(diary, ["exec at attempt 3; post after attempt 3"]);
}

#[tokio::test]
async fn the_fallback_decides_after_two_failures() {
    let mut diary = Vec::new();
    let outcome = alone("f", Flaky { fallback: true, ..flaky(9, 2) }).run(&mut diary, &run()).await.unwrap();
    assert_eq!(diary, ["fallback after attempt 2: disk full; post after attempt 2"]);
    assert_eq!(outcome.trace.steps[0].attempts, 2);
}

#[tokio::test]
async fn one_attempt_is_the_default() {
    let mut diary = Vec::new();
    let node = Flaky { fallback: true, retry: Retry::default(), ..flaky(9, 1) };
    alone("f", node).run(&mut diary, &run()).await.unwrap();
    assert_eq!(diary, ["fallback after attempt 1: disk full; post after attempt 1"]);
}

#[tokio::test]
async fn without_a_fallback_the_error_returns_after_the_last_attempt() {
    let mut diary = Vec::new();
    let error = alone("save", flaky(9, 3)).run(&mut diary, &run()).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Node(Oops("disk full"))));
    assert_eq!(error.phase, Phase::Exec { attempt: 3, item: None });
    assert!(diary.is_empty(), "post must not run");
}

#[tokio::test]
async fn three_attempts_then_the_fallback_and_the_flow_goes_on() {
    let mut builder = Flow::builder("f");
    let first = builder.node(Flaky { fallback: true, ..flaky(9, 3) });
    let inner = builder.flow(alone("inner", flaky(0, 1)));
    builder.start(first).connect(first, "default", inner).end(inner, "default");
    let mut diary = Vec::new();
    builder.build().unwrap().run(&mut diary, &run()).await.unwrap();
    assert_eq!(
        diary,
        [
            "fallback after attempt 3: disk full; post after attempt 3",
            "exec at attempt 1; post after attempt 1"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn waits_lie_between_attempts_and_not_after_the_last() {
    let timer = TestTimer::new();
    let node = Flaky { retry: Retry::attempts(3).wait(SECOND).backoff(3.0), ..flaky(9, 3) };
    alone("f", node).run(&mut Vec::new(), &Run::new(timer.clone())).await.unwrap_err();
    assert_eq!(timer.slept(), [SECOND, 3 * SECOND]);
}

#[tokio::test(start_paused = true)]
async fn waits_are_jittered_by_the_timers_chance() {
    let timer = TestTimer::with_random(0.5);
    let node = Flaky { retry: Retry::attempts(2).wait(SECOND).jitter(0.4), ..flaky(9, 2) };
    alone("f", node).run(&mut Vec::new(), &Run::new(timer.clone())).await.unwrap_err();
    assert_eq!(timer.slept(), [Duration::from_millis(800)]);
}

#[tokio::test]
async fn an_error_that_is_not_retryable_goes_to_the_fallback_at_once() {
    let mut diary = Vec::new();
    let node = Flaky { fallback: true, retryable: false, ..flaky(9, 5) };
    alone("f", node).run(&mut diary, &run()).await.unwrap();
    assert_eq!(diary, ["fallback after attempt 1: disk full; post after attempt 1"]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_over_its_timeout_is_tried_again() {
    let mut diary = Vec::new();
    let node = Flaky { slow: 9 * SECOND, timeout: Some(SECOND), ..flaky(1, 2) };
    let outcome = alone("f", node).run(&mut diary, &run()).await.unwrap();
    assert_eq!(diary, ["exec at attempt 2; post after attempt 2"]);
    let step = &outcome.trace.steps[0];
    assert_eq!((step.failed[0].error.as_str(), step.failed[0].duration), ("no result within 1s", SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_at_the_last_attempt_is_the_error() {
    let node = Flaky { slow: 9 * SECOND, timeout: Some(SECOND), ..flaky(9, 2) };
    let error = alone("f", node).run(&mut Vec::new(), &run()).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Timeout(SECOND)));
    assert_eq!(error.phase, Phase::Exec { attempt: 2, item: None });
    assert_eq!(error.source().unwrap().to_string(), "no result within 1s");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_within_its_timeout_is_left_alone() {
    let mut diary = Vec::new();
    let node = Flaky { fallback: true, slow: SECOND, timeout: Some(2 * SECOND), ..flaky(9, 1) };
    alone("f", node).run(&mut diary, &run()).await.unwrap();
    assert_eq!(diary, ["fallback after attempt 1: disk full; post after attempt 1"]);
}

#[tokio::test]
async fn each_visit_starts_with_a_fresh_attempt_counter() {
    struct Twice(Flaky);
    impl Node<Vec<String>, Oops> for Twice {
        type Prep = ();
        type Exec = String;

        fn name(&self) -> &str {
            "twice"
        }
        fn actions(&self) -> &[Action] {
            const { &[Action::named("again"), Action::named("done")] }
        }
        fn retry(&self) -> Retry {
            self.0.retry()
        }
        async fn prep(&self, state: &Vec<String>, visit: Visit<'_>) -> Result<(), Oops> {
            self.0.prep(state, visit).await
        }
        async fn exec(&self, prep: &(), visit: Visit<'_>) -> Result<String, Oops> {
            Node::<Vec<String>, Oops>::exec(&self.0, prep, visit).await
        }
        async fn post(
            &self,
            diary: &mut Vec<String>,
            prep: (),
            exec: String,
            visit: Visit<'_>,
        ) -> Result<Action, Oops> {
            self.0.post(diary, prep, exec, visit).await?;
            Ok(if diary.len() < 2 { "again" } else { "done" }.into())
        }
    }
    let mut builder = Flow::builder("f");
    let twice = builder.node(Twice(flaky(2, 3)));
    builder.start(twice).connect(twice, "again", twice).end(twice, "done");
    let mut diary = Vec::new();
    builder.build().unwrap().run(&mut diary, &run()).await.unwrap();
    assert_eq!(diary, ["exec at attempt 3; post after attempt 3", "exec at attempt 3; post after attempt 3"]);
}

#[tokio::test]
async fn an_error_names_the_node_of_the_flow_and_keeps_its_source() {
    let mut builder = Flow::builder("outer");
    let inner = builder.flow(alone("inner", flaky(9, 2)));
    builder.start(inner).end(inner, "default");
    let error = builder.build().unwrap().run(&mut Vec::new(), &run()).await.unwrap_err();
    assert_eq!(error.to_string(), "Failed at outer/inner/flaky, in exec, attempt 2");
    assert_eq!(error.source().and_then(|source| source.downcast_ref()), Some(&Oops("disk full")));
    let results: Vec<_> =
        error.trace.steps.iter().map(|step| (step.path.to_string(), step.result.clone())).collect();
    let failed = || Err("disk full".to_owned());
    assert_eq!(
        results,
        [("outer/inner/flaky".to_owned(), failed()), ("outer/inner".to_owned(), failed())],
        "the trace of a failed run"
    );
}

/// Fails outside of `exec`.
struct FailsIn(Phase);

impl Node<i64, Oops> for FailsIn {
    type Prep = ();
    type Exec = ();

    fn name(&self) -> &str {
        "fails"
    }

    fn retry(&self) -> Retry {
        Retry::attempts(3)
    }

    async fn prep(&self, _: &i64, _: Visit<'_>) -> Result<(), Oops> {
        if self.0 == Phase::Prep { Err(Oops("unreadable")) } else { Ok(()) }
    }

    async fn exec(&self, (): &(), _: Visit<'_>) -> Result<(), Oops> {
        Ok(())
    }

    async fn post(&self, visits: &mut i64, (): (), (): (), _: Visit<'_>) -> Result<Action, Oops> {
        *visits += 1;
        if self.0 == Phase::Post { Err(Oops("unwritable")) } else { Ok(Action::DEFAULT) }
    }
}

#[tokio::test]
async fn errors_of_prep_and_post_return_at_once() {
    for (phase, visits, message) in [(Phase::Prep, 0, "unreadable"), (Phase::Post, 1, "unwritable")] {
        let mut state = 0;
        let error = alone("f", FailsIn(phase)).run(&mut state, &run()).await.unwrap_err();
        assert_eq!((error.phase, state), (phase, visits));
        assert_eq!(error.source().unwrap().to_string(), message);
    }
}

#[tokio::test]
async fn an_action_that_the_node_does_not_declare_is_an_error() {
    let mut builder = Flow::builder("f");
    let node = builder.node(nop("node").choosing(&["default", "known"], |_| "unknwon"));
    builder.start(node).end(node, "default").end(node, "known");
    let error = builder.build().unwrap().run(&mut 0, &run()).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::UndeclaredAction(action) if *action == "unknwon"));
    assert_eq!(error.to_string(), "Failed at f/node, in post");
    assert_eq!(
        error.source().unwrap().to_string(),
        "the action `unknwon` is not declared by the node or flow"
    );
    assert!(error.trace.steps[0].result.is_err());
}

type AnyError = Box<dyn Error + Send + Sync>;

/// Parses the state, which takes several attempts, with an error that is not known before.
struct Parse;

impl Node<String, AnyError> for Parse {
    type Prep = String;
    type Exec = i64;

    fn name(&self) -> &str {
        "parse"
    }

    fn retry(&self) -> Retry {
        Retry::attempts(2)
    }

    async fn prep(&self, text: &String, _: Visit<'_>) -> Result<String, AnyError> {
        Ok(text.clone())
    }

    async fn exec(&self, text: &String, _: Visit<'_>) -> Result<i64, AnyError> {
        Ok(text.parse().map_err(Unreadable)?)
    }

    async fn post(
        &self,
        text: &mut String,
        _: String,
        number: i64,
        _: Visit<'_>,
    ) -> Result<Action, AnyError> {
        *text = (number + 1).to_string();
        Ok(Action::DEFAULT)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("not readable")]
struct Unreadable(#[source] std::num::ParseIntError);

fn parse() -> Flow<String, AnyError> {
    let mut builder = Flow::builder("f");
    let parse = builder.node(Parse);
    builder.start(parse).end(parse, "default");
    builder.build().unwrap()
}

#[tokio::test]
async fn boxed_errors_of_any_type_keep_their_sources() {
    let mut text = "7".to_owned();
    parse().run(&mut text, &run()).await.unwrap();
    assert_eq!(text, "8");

    let error: AnyError = parse().run(&mut "x".to_owned(), &run()).await.unwrap_err().into();
    assert_eq!(error.to_string(), "Failed at f/parse, in exec, attempt 2");
    let source = error.source().unwrap();
    assert!(source.is::<Unreadable>());
    assert_eq!(source.source().unwrap().to_string(), "invalid digit found in string");
}

#[tokio::test]
async fn a_run_over_boxed_errors_tells_why_it_was_stopped() {
    let error = parse().run(&mut "7".to_owned(), &run().step_limit(0)).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::StepLimit(0)));
    assert_eq!(error.source().unwrap().to_string(), "the flow did not end within 0 steps");
}

#[tokio::test]
async fn the_trace_tells_the_sources_of_boxed_errors() {
    let error = parse().run(&mut "x".to_owned(), &run()).await.unwrap_err();
    let step = &error.trace.steps[0];
    let told = "not readable: invalid digit found in string".to_owned();
    assert_eq!((&step.failed[0].error, &step.result), (&told, &Err(told.clone())));
}
