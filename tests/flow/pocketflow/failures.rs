//! Retries and fallbacks: `test_fall_back.py`.

use pflow_store::flow::{Action, Failure, Flow, Node, Retry, Visit};

use super::Fault;
use crate::support::run;

type Chosen = Result<Action, Fault>;
type Told = &'static str;

#[derive(Default)]
struct State {
    results: Vec<(u32, Told)>,
    last: Vec<(u32, Told)>,
}

/// Succeeds at once, or fails each time and falls back.
struct Falls {
    fails: bool,
    attempts: u32,
}

impl Node<State, Fault> for Falls {
    type Prep = ();
    type Exec = Told;

    fn retry(&self) -> Retry {
        Retry::attempts(self.attempts)
    }

    async fn prep(&self, _: &State, _: Visit<'_>) -> Result<(), Fault> {
        Ok(())
    }

    async fn exec(&self, (): &(), _: Visit<'_>) -> Result<Told, Fault> {
        if self.fails { Err("Intentional failure".into()) } else { Ok("success") }
    }

    async fn exec_fallback(&self, (): &(), _: Failure<Fault>, _: Visit<'_>) -> Result<Told, Failure<Fault>> {
        Ok("fallback")
    }

    async fn post(&self, state: &mut State, (): (), result: Told, visit: Visit<'_>) -> Chosen {
        state.results.push((visit.attempt(), result));
        Ok(Action::DEFAULT)
    }
}

async fn results(node: Falls) -> Vec<(u32, Told)> {
    let mut state = State::default();
    Flow::of(node).run(&mut state, &run()).await.unwrap();
    state.results
}

#[tokio::test]
async fn the_fallback_is_not_called_after_a_success() {
    assert_eq!(results(Falls { fails: false, attempts: 1 }).await, [(1, "success")]);
}

#[tokio::test]
async fn the_fallback_is_called_after_all_attempts() {
    for attempts in [1, 2, 3] {
        assert_eq!(results(Falls { fails: true, attempts }).await, [(attempts, "fallback")]);
    }
}

#[tokio::test]
async fn a_flow_goes_on_with_the_result_of_the_fallback() {
    let mut flow = Flow::builder("f");
    let falls = flow.node(Falls { fails: true, attempts: 1 });
    let last = flow.act("last", (), |state: &mut State, _| state.last.clone_from(&state.results));
    let flow = flow.start(falls).chain([falls, last]).end(last, ()).build().unwrap();
    let mut state = State::default();
    flow.run(&mut state, &run()).await.unwrap();
    assert_eq!(state.last, [(1, "fallback")]);
}

#[tokio::test]
async fn without_a_fallback_the_error_is_returned() {
    struct Fails;
    impl Node<State, Fault> for Fails {
        type Prep = ();
        type Exec = ();
        async fn prep(&self, _: &State, _: Visit<'_>) -> Result<(), Fault> {
            Ok(())
        }
        async fn exec(&self, (): &(), _: Visit<'_>) -> Result<(), Fault> {
            Err("Test error".into())
        }
        async fn post(&self, state: &mut State, (): (), (): (), _: Visit<'_>) -> Chosen {
            state.results.push((0, "post"));
            Ok(Action::DEFAULT)
        }
    }
    let mut state = State::default();
    let error = Flow::of(Fails).run(&mut state, &run()).await.unwrap_err();
    assert_eq!(Fault::from(error).source().unwrap().to_string(), "Test error");
    assert!(state.results.is_empty());
}
