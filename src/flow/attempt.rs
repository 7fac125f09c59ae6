//! The attempts at `exec`, the only phase that is retried.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use tracing::{debug, warn};

use super::error::Stop;
use super::step::Pass;
use super::trace::{Attempts, FailedAttempt, with_causes};
use super::{Cause, Failure, Phase, Retry};

/// A node's settings for the attempts at its `exec`.
pub(super) struct Policy<'a, E> {
    pub(super) retry: Retry,
    pub(super) timeout: Option<Duration>,
    pub(super) is_retryable: &'a (dyn Fn(&Failure<E>) -> bool + Send + Sync),
}

/// Runs `exec` until it succeeds, its attempts are used up or its error is not retryable; then `fallback`
/// decides.
///
/// Cancellation interrupts the current future by dropping it. A result that is ready is never discarded
/// because of a cancellation: effects outside of the program should reach `post`.
pub(super) async fn attempts<T, E, X, F>(
    pass: Pass<'_>,
    log: &Attempts,
    item: Option<usize>,
    policy: Policy<'_, E>,
    exec: impl Fn(u32) -> X,
    fallback: impl FnOnce(Failure<E>, u32) -> F,
) -> Result<T, Stop<E>>
where
    E: std::error::Error + 'static,
    X: Future<Output = Result<T, E>>,
    F: Future<Output = Result<T, Failure<E>>>,
{
    let Pass { run, path, .. } = pass;
    let cancelled = |attempt| pass.stop(Phase::Exec { attempt, item }, Cause::Cancelled);
    let mut attempt = 0;
    let failure = loop {
        if run.cancel.is_cancelled() {
            return Err(cancelled(attempt));
        }
        attempt += 1;
        log.begun();
        let began = run.timer.now();
        let limited = within(pass, policy.timeout, exec(attempt));
        let failure = match run.cancel.run_until_cancelled(limited).await {
            Some(Ok(result)) => return Ok(result),
            Some(Err(failure)) => failure,
            None => return Err(cancelled(attempt)),
        };
        let error = with_causes(&failure);
        let last = attempt >= policy.retry.total_attempts() || !(policy.is_retryable)(&failure);
        // A failure that a later attempt repairs is reported only here. The last one is reported by the
        // caller or the fallback.
        if last {
            debug!(%path, item, attempt, error, "attempt failed");
        } else {
            warn!(%path, item, attempt, error, "attempt failed; trying again");
        }
        let duration = run.timer.now().saturating_sub(began);
        log.failed(FailedAttempt { item, attempt, duration, error });
        if last {
            break failure;
        }
        let wait = policy.retry.wait_after(attempt, run.timer.jitter());
        if !wait.is_zero() && run.cancel.run_until_cancelled(run.timer.sleep(wait)).await.is_none() {
            return Err(cancelled(attempt));
        }
    };
    match run.cancel.run_until_cancelled(fallback(failure, attempt)).await {
        Some(Ok(result)) => Ok(result),
        Some(Err(failure)) => Err(pass.stop(Phase::Exec { attempt, item }, failure)),
        None => Err(cancelled(attempt)),
    }
}

/// Returns the future's result, or [`Failure::Timeout`] if the limit passes first. The future is polled
/// first.
async fn within<T, E>(
    pass: Pass<'_>,
    limit: Option<Duration>,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure<E>> {
    let Some(limit) = limit else {
        return Ok(future.await?);
    };
    match select(pin!(future), pass.run.timer.sleep(limit)).await {
        Either::Left((result, _)) => Ok(result?),
        Either::Right(((), _)) => Err(Failure::Timeout(limit)),
    }
}
