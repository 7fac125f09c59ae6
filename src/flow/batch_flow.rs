//! A flow that runs once for each set of params.

use std::fmt;
use std::future::ready;

use async_trait::async_trait;
use futures::future::BoxFuture;

use super::error::Stop;
use super::side_by_side::side_by_side;
use super::step::{Pass, Step, Visit};
use super::trace::Attempts;
use super::{Action, Cause, Flow, FlowError, IntoAction, IntoActions, Outcome, Params, Phase, Run};

type Sets<S, E> =
    Box<dyn for<'a> Fn(&'a S, &'a Params) -> BoxFuture<'a, Result<Vec<Params>, E>> + Send + Sync>;
type Post<S, E> = Box<dyn Fn(&mut S, Vec<Params>, Visit<'_>) -> Result<Action, E> + Send + Sync>;

type Fork<S> = Box<dyn Fn(&S, &Params) -> S + Send + Sync>;
type Join<S, E> = Box<dyn Fn(&mut S, &Params, S) -> Result<(), E> + Send + Sync>;

/// A flow that runs once for each set of params.
///
/// The nodes see the outer params merged with the set, whose values take precedence. The passes run one after
/// another on the same state, unless there is a [`concurrency`](Self::concurrency). Their final actions are
/// ignored: the batch flow itself ends with `default`, unless it has a [`post`](Self::post). The first error
/// ends it, and no further set begins.
pub struct BatchFlow<S, E> {
    pub(super) flow: Flow<S, E>,
    pub(super) actions: Vec<Action>,
    sets: Sets<S, E>,
    forked: Option<Forked<S, E>>,
    post: Option<Post<S, E>>,
}

/// Passes side by side, each on a state of its own.
struct Forked<S, E> {
    passes: usize,
    fork: Fork<S>,
    join: Join<S, E>,
}

impl<S, E> BatchFlow<S, E>
where
    S: Send + Sync,
    E: Send + Sync + 'static,
{
    /// Runs `flow` for each set that `sets` derives from the state and the outer params. The batch flow has
    /// the flow's name.
    pub fn new(
        flow: Flow<S, E>,
        sets: impl Fn(&S, &Params) -> Result<Vec<Params>, E> + Send + Sync + 'static,
    ) -> Self {
        Self::new_async(flow, move |state, params| Box::pin(ready(sets(state, params))))
    }

    /// [`new`](Self::new) with sets that are awaited:
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use pflow_store::flow::{BatchFlow, Flow, Params};
    /// # async fn names() -> Vec<String> { Vec::new() }
    /// # fn example(flow: Flow<i64, Infallible>) -> BatchFlow<i64, Infallible> {
    /// BatchFlow::new_async(flow, |_, _| {
    ///     Box::pin(async move {
    ///         let names = names().await;
    ///         Ok(names.into_iter().map(|name| Params::new().with("name", name)).collect())
    ///     })
    /// })
    /// # }
    /// ```
    pub fn new_async(
        flow: Flow<S, E>,
        sets: impl for<'a> Fn(&'a S, &'a Params) -> BoxFuture<'a, Result<Vec<Params>, E>> + Send + Sync + 'static,
    ) -> Self {
        let actions = Action::DEFAULT_ONLY.to_vec();
        Self { flow, actions, sets: Box::new(sets), forked: None, post: None }
    }

    /// Runs at most so many passes at a time (0 counts as 1), each on its own state.
    ///
    /// `fork` makes the state of a pass from the state before the batch flow, so no pass sees what another
    /// one did. After all passes `join` merges their states into it, in the order of the sets; the result
    /// does not depend on which pass was faster. Both get the params of the pass. What `join` adds up or
    /// appends, `fork` begins empty: a copy would be counted again by each pass.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use pflow_store::flow::{BatchFlow, Flow, Params, Run};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// #[derive(Default)]
    /// struct Count {
    ///     texts: Vec<String>,
    ///     words: usize,
    /// }
    ///
    /// let mut flow = Flow::<Count, Infallible>::builder("count");
    /// let count = flow.act("words", (), |state, _| {
    ///     state.words += state.texts.iter().flat_map(|text| text.split(' ')).count();
    /// });
    /// let flow = flow.start(count).end(count, ()).build()?;
    /// let text = |params: &Params| params.get("text").and_then(|at| at.as_u64()).unwrap_or(0) as usize;
    /// let batch = BatchFlow::new(flow, |state: &Count, _| {
    ///     Ok((0..state.texts.len()).map(|at| Params::new().with("text", at)).collect())
    /// })
    /// .concurrency(
    ///     8,
    ///     move |state, params| Count { texts: vec![state.texts[text(params)].clone()], words: 0 },
    ///     |state, _, own| Ok(state.words += own.words),
    /// );
    /// let mut state = Count { texts: vec!["one two".into(), "three".into()], words: 0 };
    /// batch.run(&mut state, &Run::system()?).await?;
    /// assert_eq!(state.words, 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// An error of `join` ends the run in [`Phase::Post`]; the passes before it are joined by then.
    ///
    /// An error in a pass drops the passes under way, even within a `post`, and a cancellation stops each of
    /// them at its next step. In both cases nothing is joined, so the passes leave the state as it was.
    ///
    /// The passes overlap while they wait. They all run in the task that runs the flow. The bound does not
    /// limit memory: every pass keeps its state until all are joined.
    #[must_use]
    pub fn concurrency(
        self,
        passes: usize,
        fork: impl Fn(&S, &Params) -> S + Send + Sync + 'static,
        join: impl Fn(&mut S, &Params, S) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        Self { forked: Some(Forked { passes, fork: Box::new(fork), join: Box::new(join) }), ..self }
    }

    /// Calls `post` with the state and the sets after the last pass. It returns one of `actions`, which is
    /// the batch flow's action. A second call replaces the first.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use pflow_store::flow::BatchFlow;
    /// # fn example(batch: BatchFlow<usize, Infallible>) -> BatchFlow<usize, Infallible> {
    /// batch.post(["some", "none"], |passes, sets, _| {
    ///     *passes = sets.len();
    ///     if sets.is_empty() { "none" } else { "some" }
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn post<R: IntoAction<E>>(
        self,
        actions: impl IntoActions,
        post: impl Fn(&mut S, Vec<Params>, Visit<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        let post: Post<S, E> = Box::new(move |state, sets, visit| post(state, sets, visit).into_action());
        Self { actions: actions.into_actions(), post: Some(post), ..self }
    }

    /// Runs the batch flow alone, like [`Flow::run`].
    ///
    /// # Errors
    ///
    /// As [`Flow::run`]; an error of the function that makes the sets has the phase [`Phase::Prep`].
    pub async fn run(&self, state: &mut S, run: &Run) -> Result<Outcome, FlowError<E>> {
        super::recorded(self, &self.flow, state, run).await
    }

    /// Makes one pass. `pass.path` has its number.
    async fn pass(&self, state: &mut S, pass: Pass<'_>) -> Result<(), Stop<E>> {
        let began = pass.run.timer.now();
        let result = self.flow.pass(state, pass).await;
        result.map(drop).inspect_err(|stop| pass.record_own_failure(began, stop, self.flow.view))
    }

    /// Makes all passes side by side on forks of the state, and joins these in the order of the sets.
    async fn fork(
        &self,
        forked: &Forked<S, E>,
        sets: &[Params],
        state: &mut S,
        pass: Pass<'_>,
    ) -> Result<(), Stop<E>> {
        let base = &*state;
        let passes = sets.iter().enumerate().map(async |(index, set)| {
            let (path, params) = (pass.path.pass(index), pass.params.merged(set));
            let pass = Pass { params: &params, ..pass.at(&path) };
            pass.enter()?;
            let mut own = (forked.fork)(base, &params);
            self.pass(&mut own, pass).await?;
            Ok((path, params, own))
        });
        for (path, params, own) in side_by_side(forked.passes, passes).await? {
            let (pass, began) = (pass.at(&path), pass.run.timer.now());
            if let Err(error) = (forked.join)(state, &params, own) {
                let stop = pass.stop(Phase::Post, Cause::Node(error));
                pass.record_own_failure(began, &stop, self.flow.view);
                return Err(stop);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl<S, E> Step<S, E> for BatchFlow<S, E>
where
    S: Send + Sync,
    E: Send + Sync + 'static,
{
    async fn visit(&self, state: &mut S, pass: Pass<'_>, _: &Attempts) -> Result<Action, Stop<E>> {
        pass.enter()?;
        let sets = match pass.run.cancel.run_until_cancelled((self.sets)(state, pass.params)).await {
            Some(sets) => sets.map_err(|error| pass.stop(Phase::Prep, Cause::Node(error)))?,
            None => return Err(pass.stop(Phase::Prep, Cause::Cancelled)),
        };
        match &self.forked {
            Some(forked) => self.fork(forked, &sets, state, pass).await?,
            None => {
                for (index, set) in sets.iter().enumerate() {
                    let (path, params) = (pass.path.pass(index), pass.params.merged(set));
                    let pass = Pass { params: &params, ..pass.at(&path) };
                    pass.enter()?;
                    self.pass(state, pass).await?;
                }
            }
        }
        match &self.post {
            Some(post) => pass.returned(post(state, sets, pass.visit(0)), &self.actions),
            None => Ok(Action::DEFAULT),
        }
    }
}

impl<S, E> fmt::Debug for BatchFlow<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchFlow").field("flow", &self.flow).finish_non_exhaustive()
    }
}
