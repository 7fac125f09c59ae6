//! How often `exec` is tried, and how long to wait in between.

use std::time::Duration;

/// How many attempts at `exec` a node makes, and the waits between them.
///
/// The wait after failed attempt `n` is `wait * backoff^(n - 1)`, at most `max_wait`, shortened by a random
/// share of up to `jitter`. There is no wait after the last attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    attempts: u32,
    wait: Duration,
    backoff: f64,
    max_wait: Duration,
    jitter: f64,
}

impl Retry {
    /// One attempt, without a retry.
    pub const ONCE: Self =
        Self { attempts: 1, wait: Duration::ZERO, backoff: 1.0, max_wait: Duration::MAX, jitter: 0.0 };

    /// The total number of attempts, including the first, without waits. 0 counts as 1.
    pub const fn attempts(total: u32) -> Self {
        Self { attempts: if total == 0 { 1 } else { total }, ..Self::ONCE }
    }

    /// Sets the wait after the first failed attempt.
    #[must_use]
    pub const fn wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Multiplies the wait by `factor` after every failed attempt. A factor less than 1, or NaN, counts as 1.
    #[must_use]
    pub const fn backoff(self, factor: f64) -> Self {
        Self { backoff: if factor > 1.0 { factor } else { 1.0 }, ..self }
    }

    /// Limits the wait.
    #[must_use]
    pub const fn max_wait(self, max_wait: Duration) -> Self {
        Self { max_wait, ..self }
    }

    /// Shortens each wait by a random share between 0 and `share`, so that clients that failed together do
    /// not retry together. 0 means no jitter, 1 allows any wait down to none; values outside are clamped.
    #[must_use]
    pub const fn jitter(self, share: f64) -> Self {
        // `clamp` would let NaN pass.
        let share = if share > 0.0 { share } else { 0.0 };
        Self { jitter: if share < 1.0 { share } else { 1.0 }, ..self }
    }

    /// The total number of attempts, at least 1.
    pub const fn total_attempts(&self) -> u32 {
        self.attempts
    }

    /// The wait after failed attempt `attempt` (from 1), given a random number in `[0, 1)`.
    pub(super) fn wait_after(&self, attempt: u32, random: f64) -> Duration {
        let exponent = f64::from(attempt.saturating_sub(1));
        let wait = self.wait.as_secs_f64() * self.backoff.powf(exponent);
        // Overflow (also `0 * infinity`, which only occurs with a zero wait) must not become a panic.
        let wait = if self.wait.is_zero() { 0.0 } else { wait.min(self.max_wait.as_secs_f64()) };
        let shortened = wait * (1.0 - self.jitter * random.clamp(0.0, 1.0));
        Duration::try_from_secs_f64(shortened).unwrap_or(self.max_wait).min(self.max_wait)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::ONCE
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn zero_attempts_are_one() {
        assert_eq!(Retry::attempts(0).total_attempts(), 1);
        assert_eq!(Retry::default(), Retry::attempts(1));
    }

    #[test]
    fn waits_grow_by_the_factor_up_to_the_limit() {
        let retry = Retry::attempts(9).wait(SECOND).backoff(2.0).max_wait(5 * SECOND);
        let waits: Vec<_> = (1..=5).map(|attempt| retry.wait_after(attempt, 0.9).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
    }

    #[test]
    fn without_backoff_all_waits_are_equal() {
        let retry = Retry::attempts(9).wait(SECOND);
        assert_eq!(retry.wait_after(1, 0.0), SECOND);
        assert_eq!(retry.wait_after(8, 0.5), SECOND);
    }

    #[test]
    fn jitter_only_shortens() {
        let retry = Retry::attempts(2).wait(SECOND).jitter(0.5);
        assert_eq!(retry.wait_after(1, 0.0), SECOND);
        assert_eq!(retry.wait_after(1, 0.5), Duration::from_millis(750));
        assert_eq!(Retry::attempts(2).wait(SECOND).jitter(7.0), Retry::attempts(2).wait(SECOND).jitter(1.0));
    }

    #[test]
    fn nan_and_infinity_are_harmless() {
        let retry = Retry::attempts(2).wait(SECOND).backoff(f64::NAN).jitter(f64::NAN);
        assert_eq!(retry, Retry::attempts(2).wait(SECOND));
        assert_eq!(Retry::attempts(2).backoff(f64::INFINITY).wait_after(2, 0.0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn wait_never_panics_nor_exceeds_its_limit(
            wait: Duration, max: Duration, factor: f64, jitter: f64, attempt: u32, random in 0.0..1.0,
        ) {
            let retry = Retry::attempts(2).wait(wait).max_wait(max).backoff(factor).jitter(jitter);
            prop_assert!(retry.wait_after(attempt, random) <= max);
        }

        #[test]
        fn without_jitter_a_later_wait_is_no_shorter(millis in 0u64..100_000, factor in 1.0..10.0, attempt in 1u32..400) {
            let retry = Retry::attempts(2).wait(Duration::from_millis(millis)).backoff(factor);
            prop_assert!(retry.wait_after(attempt + 1, 0.3) >= retry.wait_after(attempt, 0.3));
        }
    }
}
