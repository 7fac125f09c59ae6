//! The short forms of a flow: nodes that only act, chains, unlabelled ends, names, single nodes.

use std::time::Duration;

use crate::support::{Oops, pause, run};
use pflow_store::flow::{
    Action, BatchFlow, BatchNode, Defect, Flow, FlowBuilder, Node, Params, Phase, Visit,
};

/// Adds its number to the state. It has no name of its own.
struct Add(i64);

impl Node<i64, Oops> for Add {
    type Prep = i64;
    type Exec = i64;

    async fn prep(&self, state: &i64, _: Visit<'_>) -> Result<i64, Oops> {
        Ok(*state)
    }

    async fn exec(&self, number: &i64, _: Visit<'_>) -> Result<i64, Oops> {
        Ok(number + self.0)
    }

    async fn post(&self, state: &mut i64, _: i64, sum: i64, _: Visit<'_>) -> Result<Action, Oops> {
        *state = sum;
        Ok(if sum < 0 { "negative".into() } else { Action::DEFAULT })
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, Action::named("negative")] }
    }
}

#[tokio::test]
async fn a_node_that_only_acts_writes_the_state_and_chooses() {
    let mut flow = Flow::<i64, Oops>::builder("countdown");
    let subtract = flow.act("subtract", (), |number, _| *number -= 3);
    let check = flow.act(
        "check",
        ["again", "below_zero"],
        |number, _| {
            if *number >= 0 { "again" } else { "below_zero" }
        },
    );
    let flow = flow
        .start(subtract)
        .chain([subtract, check])
        .connect(check, "again", subtract)
        .end(check, "below_zero")
        .build()
        .unwrap();
    let mut number = 10;
    let outcome = flow.run(&mut number, &run()).await.unwrap();
    assert_eq!((number, outcome.action.as_str()), (-2, "below_zero"));
    let step = &outcome.trace.steps[0];
    assert_eq!((step.path.to_string().as_str(), step.attempts), ("countdown/subtract", 0));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_only_acts_may_await() {
    let mut flow = Flow::<i64, Oops>::builder("f");
    let wait = flow.act_async("wait", (), |number, visit| {
        Box::pin(async move {
            pause(Duration::from_secs(1)).await;
            *number += visit.params().get("more").and_then(|more| more.as_i64()).ok_or(Oops("no more"))?;
            Ok(())
        })
    });
    let flow = flow.start(wait).end(wait, ()).build().unwrap();
    let mut number = 1;
    let outcome = flow.run(&mut number, &run().params(Params::new().with("more", 2))).await.unwrap();
    assert_eq!(number, 3);
    assert_eq!(outcome.trace.steps[0].duration, Duration::from_secs(1));
}

#[tokio::test]
async fn an_error_of_a_node_that_only_acts_has_its_place() {
    let mut flow = Flow::<i64, Oops>::builder("f");
    let act = flow.act("act", (), |_, _| Err::<(), _>(Oops("unwritable")));
    let error = flow.start(act).end(act, ()).build().unwrap().run(&mut 0, &run()).await.unwrap_err();
    assert_eq!((error.path.to_string().as_str(), error.phase), ("f/act", Phase::Post));
}

#[tokio::test]
async fn a_node_that_only_acts_may_have_a_state_that_borrows() {
    let text = String::from("word");
    let mut state = vec![text.as_str()];
    let mut flow: FlowBuilder<Vec<&str>, Oops> = Flow::builder("f");
    let push = flow.act("push", (), |words, _| words.push("more"));
    flow.start(push).end(push, ()).build().unwrap().run(&mut state, &run()).await.unwrap();
    assert_eq!(state, ["word", "more"]);
}

#[tokio::test]
async fn a_chain_connects_its_nodes_by_default() {
    let mut flow = Flow::<Vec<u8>, Oops>::builder("f");
    let [a, b, c] = [1, 2, 3]
        .map(|number| flow.act(format!("push {number}"), (), move |numbers, _| numbers.push(number)));
    let mut numbers = Vec::new();
    let flow = flow.start(a).chain([a, b, c]).end(c, ()).build().unwrap();
    assert_eq!(flow.run(&mut numbers, &run()).await.unwrap().action, Action::DEFAULT);
    assert_eq!(numbers, [1, 2, 3]);
}

#[tokio::test]
async fn two_nodes_of_one_type_can_be_in_a_flow() {
    let mut flow = Flow::builder("f");
    let (a, b) = (flow.node_as("first", Add(1)), flow.node_as("second", Add(2)));
    flow.start(a).chain([a, b]).end(b, ()).end(a, "negative").end(b, "negative");
    let mut number = 0;
    let outcome = flow.build().unwrap().run(&mut number, &run()).await.unwrap();
    assert_eq!(number, 3);
    let paths: Vec<_> = outcome.trace.steps.iter().map(|step| step.path.to_string()).collect();
    assert_eq!(paths, ["f/first", "f/second"]);
}

#[tokio::test]
async fn every_kind_of_node_can_have_another_name() {
    struct Items;
    impl BatchNode<i64, Oops> for Items {
        type Item = ();
        type Output = ();
        async fn prep(&self, _: &i64, _: Visit<'_>) -> Result<Vec<()>, Oops> {
            Ok(Vec::new())
        }
        async fn exec(&self, (): &(), _: Visit<'_>) -> Result<(), Oops> {
            Ok(())
        }
        async fn post(&self, _: &mut i64, _: Vec<()>, _: Vec<()>, _: Visit<'_>) -> Result<Action, Oops> {
            Ok(Action::DEFAULT)
        }
    }
    let sets = |_: &i64, _: &Params| Ok(vec![Params::new()]);
    let mut flow = Flow::builder("f");
    let nodes = vec![
        flow.batch_as("items", Items),
        flow.flow_as("flow", Flow::of_batch(Items)),
        flow.batch_flow_as("passes", BatchFlow::new(Flow::of_batch(Items), sets)),
        flow.node_as("node", Add(1)),
    ];
    let last = nodes[3];
    flow.start(nodes[0]).chain(nodes).end(last, ()).end(last, "negative");
    let outcome = flow.build().unwrap().run(&mut 0, &run()).await.unwrap();
    let paths: Vec<_> = outcome.trace.steps.iter().map(|step| step.path.to_string()).collect();
    assert_eq!(paths, ["f/items", "f/flow/Items", "f/flow", "f/passes[0]/Items", "f/passes", "f/node"]);
}

#[test]
fn nodes_are_named_like_their_types() {
    struct Generic<T>(T);
    impl<T: Send + Sync> BatchNode<(), Oops> for Generic<T> {
        type Item = ();
        type Output = ();
        async fn prep(&self, (): &(), _: Visit<'_>) -> Result<Vec<()>, Oops> {
            Ok(Vec::new())
        }
        async fn exec(&self, (): &(), _: Visit<'_>) -> Result<(), Oops> {
            Ok(())
        }
        async fn post(&self, (): &mut (), _: Vec<()>, _: Vec<()>, _: Visit<'_>) -> Result<Action, Oops> {
            Ok(Action::DEFAULT)
        }
    }
    assert_eq!(Node::<i64, Oops>::name(&Add(1)), "Add");
    let node = Generic(Some(Vec::<std::string::String>::new()));
    assert_eq!(node.name(), "Generic");
    assert!(node.0.is_some());
}

#[tokio::test]
async fn a_single_node_runs_and_ends_with_its_action() {
    for (start, expected, action) in [(1, 3, "default"), (-5, -3, "negative")] {
        let mut number = start;
        let outcome = Flow::of(Add(2)).run(&mut number, &run()).await.unwrap();
        assert_eq!((number, outcome.action.as_str()), (expected, action));
        assert_eq!(outcome.trace.steps[0].path.to_string(), "Add/Add");
    }
}

#[test]
fn ends_without_a_label_are_drawn_as_one() {
    let drawn = Flow::of(Add(1)).mermaid();
    assert!(drawn.contains("e0([\"End\"])"), "{drawn}");
    assert_eq!(drawn.matches("End").count(), 1, "{drawn}");
}

#[test]
fn a_builder_is_empty_after_it_has_built() {
    let mut flow = Flow::<i64, Oops>::builder("f");
    let node = flow.node(Add(1));
    flow.start(node).end(node, ()).end(node, "negative").build().unwrap();
    assert_eq!(flow.build().unwrap_err().defects, [Defect::MissingStart]);
    let defects = flow.start(node).build().unwrap_err().defects;
    assert_eq!(defects, [Defect::ForeignNode, Defect::MissingStart]);
}
