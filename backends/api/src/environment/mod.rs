//! Time, randomness and identity, from one source that a test can control.

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

/// The source of time, randomness and process identity.
///
/// [`SystemEnvironment`] asks the system; [`ManualEnvironment`] returns what a test has set. No other code of
/// this project reads a clock, draws a random number or sleeps.
#[async_trait]
pub trait Environment: Debug + Send + Sync + 'static {
    /// The wall clock. It may jump in either direction: use it for display and for courtesy, never for
    /// safety.
    fn now(&self) -> DateTime<Utc>;

    /// The time since some fixed moment in the past of this process. It never goes back.
    fn monotonic(&self) -> Duration;

    /// Returns after at least this long.
    async fn sleep(&self, duration: Duration);

    /// Returns after about this long; for housekeeping that should yield to other work.
    ///
    /// It does not advance the clock of a test.
    async fn idle(&self, duration: Duration) {
        self.sleep(duration).await;
    }

    /// 64 random bits, different in every process and at every call, also in a clone of this process or of its
    /// machine. Ids and nonces are made of them.
    fn random(&self) -> u64;

    /// The identity of this process.
    fn identity(&self) -> &Identity;

    /// The process with the number `pid` on this machine and in this process's pid namespace.
    /// [`Process::Unknown`] if this cannot be determined.
    fn process(&self, pid: u32) -> Process {
        let _: u32 = pid;
        Process::Unknown
    }

    /// A new, globally unique id: a ULID in lowercase, 26 letters and digits that sort by time.
    ///
    /// Source of the format: <https://github.com/ulid/spec>.
    fn new_id(&self) -> String {
        let random = (u128::from(self.random()) << 64) | u128::from(self.random());
        id_of(self.now(), random)
    }

    /// A random number in `[0, 1)`.
    fn jitter(&self) -> f64 {
        // An f64 represents 53 bits exactly.
        (self.random() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The id of a moment with these random bits, of which it takes 80.
fn id_of(now: DateTime<Utc>, random: u128) -> String {
    // The format counts from 1970, so before that only the random part differs.
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    Ulid::from_parts(millis, random).to_string().to_ascii_lowercase()
}

/// The creation time of an id, by the clock of its creator; none if it is not an id of
/// [`Environment::new_id`].
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
    async fn system_environment_has_an_identity_and_never_repeats_itself() {
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
