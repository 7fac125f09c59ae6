//! What is checked when a flow is built, and that a random flow goes the way its edges say.

use std::collections::BTreeSet;

use crate::support::{Oops, chain, nop, run};
use pflow_store::flow::{Action, Cause, Defect, Flow, FlowBuilder, Node, Visit};
use proptest::prelude::*;

fn builder() -> FlowBuilder<i64, Oops> {
    Flow::builder("f")
}

fn defects(mut builder: FlowBuilder<i64, Oops>) -> Vec<Defect> {
    builder.build().unwrap_err().defects
}

fn leads_nowhere(node: &str, action: &'static str) -> Defect {
    Defect::LeadsNowhere { node: node.into(), action: action.into() }
}

#[test]
fn a_flow_without_a_start_is_refused() {
    assert_eq!(defects(builder()), [Defect::MissingStart]);
    let mut unstarted = builder();
    let node = unstarted.node(nop("node"));
    unstarted.end(node, "default");
    assert_eq!(defects(unstarted), [Defect::MissingStart]);
}

#[test]
fn a_second_start_is_refused() {
    let mut builder = builder();
    let (a, b) = (builder.node(nop("a")), builder.node(nop("b")));
    builder.start(a).connect(a, "default", b).end(b, "default").start(b);
    assert_eq!(defects(builder), [Defect::SeveralStarts]);
}

#[test]
fn a_declared_action_that_leads_nowhere_is_refused() {
    let mut builder = builder();
    let node = builder.node(nop("node").choosing(&["default", "write_error"], |_| "default"));
    builder.start(node).end(node, "default");
    assert_eq!(defects(builder), [leads_nowhere("node", "write_error")]);
}

#[test]
fn an_edge_on_an_undeclared_action_is_refused() {
    let mut builder = builder();
    let node = builder.node(nop("node"));
    builder.start(node).end(node, "default").connect(node, "write_eror", node);
    let expected = Defect::UndeclaredAction { node: "node".into(), action: "write_eror".into() };
    assert_eq!(defects(builder), [expected]);
}

#[test]
fn two_edges_on_one_action_are_refused() {
    let mut builder = builder();
    let node = builder.node(nop("node"));
    builder.start(node).end(node, "default").connect(node, "", node);
    let expected = Defect::DuplicateEdge { node: "node".into(), action: Action::DEFAULT };
    assert_eq!(defects(builder), [expected]);
}

#[test]
fn two_nodes_of_one_name_are_refused() {
    let error = chain("f", vec![nop("a"), nop("b"), nop("a")]).unwrap_err();
    assert_eq!(error.defects, [Defect::DuplicateName { node: "a".into() }]);
}

#[test]
fn an_unreachable_node_is_refused_even_if_it_leads_back() {
    let mut builder = builder();
    let (a, b, c) = (builder.node(nop("a")), builder.node(nop("b")), builder.node(nop("c")));
    builder.start(a).end(a, "default").connect(b, "default", c).connect(c, "default", a);
    let unreachable = ["b", "c"].map(|node| Defect::Unreachable { node: node.into() });
    assert_eq!(defects(builder), unreachable);
}

#[test]
fn a_handle_of_another_builder_is_refused() {
    let mut other = builder();
    let foreign = other.node(nop("foreign"));
    let mut builder = builder();
    let node = builder.node(nop("node"));
    builder.start(node).end(node, "default").connect(foreign, "default", node);
    assert_eq!(defects(builder), [Defect::ForeignNode]);
}

#[test]
fn a_nested_flow_declares_its_ends() {
    let mut inner = builder();
    let node = inner.node(nop("node").choosing(&["a", "b"], |_| "a"));
    inner.start(node).end(node, "a").end(node, "b");
    let mut outer = Flow::builder("outer");
    let inner = outer.flow(inner.build().unwrap());
    outer.start(inner).end(inner, "a");
    assert_eq!(defects(outer), [leads_nowhere("f", "b")]);
}

#[test]
fn loops_are_legal() {
    let mut builder = builder();
    let (a, b) = (builder.node(nop("a")), builder.node(nop("b")));
    builder.start(a).connect(a, "default", b).connect(b, "default", a);
    builder.build().unwrap();
}

