//! What the tests of the flow runner share: a timer over tokio's paused clock, and small nodes over a number.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pflow_store::flow::{Action, Flow, FlowBuilder, GraphError, Node, Run, Timer, Visit};
use tokio_util::sync::CancellationToken;

/// The error of all test nodes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Oops(pub(crate) &'static str);

/// Sleeps by tokio's clock, which tests pause, and remembers how long it was asked to.
pub(crate) struct TestTimer {
    start: tokio::time::Instant,
    random: f64,
    pub(crate) sleeps: Mutex<Vec<Duration>>,
}

impl TestTimer {
    pub(crate) fn new() -> Arc<Self> {
        Self::with_random(0.0)
    }

    /// `random` is what chance always says.
    #[allow(clippy::disallowed_methods, reason = "this is the injected clock; tests pause it")]
    pub(crate) fn with_random(random: f64) -> Arc<Self> {
        Arc::new(Self { start: tokio::time::Instant::now(), random, sleeps: Mutex::default() })
    }

    pub(crate) fn slept(&self) -> Vec<Duration> {
        self.sleeps.lock().unwrap().clone()
    }
}

#[async_trait]
impl Timer for TestTimer {
    #[allow(clippy::disallowed_methods, reason = "this is the injected clock; tests pause it")]
    async fn sleep(&self, duration: Duration) {
        self.sleeps.lock().unwrap().push(duration);
        tokio::time::sleep(duration).await;
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn jitter(&self) -> f64 {
        self.random
    }
}

/// A run that waits by tokio's clock.
pub(crate) fn run() -> Run {
    Run::new(TestTimer::new())
}

/// Waits inside a node, by tokio's clock.
#[allow(clippy::disallowed_methods, reason = "tests pause the clock")]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Cancels `token` after `delay`, in a task of its own.
pub(crate) fn cancel_after(token: &CancellationToken, delay: Duration) {
    let token = token.clone();
    tokio::spawn(async move {
        pause(delay).await;
        token.cancel();
    });
}

/// Computes a new number from the state, and an action from the new number.
pub(crate) struct Calc {
    name: &'static str,
    actions: Vec<Action>,
    compute: Box<dyn Fn(i64) -> i64 + Send + Sync>,
    choose: Box<dyn Fn(i64) -> Action + Send + Sync>,
}

/// A node that computes and returns `default`.
pub(crate) fn calc(name: &'static str, compute: impl Fn(i64) -> i64 + Send + Sync + 'static) -> Calc {
    Calc {
        name,
        actions: vec![Action::DEFAULT],
        compute: Box::new(compute),
        choose: Box::new(|_| Action::DEFAULT),
    }
}

/// A node that computes nothing and returns `default`.
pub(crate) fn nop(name: &'static str) -> Calc {
    calc(name, |number| number)
}

impl Calc {
    /// Returns one of `actions`, chosen by the new number.
    pub(crate) fn choosing(
        self,
        actions: &[&'static str],
        choose: impl Fn(i64) -> &'static str + Send + Sync + 'static,
    ) -> Self {
        let actions = actions.iter().map(|&name| name.into()).collect();
        Self { actions, choose: Box::new(move |number| choose(number).into()), ..self }
    }
}

impl Node<i64, Oops> for Calc {
    type Prep = i64;
    type Exec = i64;

    fn name(&self) -> &str {
        self.name
    }

    fn actions(&self) -> &[Action] {
        &self.actions
    }

    async fn prep(&self, state: &i64, _: Visit<'_>) -> Result<i64, Oops> {
        Ok(*state)
    }

    async fn exec(&self, number: &i64, _: Visit<'_>) -> Result<i64, Oops> {
        Ok((self.compute)(*number))
    }

    async fn post(&self, state: &mut i64, _: i64, computed: i64, _: Visit<'_>) -> Result<Action, Oops> {
        *state = computed;
        Ok((self.choose)(computed))
    }
}

/// A flow of one node, all of whose actions end it.
pub(crate) fn alone<S, E, N>(name: &str, node: N) -> Flow<S, E>
where
    S: Send + Sync,
    E: std::error::Error + Send + Sync + 'static,
    N: Node<S, E> + 'static,
{
    let actions = node.actions().to_vec();
    let mut builder = Flow::builder(name);
    let only = builder.node(node);
    builder.start(only);
    for action in actions {
        builder.end(only, action);
    }
    builder.build().unwrap()
}

/// A flow of nodes that follow one another on `default`.
pub(crate) fn chain(name: &str, nodes: Vec<Calc>) -> Result<Flow<i64, Oops>, GraphError> {
    let mut builder: FlowBuilder<i64, Oops> = Flow::builder(name);
    let ids: Vec<_> = nodes.into_iter().map(|node| builder.node(node)).collect();
    for pair in ids.windows(2) {
        builder.connect(pair[0], Action::DEFAULT, pair[1]);
    }
    if let (Some(&first), Some(&last)) = (ids.first(), ids.last()) {
        builder.start(first).end(last, Action::DEFAULT);
    }
    builder.build()
}
