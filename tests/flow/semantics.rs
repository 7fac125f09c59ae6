//! How a flow finds its way: chains, branches, loops, ends, nesting, params.

use crate::support::{Calc, Oops, alone, calc, chain, nop, run};
use pflow_store::flow::{Action, Flow, FlowBuilder, Node, Params, Visit};

#[tokio::test]
async fn a_linear_chain_runs_in_order() {
    let nodes = vec![calc("five", |_| 5), calc("add", |n| n + 10), calc("double", |n| n * 2)];
    let mut state = 0;
    let outcome = chain("linear", nodes).unwrap().run(&mut state, &run()).await.unwrap();
    assert_eq!(state, 30);
    assert_eq!(outcome.action, Action::DEFAULT);
}

/// `check` looks at the sign; then 20 is added or taken away.
fn branching() -> Flow<i64, Oops> {
    let mut builder = Flow::builder("branch");
    let sign = |n| if n >= 0 { "positive" } else { "negative" };
    let check = builder.node(nop("check").choosing(&["positive", "negative"], sign));
    let add = builder.node(calc("add", |n| n + 20));
    let subtract = builder.node(calc("subtract", |n| n - 20));
    builder.start(check).connect(check, "positive", add).connect(check, "negative", subtract);
    builder.end(add, "default").end(subtract, "default");
    builder.build().unwrap()
}

#[tokio::test]
async fn a_branch_follows_the_sign() {
    for (number, expected) in [(5, 25), (-5, -25)] {
        let mut state = number;
        branching().run(&mut state, &run()).await.unwrap();
        assert_eq!(state, expected);
    }
}

#[tokio::test]
async fn a_loop_counts_down_and_ends_with_a_named_action() {
    let mut builder = Flow::builder("countdown");
    let subtract = builder.node(calc("subtract", |n| n - 3));
    let sign = |n| if n >= 0 { "again" } else { "below_zero" };
    let check = builder.node(nop("check").choosing(&["again", "below_zero"], sign));
    builder.start(subtract).connect(subtract, "default", check).connect(check, "again", subtract);
    builder.end(check, "below_zero");
    let mut state = 10;
    let outcome = builder.build().unwrap().run(&mut state, &run()).await.unwrap();
    assert_eq!(state, -2);
    assert_eq!(outcome.action, "below_zero");
    assert_eq!(outcome.trace.steps.len(), 8, "four rounds of two nodes");
}

#[tokio::test]
async fn an_action_that_ends_the_flow_never_takes_the_default_edge() {
    let mut builder = Flow::builder("unknown");
    let only_default = builder.node(nop("first").choosing(&["default", "unknown"], |_| "unknown"));
    let next = builder.node(calc("next", |_| 99));
    builder.start(only_default).connect(only_default, "default", next);
    builder.end(only_default, "unknown").end(next, "default");
    let mut state = 1;
    let outcome = builder.build().unwrap().run(&mut state, &run()).await.unwrap();
    assert_eq!(state, 1, "`next` must not have run");
    assert_eq!(outcome.action, "unknown");
}

#[tokio::test]
async fn an_empty_action_is_the_default_one() {
    let mut builder = Flow::builder("empty");
    let first = builder.node(nop("first").choosing(&["default"], |_| ""));
    let next = builder.node(calc("next", |_| 7));
    builder.start(first).connect(first, "", next).end(next, "");
    let mut state = 0;
    let outcome = builder.build().unwrap().run(&mut state, &run()).await.unwrap();
    assert_eq!((state, outcome.action), (7, Action::DEFAULT));
}

/// Runs `inner` and then `after`.
fn around(name: &str, inner: Flow<i64, Oops>, after: Calc) -> Flow<i64, Oops> {
    let mut builder = Flow::builder(name);
    let inner = builder.flow(inner);
    let after = builder.node(after);
    builder.start(inner).connect(inner, "default", after).end(after, "default");
    builder.build().unwrap()
}