#[test]
fn all_defects_are_reported_together() {
    let mut builder = Flow::builder("save");
    let (a, _) = (builder.node(nop("a")), builder.node(nop("b")));
    builder.start(a).connect(a, "oops", a);
    let error = builder.build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "Failed to build flow `save`: action `default` of node `a` leads nowhere; action `default` of node \
         `b` leads nowhere; node `a` does not declare action `oops`, which an edge leaves it on; node `b` \
         cannot be reached from the start"
    );
}

const ACTIONS: [&str; 3] = ["default", "x", "y"];

/// A flow on paper: for each node its declared actions, and for each action where it leads (`None`: an end).
#[derive(Clone, Debug)]
struct Paper {
    nodes: Vec<PaperNode>,
    starts: Vec<usize>,
}

#[derive(Clone, Debug)]
struct PaperNode {
    name: usize,
    declared: [bool; 3],
    edges: [Vec<Option<usize>>; 3],
}

/// Papers of which a good part is free of defects: most nodes have a name of their own and edges where they
/// should be.
fn papers() -> impl Strategy<Value = Paper> {
    (1usize..=4).prop_flat_map(|count| {
        let targets = prop::collection::vec(prop::option::weighted(0.7, 0..count), 2);
        let action = (prop::bool::weighted(0.5), targets, 0..30).prop_map(|(declared, mut targets, slip)| {
            // As many edges as there should be; seldom none, or one too many.
            targets.truncate(match slip {
                0 => 0,
                1 => usize::from(declared) + 1,
                _ => usize::from(declared),
            });
            (declared, targets)
        });
        let node = (0..60, prop::array::uniform3(action));
        let starts = prop_oneof![20 => Just(vec![0]), 1 => Just(vec![]), 1 => Just(vec![0, count - 1])];
        (prop::collection::vec(node, count), starts).prop_map(|(nodes, starts)| {
            let nodes = nodes.into_iter().enumerate().map(|(at, (slip, actions))| PaperNode {
                name: if slip == 0 { 0 } else { at },
                declared: actions.each_ref().map(|(declared, _)| *declared),
                edges: actions.map(|(_, targets)| targets),
            });
            Paper { nodes: nodes.collect(), starts }
        })
    })
}

/// Returns its declared actions in turn, by how many nodes were visited before.
struct Turns {
    name: String,
    actions: Vec<Action>,
}

impl Node<Vec<String>, Oops> for Turns {
    type Prep = usize;
    type Exec = Action;

    fn name(&self) -> &str {
        &self.name
    }

    fn actions(&self) -> &[Action] {
        &self.actions
    }

    async fn prep(&self, visited: &Vec<String>, _: Visit<'_>) -> Result<usize, Oops> {
        Ok(visited.len())
    }

    async fn exec(&self, visited: &usize, _: Visit<'_>) -> Result<Action, Oops> {
        Ok(self.actions[visited % self.actions.len()].clone())
    }

    async fn post(
        &self,
        visited: &mut Vec<String>,
        _: usize,
        action: Action,
        _: Visit<'_>,
    ) -> Result<Action, Oops> {
        visited.push(self.name.clone());
        Ok(action)
    }
}

impl Paper {
    fn declared(&self, at: usize) -> Vec<usize> {
        (0..3).filter(|&action| self.nodes[at].declared[action]).collect()
    }

    fn name(&self, at: usize) -> String {
        format!("n{}", self.nodes[at].name)
    }

    fn builder(&self) -> FlowBuilder<Vec<String>, Oops> {
        let mut builder = Flow::builder("paper");
        let add = |at| {
            let actions = self.declared(at).into_iter().map(|action| ACTIONS[action].into()).collect();
            builder.node(Turns { name: self.name(at), actions })
        };
        let ids: Vec<_> = (0..self.nodes.len()).map(add).collect();
        for (at, node) in self.nodes.iter().enumerate() {
            for (action, targets) in node.edges.iter().enumerate() {
                for target in targets {
                    match target {
                        Some(to) => builder.connect(ids[at], ACTIONS[action], ids[*to]),
                        None => builder.end(ids[at], ACTIONS[action]),
                    };
                }
            }
        }
        for &start in &self.starts {
            builder.start(ids[start]);
        }
        builder
    }

