use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{Environment, Identity, Process, id_of, timer};

/// The system's clock, randomness and identity.
#[derive(Debug)]
pub struct SystemEnvironment {
    identity: Identity,
    started: Instant,
    /// For the case that the system gives no more numbers, of which so many were drawn from it.
    seed: [u8; 32],
    drawn: AtomicU64,
}

/// The system provided no randomness, so ids could not be guaranteed to be unique.
#[derive(Debug, thiserror::Error)]
#[error("Failed to draw randomness from the system")]
pub struct EnvironmentError {
    source: io::Error,
}

impl SystemEnvironment {
    /// Reads the identity of this process and draws a seed.
    ///
    /// # Errors
    /// The system has no source of randomness. Code that needs ids cannot work then.
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    pub fn new() -> Result<Self, EnvironmentError> {
        let mut seed = [0; 32];
        fill(&mut seed).map_err(|source| EnvironmentError { source })?;
        let identity = Identity::of_this_process();
        Ok(Self { identity, started: Instant::now(), seed, drawn: AtomicU64::new(0) })
    }
}

/// Up to 256 bytes arrive whole or not at all, so the length needs no check.
#[cfg(target_os = "linux")]
#[allow(clippy::disallowed_methods, reason = "the one place that asks the machine")]
fn fill(bytes: &mut [u8]) -> io::Result<()> {
    use rustix::rand::{GetRandomFlags, getrandom};

    rustix::io::retry_on_intr(|| getrandom(&mut *bytes, GetRandomFlags::empty()))?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::disallowed_methods, reason = "the one place that asks the machine")]
fn fill(bytes: &mut [u8]) -> io::Result<()> {
    Ok(getrandom::fill(bytes)?)
}

#[async_trait]
impl Environment for SystemEnvironment {
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> DateTime<Utc> {
        moment(SystemTime::now())
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    /// Works on any runtime, even one without a timer.
    async fn sleep(&self, duration: Duration) {
        timer::sleep(duration).await;
    }

    /// Asks the system each time.
    ///
    /// Invariant: no number depends on the memory of this process alone. A machine that is cloned or restored
    /// from a snapshot, and a forked process, would repeat the numbers of a generator in that memory, and two
    /// of them would make the same ids and nonces. The system's own generator takes in what differs between
    /// clones (`random(7)`; Linux from 5.18 on is told of a clone by the hypervisor, see `vmgenid`).
    ///
    /// The system can hardly refuse, because it has provided the seed. If it does, for example because the
    /// process has restricted its own calls since, the numbers come from that seed, and a warning says so.
    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        match fill(&mut bytes) {
            Ok(()) => u64::from_le_bytes(bytes),
            Err(error) => self.random_without_the_system(&error),
        }
    }

    /// One call of the system, where two numbers would take two.
    fn new_id(&self) -> String {
        let mut bytes = [0; 16];
        let random = match fill(&mut bytes) {
            Ok(()) => u128::from_le_bytes(bytes),
            Err(error) => {
                let half = || u128::from(self.random_without_the_system(&error));
                (half() << 64) | half()
            }
        };
        id_of(self.now(), random)
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn process(&self, pid: u32) -> Process {
        Process::look(pid)
    }
}

impl SystemEnvironment {
    /// A hash of the seed, the process id and a counter: a forked process, which has the same seed, draws
    /// different numbers. A cloned machine does not.
    #[allow(
        clippy::disallowed_methods,
        reason = "a fork changes the process id, the identity would not notice"
    )]
    fn random_without_the_system(&self, error: &io::Error) -> u64 {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        if count == 0 {
            tracing::warn!(%error, "the system gives no more random numbers; a clone of this machine would repeat those of this process");
        }
        let hash = Sha256::new()
            .chain_update(self.seed)
            .chain_update(std::process::id().to_le_bytes())
            .chain_update(count.to_le_bytes())
            .finalize();
        hash.iter().take(8).fold(0, |bits, byte| (bits << 8) | u64::from(*byte))
    }
}

/// Converts the time of a clock. A clock may be before 1970, where [`Utc::now`] panics. Beyond the ends of
/// the calendar the result is the nearer end.
fn moment(time: SystemTime) -> DateTime<Utc> {
    let (seconds, nanos) = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds);
            match before.subsec_nanos() {
                0 => (seconds, 0),
                nanos => (seconds.saturating_sub(1), 1_000_000_000 - nanos),
            }
        }
    };
    let end = if seconds < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    DateTime::from_timestamp(seconds, nanos).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_process_never_repeat_its_numbers() {
        // What a restored snapshot has in memory: everything.
        let clone = |of: &SystemEnvironment| SystemEnvironment {
            identity: of.identity.clone(),
            started: of.started,
            seed: of.seed,
            drawn: AtomicU64::new(of.drawn.load(Ordering::Relaxed)),
        };
        let one = SystemEnvironment::new().unwrap();
        let two = clone(&one);
        for _ in 0..64 {
            assert_ne!(one.random(), two.random());
            assert_ne!(one.new_id(), two.new_id());
        }
        let refused = io::Error::other("refused");
        let [first, second] = [(); 2].map(|()| one.random_without_the_system(&refused));
        assert_ne!(first, second, "the fallback counts");
    }

    #[test]
    fn clock_may_be_before_1970() {
        let epoch = SystemTime::UNIX_EPOCH;
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1500, "1970-01-01T00:00:01.500Z"),
            (-1500, "1969-12-31T23:59:58.500Z"),
            (-2000, "1969-12-31T23:59:58Z"),
        ] {
            let offset = Duration::from_millis(i64::unsigned_abs(millis));
            let shown = moment(if millis < 0 { epoch - offset } else { epoch + offset });
            assert_eq!(shown.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true), text);
        }
        let far = Duration::from_secs(1 << 50);
        assert_eq!(moment(epoch - far), DateTime::<Utc>::MIN_UTC);
        assert_eq!(moment(epoch + far), DateTime::<Utc>::MAX_UTC);
    }
}
