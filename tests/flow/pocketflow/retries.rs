//! Settings of retries: `test_node_params_validation.py`.

use std::time::Duration;

use pflow_store::flow::{Action, Flow, Node, Retry, Visit};

use super::Fault;
use crate::support::run;

/// Counts its attempts and fails at the first ones. The state is the number of the successful one.
struct Counts {
    retry: Retry,
    failing: u32,
}

impl Node<u32, Fault> for Counts {
    type Prep = ();
    type Exec = u32;

    fn retry(&self) -> Retry {
        self.retry
    }

    async fn prep(&self, _: &u32, _: Visit<'_>) -> Result<(), Fault> {
        Ok(())
    }

    async fn exec(&self, (): &(), visit: Visit<'_>) -> Result<u32, Fault> {
        let attempt = visit.attempt();
        if attempt > self.failing { Ok(attempt) } else { Err(format!("fail #{attempt}").into()) }
    }

    async fn post(&self, state: &mut u32, (): (), attempt: u32, _: Visit<'_>) -> Result<Action, Fault> {
        *state = attempt;
        Ok(Action::DEFAULT)
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_succeeds_is_tried_once() {
    let tenth = Duration::from_millis(100);
    for retry in [Retry::default(), Retry::attempts(1), Retry::attempts(3), Retry::ONCE.wait(tenth)] {
        let mut attempt = 0;
        let outcome = Flow::of(Counts { retry, failing: 0 }).run(&mut attempt, &run()).await.unwrap();
        assert_eq!((attempt, outcome.trace.steps[0].duration), (1, Duration::ZERO));
    }
    assert_eq!(Retry::default(), Retry::attempts(1).wait(Duration::ZERO));
}

#[tokio::test]
async fn a_node_that_always_fails_is_tried_as_often_as_allowed() {
    let node = Counts { retry: Retry::attempts(3), failing: 9 };
    let error = Flow::of(node).run(&mut 0, &run()).await.unwrap_err();
    assert_eq!(error.trace.steps[0].attempts, 3);
    assert_eq!(Fault::from(error).source().unwrap().to_string(), "fail #3");
}

/// Different on purpose: PocketFlow 0.0.3 skips `exec` without a word, later versions raise an error. Here no
/// number of attempts is less than one, and no wait is negative.
#[tokio::test]
async fn no_attempts_are_one() {
    let mut attempt = 0;
    Flow::of(Counts { retry: Retry::attempts(0), failing: 0 }).run(&mut attempt, &run()).await.unwrap();
    assert_eq!(attempt, 1);
}