    /// The defects, by the definition and not by the way that the builder finds them.
    fn defects(&self) -> BTreeSet<Defect> {
        let mut defects = BTreeSet::new();
        let count = self.nodes.len();
        match self.starts.len() {
            0 => defects.insert(Defect::MissingStart),
            1 => true,
            _ => defects.insert(Defect::SeveralStarts),
        };
        // reach[a][b]: b can be reached from a, by Warshall's closure.
        let mut reach = vec![vec![false; count]; count];
        for (at, node) in self.nodes.iter().enumerate() {
            reach[at][at] = true;
            node.edges.iter().flatten().flatten().for_each(|&to| reach[at][to] = true);
        }
        for (via, from, to) in
            (0..count).flat_map(|v| (0..count).flat_map(move |f| (0..count).map(move |t| (v, f, t))))
        {
            reach[from][to] |= reach[from][via] && reach[via][to];
        }
        for (at, paper_node) in self.nodes.iter().enumerate() {
            let node = self.name(at);
            if self.nodes[..at].iter().any(|earlier| earlier.name == paper_node.name) {
                defects.insert(Defect::DuplicateName { node: node.clone() });
            }
            if !self.starts.is_empty() && !self.starts.iter().any(|&start| reach[start][at]) {
                defects.insert(Defect::Unreachable { node: node.clone() });
            }
            if !paper_node.declared.contains(&true) {
                defects.insert(Defect::NoActions { node: node.clone() });
            }
            for (number, name) in ACTIONS.iter().enumerate() {
                let (node, action) = (node.clone(), Action::named(name));
                let edges = paper_node.edges[number].len();
                if edges > 1 {
                    defects.insert(Defect::DuplicateEdge { node: node.clone(), action: action.clone() });
                }
                match (paper_node.declared[number], edges) {
                    (true, 0) => defects.insert(Defect::LeadsNowhere { node, action }),
                    (false, 1..) => defects.insert(Defect::UndeclaredAction { node, action }),
                    _ => true,
                };
            }
        }
        defects
    }

    /// The nodes that a run of at most `limit` steps visits, and the action it ends with if it does.
    fn walk(&self, limit: usize) -> (Vec<String>, Option<&'static str>) {
        let mut visited = Vec::new();
        let mut at = self.starts[0];
        while visited.len() < limit {
            let declared = self.declared(at);
            let turn = visited.len() % declared.len();
            visited.push(self.name(at));
            match self.nodes[at].edges[declared[turn]][0] {
                Some(next) => at = next,
                None => return (visited, Some(ACTIONS[declared[turn]])),
            }
        }
        (visited, None)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_flow_is_built_exactly_if_it_has_no_defect(paper in papers()) {
        let expected = paper.defects();
        match paper.builder().build() {
            Err(error) => {
                prop_assert!(!error.defects.is_empty());
                prop_assert_eq!(error.defects.into_iter().collect::<BTreeSet<_>>(), expected);
            }
            Ok(flow) => {
                prop_assert_eq!(BTreeSet::new(), expected);
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let mut visited = Vec::new();
                let result = runtime.block_on(flow.run(&mut visited, &run().step_limit(30)));
                let (path, action) = paper.walk(30);
                prop_assert_eq!(visited, path);
                match result {
                    Ok(outcome) => prop_assert_eq!(Some(outcome.action.as_str()), action),
                    Err(error) => {
                        prop_assert!(matches!(error.cause(), Cause::StepLimit(30)));
                        prop_assert_eq!(None, action);
                    }
                }
            }
        }
    }
}

#[test]
fn a_node_or_a_post_without_actions_is_a_defect() {
    let mut endless = Flow::<i64, Oops>::builder("endless");
    let node = endless.act("node", (), |_, _| ());
    let endless = endless.start(node).connect(node, (), node).build().unwrap();

    let mut flow = Flow::<i64, Oops>::builder("f");
    let mute = flow.act("mute", [""; 0], |_, _| Action::DEFAULT);
    let endless = flow.flow(endless);
    let first = flow.act("first", ["a", "b"], |_, _| "a");
    flow.start(first).connect(first, "a", mute).connect(first, "b", endless);
    flow.around([""; 0], |_, _| Ok(()), |_, (), _, _| Action::DEFAULT);
    let no_actions = |node: &str| Defect::NoActions { node: node.to_owned() };
    let expected = [no_actions("endless"), no_actions("f"), no_actions("mute"), Defect::PostWithoutEnd];
    assert_eq!(flow.build().unwrap_err().defects, expected);
}