#[tokio::test]
async fn a_flow_runs_within_a_flow_within_a_flow() {
    let innermost = chain("innermost", vec![calc("add", |n| n + 1), calc("add_more", |n| n + 2)]).unwrap();
    let middle = around("middle", innermost, calc("times", |n| n * 10));
    let outer = around("outer", middle, calc("minus", |n| n - 4));
    let mut state = 2;
    let outcome = outer.run(&mut state, &run()).await.unwrap();
    assert_eq!(state, (2 + 1 + 2) * 10 - 4);
    let paths: Vec<_> = outcome.trace.steps.iter().map(|step| step.path.to_string()).collect();
    assert_eq!(
        paths,
        [
            "outer/middle/innermost/add",
            "outer/middle/innermost/add_more",
            "outer/middle/innermost",
            "outer/middle/times",
            "outer/middle",
            "outer/minus",
        ]
    );
}

#[tokio::test]
async fn the_inner_flows_last_action_picks_the_outer_path() {
    for (number, expected) in [(3, "went up"), (-3, "went down")] {
        let sign = |n| if n >= 0 { "up" } else { "down" };
        let inner = alone("inner", nop("look").choosing(&["up", "down"], sign));
        let mut builder = Flow::builder("outer");
        let inner = builder.flow(inner);
        let up = builder.node(nop("up").choosing(&["went up"], |_| "went up"));
        let down = builder.node(nop("down").choosing(&["went down"], |_| "went down"));
        builder.start(inner).connect(inner, "up", up).connect(inner, "down", down);
        builder.end(up, "went up").end(down, "went down");
        let mut state = number;
        let outcome = builder.build().unwrap().run(&mut state, &run()).await.unwrap();
        assert_eq!(outcome.action, expected);
    }
}

#[tokio::test]
async fn one_flow_serves_runs_at_the_same_time() {
    let flow = branching();
    let (mut up, mut down) = (1, -1);
    let run = run();
    let (first, second) = tokio::join!(flow.run(&mut up, &run), flow.run(&mut down, &run));
    assert_eq!((first.is_ok(), second.is_ok(), up, down), (true, true, 21, -21));
}

/// Adds the param `n` to the state, in all three parts of its visit.
struct AddParam;

fn n(visit: Visit<'_>) -> i64 {
    visit.params().get("n").and_then(serde_json::Value::as_i64).unwrap_or(1000)
}

impl Node<i64, Oops> for AddParam {
    type Prep = i64;
    type Exec = i64;

    fn name(&self) -> &str {
        "add_param"
    }

    async fn prep(&self, _: &i64, visit: Visit<'_>) -> Result<i64, Oops> {
        Ok(n(visit))
    }

    async fn exec(&self, prep: &i64, visit: Visit<'_>) -> Result<i64, Oops> {
        Ok(prep * 10 + n(visit))
    }

    async fn post(&self, state: &mut i64, _: i64, exec: i64, visit: Visit<'_>) -> Result<Action, Oops> {
        *state += exec * 10 + n(visit);
        Ok(Action::DEFAULT)
    }
}

#[tokio::test]
async fn every_node_of_the_run_sees_its_params_in_nested_flows_too() {
    let flow = around("outer", alone("inner", AddParam), nop("after"));
    let mut state = 0;
    flow.run(&mut state, &run().params(Params::new().with("n", 4))).await.unwrap();
    assert_eq!(state, 444);
}

#[tokio::test]
async fn a_state_may_borrow_when_no_flow_is_nested() {
    struct Push;
    impl<'s> Node<Vec<&'s str>, Oops> for Push {
        type Prep = &'s str;
        type Exec = ();

        fn name(&self) -> &str {
            "push"
        }
        async fn prep(&self, state: &Vec<&'s str>, _: Visit<'_>) -> Result<&'s str, Oops> {
            state.first().copied().ok_or(Oops("empty"))
        }
        async fn exec(&self, _: &&'s str, _: Visit<'_>) -> Result<(), Oops> {
            Ok(())
        }
        async fn post(
            &self,
            state: &mut Vec<&'s str>,
            first: &'s str,
            (): (),
            _: Visit<'_>,
        ) -> Result<Action, Oops> {
            state.push(first);
            Ok(Action::DEFAULT)
        }
    }
    let text = String::from("word");
    let mut state = vec![text.as_str()];
    let mut builder: FlowBuilder<Vec<&str>, Oops> = Flow::builder("borrowing");
    let push = builder.node(Push);
    builder.start(push).end(push, "default");
    builder.build().unwrap().run(&mut state, &run()).await.unwrap();
    assert_eq!(state, ["word", "word"]);
}
