//! A flow's own `prep` and `post`.

use std::sync::Arc;

use super::error::Stop;
use super::step::{Pass, Visit};
use super::{Action, Cause, IntoAction, Phase};

/// Runs `prep` and returns `post`, which has its result.
type Prep<S, E> = Box<dyn Fn(&S, Visit<'_>) -> Result<Post<S, E>, E> + Send + Sync>;
/// Gets the last action and returns the flow's.
type Post<S, E> = Box<dyn FnOnce(&mut S, Action, Visit<'_>) -> Result<Action, E> + Send>;

/// What a flow does before its first node and after its last.
pub(super) struct Around<S, E>(Prep<S, E>);

impl<S, E> Around<S, E> {
    pub(super) fn new<P, R>(
        prep: impl Fn(&S, Visit<'_>) -> Result<P, E> + Send + Sync + 'static,
        post: impl Fn(&mut S, P, Action, Visit<'_>) -> R + Send + Sync + 'static,
    ) -> Self
    where
        P: Send + 'static,
        R: IntoAction<E>,
    {
        let post = Arc::new(post);
        Self(Box::new(move |state, visit| {
            let (prep, post) = (prep(state, visit)?, Arc::clone(&post));
            Ok(Box::new(move |state, last, visit| post(state, prep, last, visit).into_action()))
        }))
    }

    pub(super) fn prep(&self, state: &S, pass: Pass<'_>) -> Result<Post<S, E>, Stop<E>> {
        (self.0)(state, pass.visit(0)).map_err(|error| pass.stop(Phase::Prep, Cause::Node(error)))
    }
}
