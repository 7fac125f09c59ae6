//! The flow runner alone: a node with retries, nodes that only act, a branch, and a batch flow that runs its
//! passes side by side. `cargo run -p examples --bin flow`

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::{error::Error, time::Duration};

use pflow_store::flow::{Action, BatchFlow, Flow, Node, Params, Retry, Run, Visit};

type Fault = Box<dyn Error + Send + Sync>;

#[derive(Default)]
struct State {
    pages: Vec<&'static str>,
    words: usize,
}

/// Counts the words of the page that the params name. The first attempt fails.
struct Count;

impl Node<State, Fault> for Count {
    type Prep = &'static str;
    type Exec = usize;

    fn retry(&self) -> Retry {
        Retry::attempts(3).wait(Duration::from_millis(100))
    }

    async fn prep(&self, state: &State, visit: Visit<'_>) -> Result<&'static str, Fault> {
        let page = visit.params().get("page").and_then(|page| page.as_u64()).ok_or("no page")?;
        Ok(state.pages.get(usize::try_from(page)?).ok_or("no such page")?)
    }

    async fn exec(&self, page: &&'static str, visit: Visit<'_>) -> Result<usize, Fault> {
        if visit.attempt() == 1 { Err("the network is busy".into()) } else { Ok(page.split(' ').count()) }
    }

    async fn post(
        &self,
        state: &mut State,
        _: &'static str,
        words: usize,
        _: Visit<'_>,
    ) -> Result<Action, Fault> {
        state.words += words;
        Ok(Action::DEFAULT)
    }
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    // One pass for each page, at most four at a time. Each pass has a fork of the state, which begins with no
    // words, because the join adds them up.
    let pages = |state: &State, _: &Params| {
        Ok((0..state.pages.len()).map(|page| Params::new().with("page", page)).collect())
    };
    let fork = |state: &State, _: &Params| State { pages: state.pages.clone(), words: 0 };
    let count = BatchFlow::new(Flow::of(Count), pages).concurrency(4, fork, |state, _, own| {
        state.words += own.words;
        Ok(())
    });

    let mut flow = Flow::<State, Fault>::builder("read");
    let load = flow.act("load", (), |state, _| state.pages = vec!["one two", "three four five"]);
    let count = flow.batch_flow_as("count all", count);
    let check =
        flow.act("check", ["short", "long"], |state, _| if state.words < 10 { "short" } else { "long" });
    flow.start(load).chain([load, count, check]);
    flow.end_as(check, "short", "Read at once").end_as(check, "long", "Read later");
    let flow = flow.build()?;
    println!("{}", flow.mermaid());

    let mut state = State::default();
    let outcome = flow.run(&mut state, &Run::system()?).await?;
    println!("{} words: {}", state.words, outcome.action);
    for step in outcome.trace.steps {
        println!("  {} {:?}, {} attempts", step.path, step.result, step.attempts);
    }
    Ok(())
}
