//! The attempts at `exec`, the only phase that is retried.

use std::pin::pin;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use tracing::{debug, warn};

use super::error::{Stop, View};
use super::step::Pass;
use super::trace::{Attempts, FailedAttempt};
use super::{Cause, Failure, Phase, Retry};

/// The work that is tried: a node's `exec` with its input. It keeps the output itself, so that the attempts
/// are compiled once for each error type and not for each node.
pub(super) trait Work<E>: Send {
    /// Makes one attempt. It leaves an output exactly if it succeeds.
    fn exec(&mut self, attempt: u32) -> BoxFuture<'_, Result<(), E>>;

    /// Whether this failure is worth another attempt.
    fn is_retryable(&self, failure: &Failure<E>) -> bool;

    /// Decides after the last failure. It leaves an output exactly if it succeeds.
    fn fallback(&mut self, failure: Failure<E>, attempt: u32) -> BoxFuture<'_, Result<(), Failure<E>>>;
}

/// The attempts at one piece of work.
pub(super) struct Trial<'a, E> {
    pub(super) pass: Pass<'a>,
    pub(super) log: &'a Attempts,
    pub(super) item: Option<usize>,
    pub(super) retry: Retry,
    pub(super) timeout: Option<Duration>,
    pub(super) view: View<E>,
    /// The number of the last attempt that began, from 1; 0 before the first.
    pub(super) attempt: u32,
}

impl<E: Send + Sync> Trial<'_, E> {
    /// Makes one attempt. After a failure it waits if another attempt is allowed; otherwise the fallback
    /// decides. The caller repeats this until the work has an output.
    ///
    /// Cancellation interrupts the current future by dropping it. An output that is ready is never discarded
    /// because of a cancellation: effects outside of the program should reach `post`. Nor is the last
    /// failure: if the run is cancelled by then, it ends with that failure and without the fallback.
    pub(super) async fn attempt(&mut self, work: &mut (dyn Work<E> + '_)) -> Result<(), Stop<E>> {
        let run = self.pass.run;
        if run.cancel.is_cancelled() {
            return Err(self.stop(Cause::Cancelled));
        }
        self.attempt += 1;
        self.log.begun();
        let began = run.timer.now();
        let limited = within(self.pass, self.timeout, work.exec(self.attempt));
        let failure = match run.cancel.run_until_cancelled(limited).await {
            Some(Ok(())) => return Ok(()),
            Some(Err(failure)) => failure,
            None => return Err(self.stop(Cause::Cancelled)),
        };
        let last = self.attempt >= self.retry.total_attempts() || !work.is_retryable(&failure);
        let (item, attempt, error) = (self.item, self.attempt, failure.told(self.view));
        let duration = run.timer.now().saturating_sub(began);
        report(self.pass, self.log, last, FailedAttempt { item, attempt, duration, error });
        if last {
            if run.cancel.is_cancelled() {
                return Err(self.stop(failure));
            }
            return match run.cancel.run_until_cancelled(work.fallback(failure, attempt)).await {
                Some(decided) => decided.map_err(|failure| self.stop(failure)),
                None => Err(self.stop(Cause::Cancelled)),
            };
        }
        let wait = self.retry.wait_after(attempt, run.timer.jitter());
        if !wait.is_zero() && run.cancel.run_until_cancelled(run.timer.sleep(wait)).await.is_none() {
            return Err(self.stop(Cause::Cancelled));
        }
        Ok(())
    }

    fn stop(&self, cause: impl Into<Cause<E>>) -> Stop<E> {
        self.pass.stop(Phase::Exec { attempt: self.attempt, item: self.item }, cause)
    }
}

/// Records and reports a failed attempt. A failure that a later attempt repairs is reported only here; the
/// last one is reported by the caller or the fallback.
fn report(pass: Pass<'_>, log: &Attempts, last: bool, failed: FailedAttempt) {
    let FailedAttempt { item, attempt, error, .. } = &failed;
    let path = pass.path;
    if last {
        debug!(%path, item, attempt, error, "attempt failed");
    } else {
        warn!(%path, item, attempt, error, "attempt failed; trying again");
    }
    log.failed(failed);
}

/// Returns the future's result, or [`Failure::Timeout`] if the limit passes first. The future is polled
/// first.
async fn within<E>(
    pass: Pass<'_>,
    limit: Option<Duration>,
    future: BoxFuture<'_, Result<(), E>>,
) -> Result<(), Failure<E>> {
    let Some(limit) = limit else {
        return Ok(future.await?);
    };
    match select(future, pin!(pass.run.timer.sleep(limit))).await {
        Either::Left((result, _)) => Ok(result?),
        Either::Right(((), _)) => Err(Failure::Timeout(limit)),
    }
}
