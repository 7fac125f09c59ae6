//! Waiting for a lock that somebody else holds.

use std::time::Duration;

use super::{
    Grant, LeaseRequest, Locks,
    line::Turn,
    pending::{Granted, Use},
};
use crate::{
    Error, Result,
    conflict::Conflict,
    format::{Lease, LeaseId, WorkflowId},
    lease::Standing,
    repo::Traits,
};

/// How often whoever is first in line looks at the head: after a part of the time that it has waited already,
/// so that a lock that is handed over quickly is had quickly, and one that is held for long costs little.
///
/// Why looks and no watch on the files: ARCHITECTURE.md, "Waiting for a lock".
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    shortest: Duration,
    longest: Duration,
}

/// A look follows the one before after this part of the whole wait, up to the longest pause.
const PART: u32 = 16;
/// And after this part, up to ten times as long, of a wait that has taken so long that it makes no
/// difference.
const LONG_PART: u32 = 400;

impl Pace {
    /// What suits a storage. On this machine a look is a read of a few bytes, elsewhere a request.
    pub(super) fn of(traits: Traits) -> Self {
        let (shortest, longest) = if traits.is_remote { (100, 2000) } else { (1, 25) };
        Self { shortest: Duration::from_millis(shortest), longest: Duration::from_millis(longest) }
    }

    /// How long until the next look of somebody who has waited for so long. At random, so that processes that
    /// wait together do not look together.
    fn pause(self, waited: Duration, jitter: f64) -> Duration {
        let prompt = (waited / PART).clamp(self.shortest, self.longest);
        let patient = (waited / LONG_PART).min(self.longest * 10);
        prompt.max(patient).mul_f64(0.5 + jitter)
    }
}

impl Locks {
    /// Acquires, and waits for it as long as the request says.
    ///
    /// Dropped while it waits, it changes nothing; dropped while it asks for the lease, what it is granted
    /// all the same is given back behind it.
    pub(crate) async fn acquire(&self, id: &WorkflowId, request: LeaseRequest) -> Result<Grant> {
        self.wait_for(id, request, Use::Caller).await.map(|granted| granted.grant)
    }

    pub(super) async fn wait_for(
        &self,
        id: &WorkflowId,
        request: LeaseRequest,
        wanted: Use,
    ) -> Result<Granted> {
        request.check()?;
        let environment = self.objects.environment.as_ref();
        let claim = request.claim(environment)?;
        let (begun, patience) = (environment.monotonic(), claim.patience());
        let left = || patience.saturating_sub(environment.monotonic().saturating_sub(begun));
        if patience.is_zero() {
            return self.ask(id, &claim, wanted).await;
        }
        let line = self.lines.of(id);
        let Some(turn) = line.turn(environment, patience).await else {
            // The time is over before our turn came: this answer names the holder, or is the lock after all.
            return self.ask(id, &claim, wanted).await;
        };
        loop {
            let held = match self.ask(id, &claim, wanted).await {
                Err(Error::Conflict(conflict)) => match *conflict {
                    Conflict::Locked { ref lease, .. } | Conflict::AlreadyLocked { ref lease, .. }
                        if !left().is_zero() =>
                    {
                        lease.id.clone()
                    }
                    other => return Err(other.into()),
                },
                // A storage that fails for a while ends no wait, as it ends none in which only the head is
                // looked at. What is asked for is the same grant.
                Err(error) if error.may_pass() && !left().is_zero() => {
                    tracing::warn!(%id, %error, "the lock could not be asked for; it is tried again while it is waited for");
                    let pause =
                        self.pace.pause(patience.saturating_sub(left()), environment.jitter()).min(left());
                    turn.pause(environment, pause).await;
                    continue;
                }
                other => return other,
            };
            self.watch(&turn, id, &held, left()).await?;
        }
    }

    /// Waits until the lease `seen` is not in the head any more, or may be taken over, or `limit` is over,
    /// whichever comes first. Whoever comes back looks for itself: this is a hint, and another one may have
    /// the lock by then.
    ///
    /// # Errors
    /// Errors of the storage that a moment does not mend.
    pub(crate) async fn await_change(&self, id: &WorkflowId, seen: &Lease, limit: Duration) -> Result<()> {
        let environment = self.objects.environment.as_ref();
        let begun = environment.monotonic();
        let line = self.lines.of(id);
        let Some(turn) = line.turn(environment, limit).await else { return Ok(()) };
        let left = limit.saturating_sub(environment.monotonic().saturating_sub(begun));
        self.watch(&turn, id, &seen.id, left).await
    }

    /// Becomes the first in line, unless `turn` says that the caller is, and waits like
    /// [`await_change`](Self::await_change) for the end of whatever lease is in the head **then**: the one
    /// that was `met` on arrival has long changed hands, and whoever came back for that would find the next
    /// one and stand last again.
    ///
    /// The turn is the caller's until it is dropped, so that nobody of this process comes between the end of
    /// the wait and what it was for. None if the time was over before it came.
    ///
    /// # Errors
    /// Errors of the storage that a moment does not mend.
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
            // The look that succeeds will tell.
            Err(error) if error.may_pass() => met.id.clone(),
            Err(other) => return Err(other),
        };
        let left = limit.saturating_sub(environment.monotonic().saturating_sub(begun));
        self.watch(&turn, id, &held, left).await?;
        Ok(Some(turn))
    }

    /// The same for the first in line.
    async fn watch(&self, turn: &Turn, id: &WorkflowId, seen: &LeaseId, limit: Duration) -> Result<()> {
        let environment = self.objects.environment.as_ref();
        let begun = environment.monotonic();
        // What is known of the lease, from the last look on.
        let mut stale_in = Duration::MAX;
        loop {
            let waited = environment.monotonic().saturating_sub(begun);
            if waited >= limit {
                return Ok(());
            }
            // A moment longer than it takes to be stale: at the very end it is not yet.
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

    /// The lease that must be respected now, if there is one, and how long until it is stale unless it is
    /// renewed.
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
    fn looks_become_rarer_and_stay_within_bounds() {
        let local = Pace { shortest: Duration::from_millis(1), longest: Duration::from_millis(25) };
        let pauses = [0, 16, 160, 1600, 10_000, 40_000, 400_000]
            .map(|waited| local.pause(Duration::from_millis(waited), 0.5));
        assert_eq!(pauses.map(|pause| pause.as_millis()), [1, 1, 10, 25, 25, 100, 250]);
        let spread = [0.0, 0.999].map(|jitter| local.pause(Duration::from_secs(6), jitter).as_millis());
        assert_eq!(spread, [12, 37]);
    }
}
