//! The files follow what was committed, whatever comes between.

use std::{path::Path, sync::Arc, time::Duration};

use crate::common::*;
use pflow_backend::Identity;
use pflow_backend::{DateTime, Environment, ManualEnvironment, Process, Utc, async_trait};
use pflow_backend_fs::FsOptions;
use tokio::sync::Semaphore;

/// Housekeeping waits until the test lets it go on.
#[derive(Debug)]
struct Gated {
    manual: ManualEnvironment,
    gate: Semaphore,
}

impl Gated {
    /// Housekeeping may look once more, as soon as it wants to.
    fn lets_go_on(&self) -> bool {
        self.gate.add_permits(usize::from(self.gate.available_permits() == 0));
        true
    }

    /// Whether housekeeping comes to an end. It may look many times before, because a look while a commit
    /// ends does nothing.
    async fn ends(&self) -> bool {
        for _ in 0..1_000 {
            self.lets_go_on();
            if !soon(|| self.gate.available_permits() == 0).await {
                return true;
            }
        }
        false
    }
}

#[async_trait]
impl Environment for Gated {
    fn now(&self) -> DateTime<Utc> {
        self.manual.now()
    }

    fn monotonic(&self) -> Duration {
        self.manual.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.manual.sleep(duration).await;
    }

    async fn idle(&self, _: Duration) {
        self.gate.acquire().await.unwrap().forget();
    }

    fn random(&self) -> u64 {
        self.manual.random()
    }

    fn identity(&self) -> &Identity {
        self.manual.identity()
    }

    fn process(&self, pid: u32) -> Process {
        self.manual.process(pid)
    }
}

/// Lets other tasks and threads go on so often; whether `done` came true.
async fn within(rounds: u32, done: impl Fn() -> bool) -> bool {
    for _ in 0..rounds {
        if done() {
            return true;
        }
        tokio::task::spawn_blocking(|| ()).await.unwrap();
    }
    false
}

/// The same for what must not come true, or may.
async fn soon(done: impl Fn() -> bool) -> bool {
    within(5_000, done).await
}

/// The same for what must come true, on a machine that is busy with other things too.
async fn in_time(done: impl Fn() -> bool) -> bool {
    within(300_000, done).await
}

fn holds(place: &Path, text: &str) -> bool {
    std::fs::read_to_string(place.join("w/copy")).is_ok_and(|it| it == text)
}

#[tokio::test]
async fn files_follow_after_the_lock_was_busy() {
    let place = tempfile::tempdir().unwrap();
    let environment = Arc::new(Gated { manual: ManualEnvironment::new(1), gate: Semaphore::new(0) });
    let backend = FsOptions::new().open(place.path(), environment.clone()).await.unwrap();
    let other = manual(place.path()).await;
    write(&backend, put("w/copy", "version 1").copy()).await;
    let held = other.try_hold().await.unwrap();
    assert!(held.is_some());
    // As often as it likes: it must not give up.
    environment.gate.add_permits(30);
    assert!(in_time(|| environment.gate.available_permits() == 0).await, "it gave up");
    assert!(!holds(place.path(), "version 1"));
    drop(held);
    assert!(
        in_time(|| environment.lets_go_on() && holds(place.path(), "version 1")).await,
        "it never followed"
    );
    // And then it is over.
    assert!(environment.ends().await);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_not_tried_over_and_over() {
    let place = tempfile::tempdir().unwrap();
    let environment = Arc::new(Gated { manual: ManualEnvironment::new(1), gate: Semaphore::new(0) });
    let backend = FsOptions::new().open(place.path(), environment.clone()).await.unwrap();
    write(&backend, put("w/copy", "version 1").copy()).await;
    std::os::unix::fs::symlink("/nowhere", place.path().join("w")).unwrap();
    assert!(environment.ends().await, "it does not stop");
    // The next commit tries again.
    std::fs::remove_file(place.path().join("w")).unwrap();
    write(&backend, put("other", "x")).await;
    assert!(in_time(|| environment.lets_go_on() && holds(place.path(), "version 1")).await);
}
