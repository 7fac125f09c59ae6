//! Runs a flow as an operation of the store.

use std::sync::Arc;

use pflow_backend::Environment;

use crate::{
    Error, Result,
    flow::{Action, Cause, Clock, Failure, Flow, Run},
};

/// The maximum number of nodes that one run may visit. It is above every limit of the store's own flows
/// (races, answers of a resolver, waits for locks), so that only a defect reaches it, and not a lock that
/// changes hands many times.
const STEP_LIMIT: u32 = 1_000_000;

/// Runs a flow and returns its final action. The runner uses the environment's clock. A node's own error is
/// returned unchanged.
pub(crate) async fn run<S: Send + Sync>(
    flow: &Flow<S, Error>,
    state: &mut S,
    environment: &Arc<dyn Environment>,
) -> Result<Action> {
    let run = Run::new(Arc::new(Clock::new(environment.clone()))).step_limit(STEP_LIMIT);
    match flow.run(state, &run).await {
        Ok(outcome) => Ok(outcome.action),
        Err(stopped) => {
            tracing::debug!(error = %stopped, "a flow stopped");
            let path = stopped.path.clone();
            Err(match stopped.into_cause() {
                Cause::Node(error) => error,
                Cause::Cancelled => Error::Cancelled,
                other => Error::Internal(format!("{other} at {path}")),
            })
        }
    }
}

/// Whether a node tries again: what failed is transient and certainly changed nothing.
pub(crate) fn is_transient(failure: &Failure<Error>) -> bool {
    matches!(failure, Failure::Error(error) if error.may_pass())
}

/// Returns the error of the node itself, with which its flow continues.
pub(crate) fn own_error(failure: Failure<Error>) -> Result<Error, Failure<Error>> {
    match failure {
        Failure::Error(error) => Ok(error),
        timeout @ Failure::Timeout(_) => Err(timeout),
    }
}
