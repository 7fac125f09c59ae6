//! Nodes that only act.

use async_trait::async_trait;
use futures::future::BoxFuture;

use super::error::Stop;
use super::step::{Pass, Step, Visit};
use super::trace::Attempts;
use super::{Action, Cause, Phase};

/// A node without `prep` and `exec`; the function takes the place of `post`.
pub(super) struct ActStep<F>(pub(super) F);

#[async_trait]
impl<S, E, F> Step<S, E> for ActStep<F>
where
    S: Send + Sync,
    E: Send + Sync + 'static,
    F: for<'a> Fn(&'a mut S, Visit<'a>) -> BoxFuture<'a, Result<Action, E>> + Send + Sync,
{
    async fn visit(&self, state: &mut S, pass: Pass<'_>, _: &Attempts) -> Result<Action, Stop<E>> {
        let acted = (self.0)(state, pass.visit(0)).await;
        acted.map_err(|error| pass.stop(Phase::Post, Cause::Node(error)))
    }
}
