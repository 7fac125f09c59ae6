use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{Environment, Identity, Process, timer};

/// The system's clock, randomness and identity.
#[derive(Debug)]
pub struct SystemEnvironment {
    identity: Identity,
    started: Instant,
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
fn fill(seed: &mut [u8; 32]) -> io::Result<()> {
    use rustix::rand::{GetRandomFlags, getrandom};

    rustix::io::retry_on_intr(|| getrandom(&mut seed[..], GetRandomFlags::empty()))?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::disallowed_methods, reason = "the one place that asks the machine")]
fn fill(seed: &mut [u8; 32]) -> io::Result<()> {
    Ok(getrandom::fill(seed)?)
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

    /// A hash of the seed, the process id and a counter. Unlike a system call it cannot fail, and a forked
    /// process, which has the same seed, draws different numbers.
    #[allow(
        clippy::disallowed_methods,
        reason = "a fork changes the process id, the identity would not notice"
    )]
    fn random(&self) -> u64 {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        let hash = Sha256::new()
            .chain_update(self.seed)
            .chain_update(std::process::id().to_le_bytes())
            .chain_update(count.to_le_bytes())
            .finalize();
        hash.iter().take(8).fold(0, |bits, byte| (bits << 8) | u64::from(*byte))
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn process(&self, pid: u32) -> Process {
        Process::look(pid)
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
