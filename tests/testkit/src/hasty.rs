use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use pflow_store::backend::{Environment, Identity, SystemEnvironment, async_trait};

/// A real clock that runs `times` faster, so that long timeouts take little real time.
#[derive(Debug)]
pub struct Hasty {
    clock: SystemEnvironment,
    times: u32,
}

impl Hasty {
    pub fn new(times: u32) -> Arc<Self> {
        Arc::new(Self { clock: SystemEnvironment::new().unwrap(), times })
    }
}

#[async_trait]
impl Environment for Hasty {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic() * self.times
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration / self.times).await;
    }

    fn random(&self) -> u64 {
        self.clock.random()
    }

    fn identity(&self) -> &Identity {
        self.clock.identity()
    }
}
