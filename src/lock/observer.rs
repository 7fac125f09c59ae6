use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::SubsecRound;
use pflow_backend::Environment;

use crate::{
    format::{Head, Lease, LeaseId, WorkflowId},
    lease::{Holder, Sight, Standing},
};

/// The maximum number of leases that are observed at a time.
const WATCHED: usize = 1024;

/// Records for how long this process has seen each lease unchanged, by its own monotonic
/// clock.
///
/// This distinguishes a dead holder from one with a wrong clock: a live holder renews. A lease whose record
/// was dropped counts as newly seen, so a takeover waits a little longer.
#[derive(Debug, Clone)]
pub(crate) struct Observer {
    environment: Arc<dyn Environment>,
    skew: Duration,
    /// Never held across an await.
    seen: Arc<Mutex<HashMap<WorkflowId, SeenLease>>>,
}

/// A lease between two renewals, and when this process first saw it, by its monotonic clock.
#[derive(Debug)]
struct SeenLease {
    id: LeaseId,
    fence: u64,
    renewals: u64,
    since: Duration,
}

impl SeenLease {
    fn is(&self, lease: &Lease) -> bool {
        (&self.id, self.fence, self.renewals) == (&lease.id, lease.fence, lease.renewals)
    }
}

impl Observer {
    pub(crate) fn new(environment: Arc<dyn Environment>, skew: Duration) -> Self {
        Self { environment, skew, seen: Arc::default() }
    }

    /// Returns what is known of the lease in `head`, which was read just now, and records the observation.
    pub(crate) fn sight(&self, head: &Head) -> Sight {
        if let Some(lease) = &head.lease {
            return self.sight_of(lease, self.unchanged(head));
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&head.id);
        let (now, unchanged, holder) =
            (self.environment.now().trunc_subsecs(3), Duration::ZERO, Holder::Unknown);
        Sight { now, skew: self.skew, unchanged, holder }
    }

    /// Returns whether the lease in `head`, which was read just now, must be respected; none if there is no
    /// lease.
    pub(crate) fn standing(&self, head: &Head) -> Option<Standing> {
        let sight = self.sight(head);
        head.lease.as_ref().map(|lease| Standing::of(lease, &sight))
    }

    /// Like [`standing`](Self::standing), for a head that was read some time ago. It records nothing, because
    /// the lease may have been renewed, and observed, since.
    pub(crate) fn standing_as_known(&self, head: &Head) -> Option<Standing> {
        let lease = head.lease.as_ref()?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.get(&head.id).filter(|known| known.is(lease));
        let unchanged =
            known.map_or(Duration::ZERO, |it| self.environment.monotonic().saturating_sub(it.since));
        Some(Standing::of(lease, &self.sight_of(lease, unchanged)))
    }

    fn sight_of(&self, lease: &Lease, unchanged: Duration) -> Sight {
        let (me, pid) = (self.environment.identity(), lease.pid);
        let holder = Holder::of(lease, me, || self.environment.process(pid));
        let skew = if lease.shares_clock_with(me) { Duration::ZERO } else { self.skew };
        Sight { now: self.environment.now().trunc_subsecs(3), skew, unchanged, holder }
    }

