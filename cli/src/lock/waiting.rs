use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use pflow_store::{Conflict, Error, Store, WorkflowId, format::Lease};

use crate::leases::{lasting, who};
use crate::{
    documents::AwaitedLock,
    failure::Result,
    output::{Output, printable},
    session::{Session, setting},
    time::Timeout,
};

/// A shorter wait is not reported.
pub(crate) const SILENCE: Duration = Duration::from_millis(400);

/// The limit of `--wait`, longer than any wait in practice.
const ENDLESS: Timeout = Timeout(Duration::from_secs(366 * 86_400));

/// How long to wait for a lock.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Waiting {
    /// Wait without a limit while the lock is held
    #[arg(long)]
    wait: bool,

    /// Wait at most this long while the lock is held
    #[arg(long, value_name = "DURATION", env = "PFLOW_LOCK_TIMEOUT", hide_env_values = true)]
    lock_timeout: Option<Timeout>,
}

impl Waiting {
    /// Returns the limit of the flag, else of its variable, else of the setting of the store, else zero.
    fn limit(self, store: &Store) -> Result<Duration> {
        let timeout = match (self.wait, self.lock_timeout) {
            (true, _) => Some(ENDLESS),
            (false, Some(timeout)) => Some(timeout),
            (false, None) => setting(store, "lock_timeout")?,
        };
        Ok(timeout.map_or(Duration::ZERO, |Timeout(limit)| limit))
    }

    /// Repeats `attempt` until no other holder has the lock, and returns its result. When the time is up it
    /// returns the conflict that names the holder. A signal ends the wait, but not an attempt, which may
    /// already have taken the lock.
    pub(super) async fn until_granted<T, F>(
        self,
        session: &Session<'_>,
        store: &Store,
        id: &WorkflowId,
        left_behind: &str,
        attempt: impl Fn() -> F,
    ) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, Error>>,
    {
        let limit = self.limit(store)?;
        let environment = &session.environment;
        let begun = environment.monotonic();
        let waited = || environment.monotonic().saturating_sub(begun);
        let mut told = false;
        loop {
            let (what, left_behind) = (format!("the locking of {id}"), Some(left_behind.to_owned()));
            let refused = match session.trying(what, left_behind, attempt()).await? {
                Err(Error::Conflict(conflict)) => conflict,
                other => return Ok(other?),
            };
            let left = limit.saturating_sub(waited());
            let (Conflict::Locked { lease, .. } | Conflict::AlreadyLocked { lease, .. }) = refused.as_ref()
            else {
                return Err(Error::Conflict(refused).into());
            };
            if left.is_zero() {
                return Err(Error::Conflict(refused).into());
            }
            let unlocked = session.reading(store.await_unlock(id, lease, left));
            tokio::pin!(unlocked);
            if !told {
                tokio::select! {
                    done = &mut unlocked => { done?; continue }
                    () = environment.sleep(SILENCE.saturating_sub(waited())) => tell(session.output, id, lease, environment.now()),
                }
                told = true;
            }
            unlocked.await?;
        }
    }
}

/// One line: who holds what.
pub(crate) fn tell(output: &Output, id: &WorkflowId, lease: &Lease, now: DateTime<Utc>) {
    if output.is_json() {
        return output.event("waiting", &AwaitedLock::of(id, lease));
    }
    let lasts = lasting(lease, now);
    let line = format!("waiting for {id}: {}, {}, {lasts}; lease {}", who(lease), lease.operation, lease.id);
    output.note(&printable(&line));
}
