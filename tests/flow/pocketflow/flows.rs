//! Chains, branches, loops, ends and nesting: `test_flow_basic.py`, `test_flow_composition.py`,
//! `test_async_flow.py`, `test_flow_none_successor.py`.

use std::time::Duration;

use pflow_store::flow::{Action, Defect, Flow, FlowBuilder, NodeId, Params};

use super::Fault;
use crate::support::{pause, run};

#[derive(Default)]
struct State {
    current: i64,
    signal: &'static str,
    path: &'static str,
}

type Builder = FlowBuilder<State, Fault>;

fn number(flow: &mut Builder, number: i64) -> NodeId {
    flow.act("number", (), move |state, _| state.current = number)
}

fn add(flow: &mut Builder, number: i64) -> NodeId {
    flow.act(format!("add {number}"), (), move |state, _| state.current += number)
}

fn multiply(flow: &mut Builder, number: i64) -> NodeId {
    flow.act("multiply", (), move |state, _| state.current *= number)
}

fn check_positive(flow: &mut Builder) -> NodeId {
    let sign = |state: &mut State| if state.current >= 0 { "positive" } else { "negative" };
    flow.act("check", ["positive", "negative"], move |state, _| sign(state))
}

fn signal(flow: &mut Builder, signal: &'static str) -> NodeId {
    flow.act("signal", signal, move |state, _| {
        state.signal = signal;
        signal
    })
}

fn path(flow: &mut Builder, path: &'static str) -> NodeId {
    flow.act(path, (), move |state, _| state.path = path)
}

/// Waits before it sets the number.
fn slow_number(flow: &mut Builder, number: i64) -> NodeId {
    flow.act_async("slow number", "number_set", move |state, _| {
        Box::pin(async move {
            pause(Duration::from_millis(10)).await;
            state.current = number;
            "number_set"
        })
    })
}

fn slow_increment(flow: &mut Builder) -> NodeId {
    flow.act_async("slow increment", "done", |state, _| {
        Box::pin(async move {
            pause(Duration::from_millis(10)).await;
            state.current += 1;
            "done"
        })
    })
}

/// Runs a flow from a new state; returns the state and the last action.
async fn ran(flow: &mut Builder) -> (State, Action) {
    ran_from(flow, State::default()).await
}

async fn ran_from(flow: &mut Builder, mut state: State) -> (State, Action) {
    let outcome = flow.build().unwrap().run(&mut state, &run()).await.unwrap();
    (state, outcome.action)
}

#[tokio::test]
async fn a_flow_runs_its_start_node() {
    let mut flow = Flow::builder("f");
    let start = number(&mut flow, 5);
    let (state, action) = ran(flow.start(start).end(start, ())).await;
    assert_eq!((state.current, action), (5, Action::DEFAULT));
}

#[tokio::test]
async fn a_chain_runs_in_order() {
    let mut flow = Flow::builder("f");
    let (five, three, double) = (number(&mut flow, 5), add(&mut flow, 3), multiply(&mut flow, 2));
    let (state, action) = ran(flow.start(five).chain([five, three, double]).end(double, ())).await;
    assert_eq!((state.current, action), (16, Action::DEFAULT));
}

#[tokio::test]
async fn connections_one_by_one_are_a_chain() {
    let mut flow = Flow::builder("f");
    let (five, three, double) = (number(&mut flow, 5), add(&mut flow, 3), multiply(&mut flow, 2));
    flow.start(five).connect(five, (), three).connect(three, (), double).end(double, ());
    assert_eq!(ran(&mut flow).await.0.current, 16);
}

#[tokio::test]
async fn a_branch_follows_the_sign() {
    for (begin, expected) in [(5, 15), (-5, -25)] {
        let mut flow = Flow::builder("f");
        let (start, check) = (number(&mut flow, begin), check_positive(&mut flow));
        let (up, down) = (add(&mut flow, 10), add(&mut flow, -20));
        flow.start(start).chain([start, check]).end(up, ()).end(down, ());
        flow.connect(check, "positive", up).connect(check, "negative", down);
        let (state, action) = ran(&mut flow).await;
        assert_eq!((state.current, action), (expected, Action::DEFAULT));
    }
}

