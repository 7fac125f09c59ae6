//! What a person is told while a server is in trouble.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use pflow_backend::NOTICES;

/// An operation that has lasted for so long is worth a word.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// There is so much time between two words at least, however many operations wait.
const SILENCE: Duration = Duration::from_secs(30);

/// When the client said last that it still tries, by the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<Option<Duration>>);

impl Outage {
    /// When it was said last.
    #[cfg(test)]
    pub(crate) fn told(&self) -> Option<Duration> {
        *self.0.lock().unwrap()
    }

    /// Says that an operation still tries, and what it met last.
    pub(crate) fn tell(&self, now: Duration, endpoint: &str, met: &str) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| now.saturating_sub(told) >= SILENCE) {
            *told = Some(now);
            tracing::info!(target: NOTICES, "still trying {endpoint}: {met}");
        }
    }
}
