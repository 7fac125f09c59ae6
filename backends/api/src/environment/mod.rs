//! Time, randomness and identity, from one place that a test can set.

mod identity;
mod manual;
mod process;
mod system;
mod timer;

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use ulid::Ulid;

pub use identity::Identity;
pub use manual::ManualEnvironment;
pub use process::Process;
pub use system::{EnvironmentError, SystemEnvironment};

/// Where a program gets the time, randomness and its own identity from.
///
/// [`SystemEnvironment`] asks the machine; [`ManualEnvironment`] says what a test told it. Nothing else of this project looks
/// at a clock, draws a random number or sleeps.
#[async_trait]
pub trait Environment: Debug + Send + Sync + 'static {
    /// The wall clock. It may jump in either direction: good for people and for politeness, never for safety.
    fn now(&self) -> DateTime<Utc>;

    /// The time since some fixed moment in the past of this process. It never goes back.
    fn monotonic(&self) -> Duration;

    /// Returns after at least this long.
    async fn sleep(&self, duration: Duration);

    /// Returns after about this long, if that makes a difference to anybody: housekeeping that gives way to
    /// others waits like this.
    ///
    /// No clock of a test moves by it.
    async fn idle(&self, duration: Duration) {
        self.sleep(duration).await;
    }

    /// 64 random bits. Different in every process and at every call.
    fn random(&self) -> u64;

    /// Who this process is.
    fn identity(&self) -> &Identity;

    /// What has the number `pid` now, on this machine and in this process's pid namespace. Without a way to
    /// find out: [`Process::Unknown`].
    fn process(&self, pid: u32) -> Process {
        let _: u32 = pid;
        Process::Unknown
    }

    /// A new id, never given before anywhere: a ULID in lowercase, 26 letters and digits that sort by time.
    ///
    /// Source of the format: <https://github.com/ulid/spec>.
    fn new_id(&self) -> String {
        // The format counts from 1970 on, so before that only the random part differs.
        let millis = u64::try_from(self.now().timestamp_millis()).unwrap_or(0);
        let random = (u128::from(self.random()) << 64) | u128::from(self.random());
        Ulid::from_parts(millis, random).to_string().to_ascii_lowercase()
    }

    /// A random number from 0 up to, but without, 1.
    fn jitter(&self) -> f64 {
        // 53 bits are what an f64 holds exactly.
        (self.random() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// When an id was made, by the clock of whoever made it; none if it is no id of [`Environment::new_id`].
pub fn time_of_id(id: &str) -> Option<DateTime<Utc>> {
    let millis = Ulid::from_string(id).ok()?.timestamp_ms();
    DateTime::from_timestamp_millis(i64::try_from(millis).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lowercase_unique_and_sort_by_time() {
        let environment = ManualEnvironment::new(7);
        let first = environment.new_id();
        let twin = environment.new_id();
        environment.advance(Duration::from_millis(1));
        let later = environment.new_id();
        assert_ne!(first, twin);
        assert!(first < later && twin < later);
        assert_eq!(time_of_id(&later), Some(environment.now()));
        assert_eq!(time_of_id("later"), None);
        assert!(first.len() == 26 && first.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    }

    #[test]
    fn jitter_stays_below_one() {
        let environment = ManualEnvironment::new(7);
        assert!((0..1000).map(|_| environment.jitter()).all(|it| (0.0..1.0).contains(&it)));
    }

    #[tokio::test]
    async fn the_system_knows_itself_and_never_repeats_itself() {
        let system = SystemEnvironment::new().unwrap();
        let twin = SystemEnvironment::new().unwrap();
        assert_ne!(system.random(), twin.random());
        assert_ne!(system.random(), system.random());
        assert!(!system.identity().host.is_empty() && !system.identity().user.is_empty());
        assert_eq!(system.identity(), twin.identity());
        let before = system.monotonic();
        system.sleep(Duration::from_millis(1)).await;
        assert!(system.monotonic() - before >= Duration::from_millis(1));
    }
}
