use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::{Environment, Identity, Process};

/// An environment for tests: the clock moves when the test advances it or a task sleeps, and the same seed
/// gives the same random numbers.
///
/// A sleep moves the clock forward and returns at once, so waits do not slow a test down. A task that sleeps
/// again and again, such as the one that renews a lock, then moves the clock by itself: with
/// [`stepped`](Self::stepped) the test alone moves it. Two environments that represent two machines need
/// different seeds; otherwise they produce the same ids.
#[derive(Debug)]
pub struct ManualEnvironment {
    clock: watch::Sender<Clock>,
    state: AtomicU64,
    identity: Identity,
    /// Whether a sleeper waits until the test advances the time.
    stepped: bool,
    /// The processes that a test has set.
    processes: Mutex<HashMap<u32, Process>>,
}

#[derive(Debug, Clone, Copy)]
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
            clock: watch::Sender::new(Clock { now, monotonic: Duration::ZERO }),
            state: AtomicU64::new(seed),
            identity,
            stepped: false,
            processes: Mutex::default(),
        }
    }

    /// The same with another identity.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// The same, but a sleep ends when [`advance`](Self::advance) has advanced the time that far: for tests
    /// of background work.
    #[must_use]
    pub fn stepped(mut self) -> Self {
        self.stepped = true;
        self
    }

    /// Advances both clocks.
    pub fn advance(&self, duration: Duration) {
        self.clock.send_modify(|clock| {
            clock.now += duration;
            clock.monotonic += duration;
        });
    }

    /// Sets only the wall clock, as a person, a time server or a suspended machine would.
    pub fn set_now(&self, now: DateTime<Utc>) {
        self.clock.send_modify(|clock| clock.now = now);
    }

    /// Sets the process with the number `pid`. By default it is this process under its own number, and
    /// unknown under any other.
    pub fn set_process(&self, pid: u32, process: Process) {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner).insert(pid, process);
    }
}

#[async_trait]
impl Environment for ManualEnvironment {
    fn now(&self) -> DateTime<Utc> {
        self.clock.borrow().now
    }

    fn monotonic(&self) -> Duration {
        self.clock.borrow().monotonic
    }

    async fn sleep(&self, duration: Duration) {
        if self.stepped {
            let mut clock = self.clock.subscribe();
            let end = self.monotonic().saturating_add(duration);
            let passed = clock.wait_for(|clock| clock.monotonic >= end).await.is_ok();
            debug_assert!(passed, "the sender is a part of this environment");
        } else {
            self.advance(duration);
            tokio::task::yield_now().await;
        }
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

    fn process(&self, pid: u32) -> Process {
        let told = self.processes.lock().unwrap_or_else(PoisonError::into_inner).get(&pid).cloned();
        match (told, &self.identity.process_start) {
            (Some(told), _) => told,
            (None, Some(start)) if pid == self.identity.pid => Process::Started(start.clone()),
            _ => Process::Unknown,
        }
    }
}