    fn unchanged(&self, head: &Head) -> Duration {
        let Some(lease) = &head.lease else { return Duration::ZERO };
        let now = self.environment.monotonic();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen.get(&head.id)
            && known.is(lease)
        {
            return now.saturating_sub(known.since);
        }
        if seen.len() >= WATCHED && !seen.contains_key(&head.id) {
            // Evicts an arbitrary entry: its observation starts again when the lease is next read.
            let any = seen.keys().next().cloned();
            any.and_then(|any| seen.remove(&any));
        }
        let first =
            SeenLease { id: lease.id.clone(), fence: lease.fence, renewals: lease.renewals, since: now };
        seen.insert(head.id.clone(), first);
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use pflow_backend::ManualEnvironment;

    use super::*;
    use crate::lease::Stale;

    const MINUTE: Duration = Duration::from_secs(60);

    fn head(name: &str, clock_ahead: chrono::Duration) -> Head {
        let holder = ManualEnvironment::new(9);
        let now = holder.now() + clock_ahead;
        let id = LeaseId::parse("held").unwrap();
        let lease = Lease::grant(id, 4, "edit".to_owned(), None, holder.identity(), now, MINUTE);
        Head { fence: 4, lease: Some(lease), ..Head::new(WorkflowId::parse(name).unwrap()) }
    }

    #[test]
    fn unrenewed_lease_is_stale_whatever_its_clock_says() {
        let environment = Arc::new(ManualEnvironment::new(1));
        let observer = Observer::new(environment.clone(), Duration::ZERO);
        let mut head = head("a", chrono::Duration::days(3));
        let live = |head: &Head| observer.standing(head).unwrap().is_live();
        for _ in 0..5 {
            assert!(live(&head));
            environment.advance(MINUTE);
            assert!(live(&head), "not longer than it lasts");
            // Renewed, by a clock that does not advance.
            head.lease.as_mut().unwrap().renewals += 1;
        }
        assert!(live(&head));
        environment.advance(MINUTE + Duration::from_millis(1));
        assert!(matches!(observer.standing(&head), Some(Standing::Stale(Stale::Unrenewed { .. }))));
        let other = Observer::new(environment, Duration::ZERO);
        assert!(other.standing(&head).unwrap().is_live(), "who sees it for the first time has seen nothing");
    }

    #[test]
    fn setting_the_wall_clock_does_not_make_a_lease_stale() {
        let environment = Arc::new(ManualEnvironment::new(1));
        let observer = Observer::new(environment.clone(), MINUTE);
        let head = head("a", chrono::Duration::days(3));
        assert!(observer.standing(&head).unwrap().is_live());
        environment.set_now(environment.now() + chrono::Duration::days(2));
        assert!(observer.standing(&head).unwrap().is_live(), "the wall clock counts nothing");
    }

    #[test]
    fn lease_of_the_same_boot_has_no_skew_allowance() {
        let mine = Arc::new(ManualEnvironment::new(9));
        let (same, other) = (Observer::new(mine.clone(), MINUTE), ManualEnvironment::new(1));
        let other = Arc::new(other);
        let elsewhere = Observer::new(other.clone(), MINUTE);
        let mut head = head("a", chrono::Duration::zero());
        head.lease.as_mut().unwrap().host = "renamed".to_owned();
        for (clock, observer, ends) in [(mine, same, MINUTE), (other, elsewhere, MINUTE * 2)] {
            // Each round sees a renewal, so that only the wall clock decides.
            let mut live = || {
                head.lease.as_mut().unwrap().renewals += 1;
                observer.standing(&head).unwrap().is_live()
            };
            clock.advance(ends);
            assert!(live());
            clock.advance(Duration::from_millis(1));
            assert!(!live());
        }
    }

    #[test]
    fn outdated_head_is_judged_but_not_recorded() {
        let environment = Arc::new(ManualEnvironment::new(1));
        let observer = Observer::new(environment.clone(), Duration::ZERO);
        let old = head("a", chrono::Duration::days(3));
        let mut now = old.clone();
        now.lease.as_mut().unwrap().renewals += 1;
        let free = Head { lease: None, ..old.clone() };
        assert!(observer.standing(&now).unwrap().is_live());
        environment.advance(MINUTE + Duration::from_millis(1));
        assert!(observer.standing_as_known(&old).unwrap().is_live());
        assert_eq!(observer.standing_as_known(&free), None);
        assert!(!observer.standing_as_known(&now).unwrap().is_live());
        assert!(!observer.standing(&now).unwrap().is_live(), "the count goes on");
    }

    #[test]
    fn observer_memory_is_bounded() {
        let environment = Arc::new(ManualEnvironment::new(1));
        let observer = Observer::new(environment, MINUTE);
        for n in 0..WATCHED * 2 {
            observer.sight(&head(&format!("w{n}"), chrono::Duration::zero()));
        }
        assert_eq!(observer.seen.lock().unwrap().len(), WATCHED);
        let last = Head { lease: None, ..head(&format!("w{}", WATCHED * 2 - 1), chrono::Duration::zero()) };
        observer.sight(&last);
        assert_eq!(observer.seen.lock().unwrap().len(), WATCHED - 1, "what is released is forgotten");
    }
}
