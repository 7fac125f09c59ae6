//! Tells a person that a server does not answer or fails.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use pflow_backend::NOTICES;

/// A person is told if an operation takes longer than this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// The minimum time between two notices, however many operations wait.
const SILENCE: Duration = Duration::from_secs(30);

/// When the client last told that it is still trying, by the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<Option<Duration>>);

impl Outage {
    /// When it was last told.
    #[cfg(test)]
    pub(crate) fn told(&self) -> Option<Duration> {
        *self.0.lock().unwrap()
    }

    /// Tells that an operation is still trying, and its last fault.
    pub(crate) fn tell(&self, now: Duration, endpoint: &str, met: &str) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| now.saturating_sub(told) >= SILENCE) {
            *told = Some(now);
            tracing::info!(target: NOTICES, "still trying {endpoint}: {met}");
        }
    }
}
