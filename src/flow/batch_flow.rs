//! A flow that runs once for each set of params.

use std::fmt;

use async_trait::async_trait;

use super::error::Stop;
use super::step::{Pass, Step};
use super::trace::Attempts;
use super::{Action, Cause, Flow, FlowError, Outcome, Params, Phase, Run};

type Sets<S, E> = Box<dyn Fn(&S, &Params) -> Result<Vec<Params>, E> + Send + Sync>;

/// A flow that runs once for each set of params, one after another.
///
/// The nodes see the outer params merged with the set, whose values take precedence. The final actions of the
/// passes are ignored: the batch flow itself ends with `default`. The first error ends it, and no further set
/// begins.
pub struct BatchFlow<S, E> {
    pub(super) flow: Flow<S, E>,
    sets: Sets<S, E>,
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
        Self { flow, sets: Box::new(sets) }
    }

    /// Runs the batch flow alone, like [`Flow::run`].
    ///
    /// # Errors
    ///
    /// As [`Flow::run`]; an error of the function that makes the sets has the phase [`Phase::Prep`].
    pub async fn run(&self, state: &mut S, run: &Run) -> Result<Outcome, FlowError<E>> {
        super::recorded(self, &self.flow, state, run).await
    }
}

#[async_trait]
impl<S, E> Step<S, E> for BatchFlow<S, E>
where
    S: Send + Sync,
    E: Send + Sync + 'static,
{
    async fn visit(&self, state: &mut S, pass: Pass<'_>, _: &Attempts) -> Result<Action, Stop<E>> {
        let sets = (self.sets)(state, pass.params);
        let sets = sets.map_err(|error| pass.stop(Phase::Prep, Cause::Node(error)))?;
        for (index, set) in sets.iter().enumerate() {
            let path = pass.path.pass(index);
            let params = pass.params.merged(set);
            self.flow.pass(state, Pass { params: &params, ..pass.at(&path) }).await?;
        }
        Ok(Action::DEFAULT)
    }
}

impl<S, E> fmt::Debug for BatchFlow<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchFlow").field("flow", &self.flow).finish_non_exhaustive()
    }
}
