use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Environment, Identity};

/// An environment for tests: the clock stands still until it is told otherwise, and the same seed gives the same numbers.
///
/// Sleeping moves the clock forward and returns at once, so nothing that waits makes a test slow. Two environments that stand for
/// two machines need different seeds, or they give the same ids.
#[derive(Debug)]
pub struct ManualEnvironment {
    clock: Mutex<Clock>,
    state: AtomicU64,
    identity: Identity,
}

#[derive(Debug)]
struct Clock {
    now: DateTime<Utc>,
    monotonic: Duration,
}

impl ManualEnvironment {
    /// Starts at 2024-01-15T10:30:00Z on the machine `host-<seed>`.
    pub fn new(seed: u64) -> Self {
        let now = DateTime::from_timestamp(1_705_314_600, 0).unwrap_or_default();
        let identity = Identity {
            host: format!("host-{seed}"),
            user: "tester".to_owned(),
            pid: 4242,
            process_start: Some("1".to_owned()),
            boot_id: Some(format!("boot-{seed}")),
            pid_namespace: Some("pid:[1]".to_owned()),
        };
        Self {
            clock: Mutex::new(Clock { now, monotonic: Duration::ZERO }),
            state: AtomicU64::new(seed),
            identity,
        }
    }

    /// The same with another identity.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, duration: Duration) {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.now += duration;
        clock.monotonic += duration;
    }

    /// Sets the wall clock alone, as a person or a time server does.
    pub fn set_now(&self, now: DateTime<Utc>) {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).now = now;
    }
}

#[async_trait]
impl Environment for ManualEnvironment {
    fn now(&self) -> DateTime<Utc> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).now
    }

    fn monotonic(&self) -> Duration {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).monotonic
    }

    async fn sleep(&self, duration: Duration) {
        self.advance(duration);
        tokio::task::yield_now().await;
    }

    async fn idle(&self, _: Duration) {
        tokio::task::yield_now().await;
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn random(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.state.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