#[tokio::test]
async fn a_loop_ends_with_the_signal_of_its_last_node() {
    let mut flow = Flow::builder("f");
    let (ten, check) = (number(&mut flow, 10), check_positive(&mut flow));
    let (less, end) = (add(&mut flow, -3), signal(&mut flow, "cycle_done"));
    flow.start(ten).chain([ten, check]).connect(check, "positive", less).connect(less, (), check);
    flow.connect(check, "negative", end).end(end, "cycle_done");
    let (state, action) = ran(&mut flow).await;
    assert_eq!((state.current, action.as_str()), (-2, "cycle_done"));
}

/// Different on purpose: PocketFlow warns while it runs, and ends the flow.
#[test]
fn a_missing_default_edge_is_refused_when_the_flow_is_built() {
    let mut flow: Builder = Flow::builder("f");
    let start = flow.act("start", (), |_, _| ());
    let next = flow.act("next", (), |_, _| ());
    flow.start(start).connect(start, "specific", next).end(next, ());
    let (node, action) = ("start".to_owned(), Action::DEFAULT);
    let unknown = Defect::UndeclaredAction { node: node.clone(), action: "specific".into() };
    let error = flow.build().unwrap_err();
    assert!(
        error.defects.contains(&Defect::LeadsNowhere { node, action }) && error.defects.contains(&unknown)
    );
}

/// Different on purpose, as above. An end that is declared gives PocketFlow's result.
#[tokio::test]
async fn a_missing_named_edge_is_refused_and_a_declared_end_is_not() {
    let mut flow = Flow::builder("f");
    let start = flow.act("start", ["default", "specific"], |_: &mut State, _| "specific");
    let next = path(&mut flow, "next");
    flow.start(start).chain([start, next]).end(next, ());
    let defect = Defect::LeadsNowhere { node: "start".into(), action: "specific".into() };
    assert_eq!(flow.build().unwrap_err().defects, [defect]);

    let start = flow.act("start", ["default", "specific"], |_: &mut State, _| "specific");
    let next = path(&mut flow, "next");
    let (state, action) =
        ran(flow.start(start).chain([start, next]).end(next, ()).end(start, "specific")).await;
    assert_eq!((state.path, action.as_str()), ("", "specific"));
}

#[tokio::test]
async fn ends_and_edges_of_a_node_coexist() {
    for (action, path, last) in [("end", "", "end"), ("continue", "processed", "processed")] {
        let mut flow = Flow::builder("f");
        let branch = flow.act("branch", ["continue", "end"], |_, visit| {
            let action = visit.params().get("action").and_then(|action| action.as_str());
            action.map(|action| Action::from(action.to_owned())).ok_or_else(|| Fault::from("no action"))
        });
        let process = flow.act("process", "processed", |state: &mut State, _| {
            state.path = "processed";
            "processed"
        });
        flow.start(branch).connect(branch, "continue", process).end(branch, "end");
        flow.end(process, "processed");
        let (mut state, run) = (State::default(), run().params(Params::new().with("action", action)));
        let outcome = flow.build().unwrap().run(&mut state, &run).await.unwrap();
        assert_eq!((state.path, outcome.action.as_str()), (path, last));
    }
}

/// A flow that runs this one and then multiplies.
fn then_multiplied(inner: Flow<State, Fault>, factor: i64) -> Flow<State, Fault> {
    let mut flow = Flow::builder("multiplied");
    let (inner, multiply) = (flow.flow(inner), multiply(&mut flow, factor));
    flow.start(inner).chain([inner, multiply]).end(multiply, ()).build().unwrap()
}

#[tokio::test]
async fn flows_nest_and_follow_one_another() {
    // (5 + 10) * 2 and (5 + 3) * 4 within two flows more; (10 + 10) * 2 with a flow for each part.
    for (begin, more, factor, expected) in [(5, 10, 2, 30), (5, 3, 4, 32), (10, 10, 2, 40)] {
        let mut inner = Flow::builder("inner");
        let (begin, more) = (number(&mut inner, begin), add(&mut inner, more));
        let inner = inner.start(begin).chain([begin, more]).end(more, ()).build().unwrap();
        let middle = then_multiplied(inner, factor);
        let mut outer = Flow::builder("outer");
        let middle = outer.flow(middle);
        assert_eq!(ran(outer.start(middle).end(middle, ())).await.0.current, expected);
    }
}

