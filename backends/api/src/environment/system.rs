use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{Environment, Identity, Process};

/// The machine's own clock, randomness and identity.
#[derive(Debug)]
pub struct SystemEnvironment {
    identity: Identity,
    started: Instant,
    seed: [u8; 32],
    drawn: AtomicU64,
}

/// The machine gave no randomness, so no id could be trusted to be new.
#[derive(Debug, thiserror::Error)]
#[error("Failed to draw randomness from the system")]
pub struct EnvironmentError {
    source: getrandom::Error,
}

impl SystemEnvironment {
    /// Asks the system who this process is and draws a seed.
    ///
    /// # Errors
    /// The system has no source of randomness. Nothing that needs ids can work then.
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    pub fn new() -> Result<Self, EnvironmentError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|source| EnvironmentError { source })?;
        let identity = Identity::of_this_process();
        Ok(Self { identity, started: Instant::now(), seed, drawn: AtomicU64::new(0) })
    }
}

#[async_trait]
impl Environment for SystemEnvironment {
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "the one place that sleeps")]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// A hash of the seed, the process and a counter: unlike a call into the system it cannot fail, and a forked
    /// process, which has the same seed, draws other numbers.
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
