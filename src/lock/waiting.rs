//! Waits for a lock that another client holds.

use std::time::Duration;

use super::{Grant, LeaseRequest, Locks, grants::Asking, line::Turn, pending::Granted};
use crate::{
    Error, Result,
    conflict::Conflict,
    format::{Lease, LeaseId, WorkflowId},
    lease::Standing,
    repo::Traits,
};

/// How often the first waiter in line reads the head: after a fraction of the time waited so far. So a lock
/// that is released quickly is acquired quickly, and one that is held for long costs few reads.
///
/// `docs/decisions/0032-waiting-for-a-lock.md` says why it polls instead of watching the files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    shortest: Duration,
    longest: Duration,
}

/// The next read follows after this fraction of the time waited, up to the longest pause.
const PART: u32 = 16;
/// For long waits the pause grows to this fraction of the time waited, up to ten times the longest pause.
const LONG_PART: u32 = 400;

impl Pace {
    /// Returns the pace for a storage: a read is a few bytes on the local machine, and a request elsewhere.
    pub(super) fn of(traits: Traits) -> Self {
        let (shortest, longest) = if traits.is_remote { (100, 2000) } else { (1, 25) };
        Self { shortest: Duration::from_millis(shortest), longest: Duration::from_millis(longest) }
    }

    /// Returns the pause before the next read after waiting for `waited`. It is randomised so that processes
    /// that wait together do not poll together.
    fn pause(self, waited: Duration, jitter: f64) -> Duration {
        let prompt = (waited / PART).clamp(self.shortest, self.longest);
        let patient = (waited / LONG_PART).min(self.longest * 10);
        prompt.max(patient).mul_f64(0.5 + jitter)
    }
}

impl Locks {
    /// Acquires the lock, and waits as long as the request says.
    ///
    /// Dropping the future while it waits changes nothing. Dropping it while it requests the lease releases a
    /// lease that is granted regardless.
    pub(crate) async fn acquire(&self, id: &WorkflowId, request: LeaseRequest) -> Result<Grant> {
        self.wait_for(id, request, |_| Some(())).await.map(|(granted, ())| granted.grant)
    }

    /// The same, with what `tie` makes of the name of the grant ([`Locks::ask`]).
    pub(super) async fn wait_for<T>(
        &self,
        id: &WorkflowId,
        request: LeaseRequest,
        tie: fn(&Asking) -> Option<T>,
    ) -> Result<(Granted, T)> {
        request.check()?;
        let environment = self.objects.environment.as_ref();
        let claim = request.claim(environment)?;
        let (begun, patience) = (environment.monotonic(), claim.patience());
        let left = || patience.saturating_sub(environment.monotonic().saturating_sub(begun));
        if patience.is_zero() {
            return self.ask(id, &claim, tie).await;
        }
        let line = self.lines.of(id);
        let Some(turn) = self.gate.unless_shut(line.turn(environment, patience)).await? else {
            // The time is over before our turn. This attempt returns the lock or a conflict that names the
            // holder.
            return self.ask(id, &claim, tie).await;
        };
        loop {
            let held = match self.ask(id, &claim, tie).await {
                Err(Error::Conflict(conflict)) => match *conflict {
                    Conflict::Locked { ref lease, .. } | Conflict::AlreadyLocked { ref lease, .. }
                        if !left().is_zero() =>
                    {
                        lease.id.clone()
                    }
                    other => return Err(other.into()),
                },
                // A temporary storage error does not end the wait, as it does not end a wait in which only
                // the head is read. Every attempt requests the same grant.
                Err(error) if error.may_pass() && !left().is_zero() => {
                    tracing::warn!(%id, %error, "the lock could not be asked for; it is tried again while it is waited for");
                    let pause =
                        self.pace.pause(patience.saturating_sub(left()), environment.jitter()).min(left());
                    self.gate.unless_shut(turn.pause(environment, pause)).await?;
                    continue;
                }
                other => return other,
            };
            self.gate.unless_shut(self.watch(&turn, id, &held, left())).await??;
        }
    }