#[tokio::test]
async fn a_flow_follows_a_flow() {
    let mut first = Flow::builder("first");
    let (ten, more) = (number(&mut first, 10), add(&mut first, 10));
    let first = first.start(ten).chain([ten, more]).end(more, ()).build().unwrap();
    let mut second = Flow::builder("second");
    let double = multiply(&mut second, 2);
    let second = second.start(double).end(double, ()).build().unwrap();
    let mut outer = Flow::builder("outer");
    let (first, second) = (outer.flow(first), outer.flow(second));
    let (state, action) = ran(outer.start(first).chain([first, second]).end(second, ())).await;
    assert_eq!((state.current, action), (40, Action::DEFAULT));
}

/// An inner flow with two ends, and an outer one with a path for each.
fn two_paths(begin: i64, number: fn(&mut Builder, i64) -> (NodeId, &'static str)) -> Builder {
    let mut inner = Flow::builder("inner");
    let ((start, set), check) = (number(&mut inner, begin), check_positive(&mut inner));
    inner.start(start).connect(start, set, check).end(check, "positive").end(check, "negative");
    let mut outer = Flow::builder("outer");
    let inner = outer.flow(inner.build().unwrap());
    let (up, down) = (path(&mut outer, "up"), path(&mut outer, "down"));
    outer.start(inner).connect(inner, "positive", up).connect(inner, "negative", down);
    outer.end(up, ()).end(down, ());
    outer
}

#[tokio::test]
async fn the_last_action_of_an_inner_flow_picks_the_outer_path() {
    for (begin, path) in [(100, "up"), (-100, "down")] {
        let (state, action) =
            ran(&mut two_paths(begin, |flow, begin| (number(flow, begin), "default"))).await;
        assert_eq!((state.current, state.path, action), (begin, path, Action::DEFAULT));
    }
}

/// Different on purpose: PocketFlow allows an edge on an action that the inner flow never returns.
#[test]
fn an_edge_for_an_action_that_no_inner_end_has_is_refused() {
    let mut inner = Flow::builder("inner");
    let end = signal(&mut inner, "inner_done");
    let inner = inner.start(end).end(end, "inner_done").build().unwrap();
    let mut outer: Builder = Flow::builder("outer");
    let (inner, a) = (outer.flow(inner), path(&mut outer, "A"));
    outer.start(inner).connect(inner, "other_action", a).end(inner, "inner_done").end(a, ());
    let defect = Defect::UndeclaredAction { node: "inner".into(), action: "other_action".into() };
    assert_eq!(outer.build().unwrap_err().defects, [defect]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_waits_runs_alone_and_returns_its_action() {
    let mut flow = Flow::builder("f");
    let node = slow_number(&mut flow, 42);
    let (state, action) = ran(flow.start(node).end(node, "number_set")).await;
    assert_eq!((state.current, action.as_str()), (42, "number_set"));

    let node = slow_increment(&mut flow);
    let ten = State { current: 10, ..State::default() };
    let (state, action) = ran_from(flow.start(node).end(node, "done"), ten).await;
    assert_eq!((state.current, action.as_str()), (11, "done"));
}

#[tokio::test(start_paused = true)]
async fn nodes_that_wait_follow_one_another() {
    let mut flow = Flow::builder("f");
    let (start, increment) = (slow_number(&mut flow, 5), slow_increment(&mut flow));
    flow.start(start).connect(start, "number_set", increment).end(increment, "done");
    assert_eq!(ran(&mut flow).await.0.current, 6);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_wait_and_nodes_that_do_not_are_in_one_flow() {
    let mut flow = Flow::builder("f");
    let branch = flow.act_async("branch", ["positive", "negative"], |state: &mut State, _| {
        Box::pin(async move {
            pause(Duration::from_millis(10)).await;
            if state.current >= 0 { "positive" } else { "negative" }
        })
    });
    let (up, down) = (path(&mut flow, "up"), path(&mut flow, "down"));
    flow.start(branch).connect(branch, "positive", up).connect(branch, "negative", down);
    let ten = State { current: 10, ..State::default() };
    assert_eq!(ran_from(flow.end(up, ()).end(down, ()), ten).await.0.path, "up");
}

#[tokio::test(start_paused = true)]
async fn an_inner_flow_that_waits_picks_the_outer_path() {
    for (begin, path) in [(200, "up"), (-200, "down")] {
        let slow = |flow: &mut Builder, begin| (slow_number(flow, begin), "number_set");
        let (state, _) = ran(&mut two_paths(begin, slow)).await;
        assert_eq!((state.current, state.path), (begin, path));
    }
}
