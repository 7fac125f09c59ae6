use std::time::Duration;

use chrono::{DateTime, Utc};
use pflow_backend::Environment;

/// A moment on both clocks of this process: wall clock and monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    wall: DateTime<Utc>,
    monotonic: Duration,
}

impl Moment {
    pub(super) fn now(environment: &dyn Environment) -> Self {
        Self { wall: environment.now(), monotonic: environment.monotonic() }
    }

    /// Returns this moment, or the earlier `wall` that another process of this machine observed.
    pub(super) fn not_after(self, wall: DateTime<Utc>) -> Self {
        Self { wall: self.wall.min(wall), ..self }
    }

    /// Returns the elapsed time by the clock that reports more: the monotonic clock stops while the machine
    /// is suspended, and the wall clock can be set back. A wall clock that was set forward reports too much,
    /// which only costs an extra renewal.
    pub(super) fn elapsed(self, environment: &dyn Environment) -> Duration {
        let by_wall = environment.now().signed_duration_since(self.wall).to_std().unwrap_or_default();
        by_wall.max(environment.monotonic().saturating_sub(self.monotonic))
    }
}

#[cfg(test)]
mod tests {
    use pflow_backend::ManualEnvironment;

    use super::*;

    #[test]
    fn elapsed_time_is_the_larger_of_both_clocks() {
        let environment = ManualEnvironment::new(1);
        let begun = Moment::now(&environment);
        environment.advance(Duration::from_secs(10));
        assert_eq!(begun.elapsed(&environment), Duration::from_secs(10));
        environment.set_now(environment.now() - chrono::Duration::days(1));
        assert_eq!(begun.elapsed(&environment), Duration::from_secs(10), "it was set back");
        environment.set_now(environment.now() + chrono::Duration::days(2));
        assert!(begun.elapsed(&environment) > Duration::from_secs(86_400), "the machine was suspended");
    }
}
