//! The settings of a run: a timer, a cancellation token, a step limit and params.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{CancellationToken, Params};
use async_trait::async_trait;

/// The runner's only access to time and randomness. [`Clock`](super::Clock) implements it.
#[async_trait]
pub trait Timer: Send + Sync {
    /// Returns after `duration`. Dropping the future ends the wait without any effect.
    async fn sleep(&self, duration: Duration);

    /// The time since some fixed moment, by a monotonic clock.
    fn now(&self) -> Duration;

    /// A random number in `[0, 1)`, another one at every call.
    fn jitter(&self) -> f64;
}

/// The settings of one run of a flow.
#[derive(Clone)]
pub struct Run {
    pub(super) timer: Arc<dyn Timer>,
    pub(super) cancel: CancellationToken,
    pub(super) step_limit: u32,
    pub(super) params: Params,
}

impl Run {
    /// The default step limit of a run.
    pub const DEFAULT_STEP_LIMIT: u32 = 10_000;

    /// A run without a cancellation token and params, with the default step limit.
    pub fn new(timer: Arc<dyn Timer>) -> Self {
        Self {
            timer,
            cancel: CancellationToken::new(),
            step_limit: Self::DEFAULT_STEP_LIMIT,
            params: Params::new(),
        }
    }

    /// Stops the run when `token` is cancelled; see [Cancellation](super::Flow#cancellation).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use pflow_store::flow::{CancellationToken, Run};
    ///
    /// let token = CancellationToken::new();
    /// let run = Run::system()?.cancelled_by(token.clone());
    /// // Elsewhere, while a flow runs:
    /// token.cancel();
    /// # let _ = run;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn cancelled_by(self, token: CancellationToken) -> Self {
        Self { cancel: token, ..self }
    }

    /// Limits the nodes that one pass of a flow may visit.
    ///
    /// Every pass is counted separately (a nested flow at each visit, a batch flow at each params set), so
    /// that only a loop can reach the limit, however much work a run has to do.
    #[must_use]
    pub fn step_limit(self, steps: u32) -> Self {
        Self { step_limit: steps, ..self }
    }

    /// Sets the params that every node of the flow sees.
    #[must_use]
    pub fn params(self, params: Params) -> Self {
        Self { params, ..self }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("cancelled", &self.cancel.is_cancelled())
            .field("step_limit", &self.step_limit)
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}
