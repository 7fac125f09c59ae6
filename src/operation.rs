//! Running a flow as an operation of the store.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use pflow_backend::Environment;

use crate::{
    Error, Result,
    flow::{Action, Cause, Flow, Run, Timer},
};

/// How many nodes one run may visit: above whatever the store's flows allow themselves (races, answers of a
/// resolver, waits for locks), so that only a defect meets it and a lock that goes through many hands does
/// not look like one.
const STEP_LIMIT: u32 = 1_000_000;

/// The action that a flow ends with. The runner's clock is the environment's, and a node's own error comes
/// back as it is.
pub(crate) async fn run<S: Send + Sync>(
    flow: &Flow<S, Error>,
    state: &mut S,
    environment: &Arc<dyn Environment>,
) -> Result<Action> {
    let run = Run::new(Arc::new(EnvironmentTimer(environment.clone()))).step_limit(STEP_LIMIT);
    match flow.run(state, &run).await {
        Ok(outcome) => Ok(outcome.action),
        Err(stopped) => {
            tracing::debug!(error = %stopped, "a flow stopped");
            Err(match stopped.cause {
                Cause::Node(error) => error,
                Cause::Cancelled => Error::Cancelled,
                other => Error::Internal(format!("{other} at {}", stopped.path)),
            })
        }
    }
}

struct EnvironmentTimer(Arc<dyn Environment>);

#[async_trait]
impl Timer for EnvironmentTimer {
    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }

    fn now(&self) -> Duration {
        self.0.monotonic()
    }

    fn jitter(&self) -> f64 {
        self.0.jitter()
    }
}