    /// Waits until the lease `seen` is no longer in the head, may be taken over, or `limit` is over,
    /// whichever comes first. The result is a hint: the caller must read the head itself, because another
    /// client may hold the lock by then.
    ///
    /// # Errors
    /// Errors of the storage that are not transient.
    pub(crate) async fn await_change(&self, id: &WorkflowId, seen: &Lease, limit: Duration) -> Result<()> {
        let environment = self.objects.environment.as_ref();
        let begun = environment.monotonic();
        let line = self.lines.of(id);
        let Some(turn) = line.turn(environment, limit).await else { return Ok(()) };
        let left = limit.saturating_sub(environment.monotonic().saturating_sub(begun));
        self.watch(&turn, id, &seen.id, left).await
    }

    /// Takes the first place in line, unless `turn` shows that the caller has it, and then waits like
    /// [`await_change`](Self::await_change) for the end of the lease that is in the head **then**. The lease
    /// `met` on arrival may have ended long ago; a caller that came back for it would find the next lease and
    /// would join the line at its end again.
    ///
    /// The caller keeps the turn until it drops it, so that no other caller of this process gets between the
    /// end of the wait and the caller's own operation. None if the time was over before the turn came.
    ///
    /// # Errors
    /// Errors of the storage that are not transient.
    pub(crate) async fn await_turn(
        &self,
        id: &WorkflowId,
        met: &Lease,
        turn: Option<Turn>,
        limit: Duration,
    ) -> Result<Option<Turn>> {
        let environment = self.objects.environment.as_ref();
        let begun = environment.monotonic();
        let Some(turn) = (match turn {
            Some(turn) => Some(turn),
            None => self.lines.of(id).turn(environment, limit).await,
        }) else {
            return Ok(None);
        };
        let held = match self.look(id).await {
            Ok(Some((held, _))) => held,
            Ok(None) => return Ok(Some(turn)),
            // The next successful read will tell.
            Err(error) if error.may_pass() => met.id.clone(),
            Err(other) => return Err(other),
        };
        let left = limit.saturating_sub(environment.monotonic().saturating_sub(begun));
        self.watch(&turn, id, &held, left).await?;
        Ok(Some(turn))
    }

    /// Waits like [`await_change`](Self::await_change), for the first in line.
    async fn watch(&self, turn: &Turn, id: &WorkflowId, seen: &LeaseId, limit: Duration) -> Result<()> {
        let environment = self.objects.environment.as_ref();
        let begun = environment.monotonic();
        // The time until the lease is stale, as of the last read.
        let mut stale_in = Duration::MAX;
        loop {
            let waited = environment.monotonic().saturating_sub(begun);
            if waited >= limit {
                return Ok(());
            }
            // One millisecond more, because the lease is not stale yet at its very end.
            let by_lease = stale_in.saturating_add(Duration::from_millis(1));
            let pause = self.pace.pause(waited, environment.jitter()).min(by_lease).min(limit - waited);
            if turn.pause(environment, pause).await {
                return Ok(());
            }
            match self.look(id).await {
                Ok(Some((held, left))) if held == *seen => stale_in = left,
                Ok(_) => return Ok(()),
                Err(error) if error.may_pass() => {
                    tracing::debug!(%id, %error, "the lock that is waited for could not be looked at");
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// Returns the lease that must be respected now, if there is one, and the time until it is stale unless
    /// it is renewed.
    async fn look(&self, id: &WorkflowId) -> Result<Option<(LeaseId, Duration)>> {
        let head = self.objects.head(id).await?.head;
        let Some(lease) = &head.lease else { return Ok(None) };
        let sight = self.observer.sight(&head);
        let is_live = Standing::of(lease, &sight).is_live();
        Ok(is_live.then(|| (lease.id.clone(), Standing::left(lease, &sight))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_slows_down_within_bounds() {
        let local = Pace { shortest: Duration::from_millis(1), longest: Duration::from_millis(25) };
        let pauses = [0, 16, 160, 1600, 10_000, 40_000, 400_000]
            .map(|waited| local.pause(Duration::from_millis(waited), 0.5));
        assert_eq!(pauses.map(|pause| pause.as_millis()), [1, 1, 10, 25, 25, 100, 250]);
        let spread = [0.0, 0.999].map(|jitter| local.pause(Duration::from_secs(6), jitter).as_millis());
        assert_eq!(spread, [12, 37]);
    }
}
