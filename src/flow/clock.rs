//! The timer that is ready made.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pflow_backend::{Environment, EnvironmentError, SystemEnvironment};

use super::{Run, Timer};

/// A [`Timer`] over an [`Environment`]: the system's, or the one that a test controls
/// ([`ManualEnvironment`](pflow_backend::ManualEnvironment)). It works on any runtime.
///
/// A test with timeouts needs a [`stepped`](pflow_backend::ManualEnvironment::stepped) environment. Otherwise
/// the timeout itself moves the clock and passes at once.
#[derive(Clone, Debug)]
pub struct Clock(Arc<dyn Environment>);

impl Clock {
    /// The clock of this environment.
    pub fn new(environment: Arc<dyn Environment>) -> Self {
        Self(environment)
    }

    /// The system's clock.
    ///
    /// # Errors
    /// The system has no source of randomness.
    pub fn system() -> Result<Self, EnvironmentError> {
        Ok(Self(Arc::new(SystemEnvironment::new()?)))
    }
}

impl Run {
    /// A run with the system's clock; otherwise as [`new`](Self::new).
    ///
    /// # Errors
    /// The system has no source of randomness.
    pub fn system() -> Result<Self, EnvironmentError> {
        Ok(Self::new(Arc::new(Clock::system()?)))
    }
}

#[async_trait]
impl Timer for Clock {
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
