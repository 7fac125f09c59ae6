//! Judges whether a lease must be respected. The same judgement is used wherever a takeover is allowed. It is
//! pure, so that every case can be tested.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use pflow_backend::{Identity, Process};

use crate::format::Lease;

/// Whether others must respect a lease, and why.
///
/// This is courtesy, not safety. A lease that is judged stale although its holder lives is lost to the
/// holder, and the holder's next write fails, because every takeover raises the fence in the same swap. No
/// judgement made here can make a write of a stale holder land.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Others must respect it.
    Live {
        /// Why.
        why: Live,
        /// What is known of the process that holds it.
        holder: Holder,
    },
    /// Another client may take it over.
    Stale(Stale),
}

/// Why a lease must be respected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Live {
    /// Its end is not yet reached.
    NotEnded,
    /// Its end has passed by the observer's clock, but not by more than clocks may differ. Never on the
    /// holder's own machine, because there is only one clock.
    Allowance,
    /// It was taken or renewed in the future: the clocks differ by more than they may, or the one clock was
    /// set back. It becomes stale if it is not renewed for as long as it lasts, by the observer's own
    /// monotonic clock.
    Ahead,
}

/// Why a lease may be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stale {
    /// It ended longer ago than clocks may differ. On the holder's own machine: it ended.
    Expired {
        /// What is known of the process that holds it.
        holder: Holder,
    },
    /// It was not renewed for as long as it lasts, by the observer's own monotonic clock, whatever any wall
    /// clock says.
    Unrenewed {
        /// How long the observer has seen it unchanged.
        seen: Duration,
    },
    /// The process that holds it ran on this machine, in this boot and pid namespace, and is gone.
    ProcessGone,
    /// The process is gone, and another process now has its pid.
    PidReused,
}

/// What an observer knows of the process that holds a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// The process runs.
    Running,
    /// The process is gone: no process has its pid.
    Gone,
    /// The process is gone: another process has its pid.
    Replaced,
    /// The lease is detached: it was taken to outlast the process.
    Detached,
    /// The process is on another machine, as far as its host name tells.
    OtherHost,
    /// The process belongs to another boot of this machine, or to another machine with the same name.
    OtherBoot,
    /// The process is in another pid namespace, usually a container.
    OtherNamespace,
    /// Unknown: the system does not provide the facts that are needed.
    Unknown,
}

/// What an observer knows when it judges a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sight {
    /// The observer's wall clock.
    pub now: DateTime<Utc>,
    /// By how much the holder's clock and the observer's may differ; zero if it is one clock
    /// ([`Lease::shares_clock_with`]).
    pub skew: Duration,
    /// For how long the observer has seen the lease without a renewal, by its own monotonic clock; zero at
    /// first sight.
    pub unchanged: Duration,
    /// The state of the process that holds it.
    pub holder: Holder,
}

impl Standing {
    /// Judges a lease.
    pub fn of(lease: &Lease, sight: &Sight) -> Self {
        let Sight { now, skew, unchanged, holder } = *sight;
        let skew = chrono_of(skew);
        let before = |a: DateTime<Utc>, b: DateTime<Utc>| a.signed_duration_since(b) > skew;
        match holder {
            Holder::Gone => Self::Stale(Stale::ProcessGone),
            Holder::Replaced => Self::Stale(Stale::PidReused),
            _ if before(now, lease.expires) => Self::Stale(Stale::Expired { holder }),
            _ if unchanged > lease.duration() => Self::Stale(Stale::Unrenewed { seen: unchanged }),
            _ if before(lease.refreshed(), now) => Self::Live { why: Live::Ahead, holder },
            _ if now > lease.expires => Self::Live { why: Live::Allowance, holder },
            _ => Self::Live { why: Live::NotEnded, holder },
        }
    }

    /// Whether others must respect the lease.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live { .. })
    }

    /// The longest time until the lease is stale, if it is not renewed meanwhile.
    pub(crate) fn left(lease: &Lease, sight: &Sight) -> Duration {
        let end = lease.expires.signed_duration_since(sight.now).checked_add(&chrono_of(sight.skew));
        // An end beyond the calendar counts as the maximum; an end in the past counts as zero.
        let by_clock = end.unwrap_or(chrono::Duration::MAX).to_std().unwrap_or_default();
        let by_count = lease.duration().saturating_sub(sight.unchanged);
        if matches!(sight.holder, Holder::Gone | Holder::Replaced) {
            Duration::ZERO
        } else {
            by_clock.min(by_count)
        }
    }
}

impl Holder {
    /// What `me` knows of the holder of `lease`. `process` looks up the process with the holder's pid.
    ///
    /// The same boot id means the same machine, whatever its host name: containers have host names of their
    /// own, and a network may assign another one. A pid is judged only if boot and pid namespace are known
    /// and the same, and a process only by its start time. With less evidence an unrelated process could be
    /// mistaken for the holder.
    pub fn of(lease: &Lease, me: &Identity, process: impl FnOnce() -> Process) -> Self {
        let theirs = lease.process();
        if lease.detached {
            return Self::Detached;
        }
        if !lease.shares_clock_with(me) {
            return match (&theirs.boot_id, &me.boot_id) {
                _ if theirs.host != me.host => Self::OtherHost,
                (Some(_), Some(_)) => Self::OtherBoot,
                _ => Self::Unknown,
            };
        }
        match (&theirs.pid_namespace, &me.pid_namespace) {
            (Some(theirs), Some(mine)) if theirs == mine => {}
            (Some(_), Some(_)) => return Self::OtherNamespace,
            _ => return Self::Unknown,
        }
        let Some(start) = &theirs.process_start else { return Self::Unknown };
        match process() {
            Process::Gone => Self::Gone,
            Process::Started(now) if now == *start => Self::Running,
            Process::Started(_) => Self::Replaced,
            _ => Self::Unknown,
        }
    }
}

/// A clause about the holder's process, to be used inside a sentence.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "its process runs",
            Self::Gone => "its process is gone",
            Self::Replaced => "its process is gone, and another one has its pid",
            Self::Detached => "it was taken to outlast the process that took it",
            Self::OtherHost => "its process is on another machine, so whether it runs cannot be told from here",
            Self::OtherBoot => {
                "its process belongs to another boot of this machine, or to another machine of that name, so its pid says nothing here"
            }
            Self::OtherNamespace => "its process is in another pid namespace, so its pid says nothing here",
            Self::Unknown => "whether its process runs cannot be told",
        })
    }
}

impl Standing {
    /// Says why it is live or stale, as a sentence without its full stop.
    pub fn reason(&self, lease: &Lease, now: DateTime<Utc>) -> String {
        let lasts = human(chrono_of(lease.duration()));
        match self {
            Self::Live { why: Live::NotEnded, holder } => format!("its lease has not ended, and {holder}"),
            Self::Live { why: Live::Allowance, holder } => {
                format!("its end lies within the allowance for skewed clocks, and {holder}")
            }
            Self::Live { why: Live::Ahead, holder } => format!(
                "by our clock it was taken or renewed {} in the future, so the clocks differ or the clock was set back, and its end says little; a \
                 caller that waits takes over once it was not renewed for {lasts}; {holder}",
                human(lease.refreshed().signed_duration_since(now))
            ),
            // These two states are only known of processes of the same boot, which have the same clock.
            Self::Stale(Stale::Expired { holder: holder @ (Holder::Running | Holder::OtherNamespace) }) => {
                let ago = human(now.signed_duration_since(lease.expires));
                format!("its lease ended {ago} ago, and its holder did not renew it; {holder}")
            }
            Self::Stale(Stale::Expired { holder }) => format!(
                "its lease ended {} ago, longer than clocks may differ (if its holder's clock is behind ours it may still be in use: then its next write \
                 fails after a takeover); {holder}",
                human(now.signed_duration_since(lease.expires))
            ),
            Self::Stale(Stale::Unrenewed { seen }) => {
                let seen = human(chrono_of(*seen));
                format!("it was not renewed for {seen} while we looked, and it lasts {lasts}")
            }
            Self::Stale(Stale::ProcessGone) => {
                format!("its process {} on this machine is gone", lease.pid)
            }
            Self::Stale(Stale::PidReused) => {
                format!(
                    "its process is gone: the pid {} belongs to one that started at another time",
                    lease.pid
                )
            }
        }
    }
}

fn chrono_of(duration: Duration) -> chrono::Duration {
    chrono::Duration::from_std(duration).unwrap_or(chrono::Duration::MAX)
}

/// Formats the two largest units, as in `1h 5m`; milliseconds if it is less than a second.
pub(crate) fn human(duration: chrono::Duration) -> String {
    let seconds = duration.num_seconds().unsigned_abs();
    let units =
        [("d", seconds / 86_400), ("h", seconds / 3600 % 24), ("m", seconds / 60 % 60), ("s", seconds % 60)];
    let shown: Vec<String> = units
        .iter()
        .skip_while(|(_, count)| *count == 0)
        .take(2)
        .filter(|(_, count)| *count > 0)
        .map(|(unit, count)| format!("{count}{unit}"))
        .collect();
    match (shown.is_empty(), duration.num_milliseconds().unsigned_abs()) {
        (false, _) => shown.join(" "),
        (true, 0) => "0s".to_owned(),
        (true, millis) => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use pflow_backend::{Environment, ManualEnvironment};
    use proptest::prelude::*;

    use super::*;
    use crate::format::LeaseId;

    const MINUTE: Duration = Duration::from_secs(60);
    const SKEW: Duration = Duration::from_secs(10);

    fn lease() -> Lease {
        let environment = ManualEnvironment::new(1);
        let id = LeaseId::parse("lease-1").unwrap();
        Lease::grant(id, 3, "edit".to_owned(), None, environment.identity(), environment.now(), MINUTE)
    }

    /// What an observer sees `passed` milliseconds after the grant.
    fn sight(passed: i64) -> Sight {
        let now = lease().acquired + TimeDelta::milliseconds(passed);
        Sight { now, skew: SKEW, unchanged: Duration::ZERO, holder: Holder::OtherHost }
    }

    fn why(sight: &Sight) -> Live {
        match Standing::of(&lease(), sight) {
            Standing::Live { why, .. } => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lease_is_live_until_its_end_plus_the_clock_allowance() {
        let holder = Holder::OtherHost;
        for (passed, expected) in [
            (0, Live::NotEnded),
            (60_000, Live::NotEnded),
            (60_001, Live::Allowance),
            (70_000, Live::Allowance),
        ] {
            assert_eq!(why(&sight(passed)), expected, "{passed}");
        }
        assert_eq!(Standing::of(&lease(), &sight(70_001)), Standing::Stale(Stale::Expired { holder }));
    }

    #[test]
    fn holder_clock_ahead_neither_frees_nor_extends_the_lease() {
        assert_eq!((why(&sight(-10_000)), why(&sight(-10_001))), (Live::NotEnded, Live::Ahead));
        let days = Sight { unchanged: MINUTE, ..sight(-3 * 86_400_000) };
        assert_eq!(why(&days), Live::Ahead);
        let seen = MINUTE + Duration::from_millis(1);
        let longer = Sight { unchanged: seen, ..days };
        assert_eq!(Standing::of(&lease(), &longer), Standing::Stale(Stale::Unrenewed { seen }));
        assert!(Standing::of(&lease(), &days).reason(&lease(), days.now).contains("3d in the future"));
    }

    #[test]
    fn dead_process_makes_the_lease_stale_whatever_the_clocks_say() {
        for (holder, expected) in [(Holder::Gone, Stale::ProcessGone), (Holder::Replaced, Stale::PidReused)] {
            for passed in [-86_400_000, 0, 86_400_000] {
                let seen = Sight { holder, ..sight(passed) };
                assert_eq!(Standing::of(&lease(), &seen), Standing::Stale(expected));
            }
        }
    }

    #[test]
    fn process_is_judged_only_in_the_same_boot_and_namespace() {
        let me = ManualEnvironment::new(1).identity().clone();
        let seen = |lease: &Lease, process: Process| Holder::of(lease, &me, || process);
        let started = |at: &str| Process::Started(at.to_owned());
        assert_eq!(seen(&lease(), started("1")), Holder::Running);
        assert_eq!(seen(&lease(), started("2")), Holder::Replaced);
        assert_eq!(seen(&lease(), Process::Gone), Holder::Gone);
        assert_eq!(seen(&lease(), Process::Unknown), Holder::Unknown);
        type Change = fn(&mut Lease);
        let others: [(Change, Holder); 8] = [
            (
                |it| (it.host, it.boot_id) = ("elsewhere".to_owned(), Some("before".to_owned())),
                Holder::OtherHost,
            ),
            (|it| (it.host, it.boot_id) = ("elsewhere".to_owned(), None), Holder::OtherHost),
            (|it| it.boot_id = Some("before".to_owned()), Holder::OtherBoot),
            (|it| it.pid_namespace = Some("pid:[2]".to_owned()), Holder::OtherNamespace),
            (|it| it.boot_id = None, Holder::Unknown),
            (|it| it.pid_namespace = None, Holder::Unknown),
            (|it| it.process_start = None, Holder::Unknown),
            (|it| it.detached = true, Holder::Detached),
        ];
        for (change, expected) in others {
            let mut lease = lease();
            change(&mut lease);
            assert_eq!(seen(&lease, Process::Gone), expected);
        }
    }

    #[test]
    fn same_boot_id_is_the_same_machine_whatever_its_name() {
        let me = ManualEnvironment::new(1).identity().clone();
        let renamed = Lease { host: "elsewhere".to_owned(), ..lease() };
        assert!(renamed.shares_clock_with(&me));
        assert_eq!(Holder::of(&renamed, &me, || Process::Gone), Holder::Gone);
        assert_eq!(Holder::of(&renamed, &me, || Process::Started("1".to_owned())), Holder::Running);
        let contained = Lease { pid_namespace: Some("pid:[2]".to_owned()), ..renamed };
        assert_eq!(Holder::of(&contained, &me, || Process::Gone), Holder::OtherNamespace);
        assert!(contained.shares_clock_with(&me));
        for boot_id in [None, Some("before".to_owned())] {
            assert!(!Lease { boot_id, ..lease() }.shares_clock_with(&me));
        }
    }

    proptest! {
        /// An observer that waits for the returned time finds the lease stale one millisecond later, and
        /// still live one millisecond before.
        #[test]
        fn remaining_time_is_exact(passed in -200_000_i64..200_000, unchanged in 0_u64..80_000) {
            let unchanged = Duration::from_millis(unchanged);
            let sight = Sight { unchanged, ..sight(passed) };
            let left = Standing::left(&lease(), &sight);
            let after = |waited: Duration| {
                let now = sight.now + TimeDelta::from_std(waited).unwrap();
                Standing::of(&lease(), &Sight { now, unchanged: unchanged + waited, ..sight.clone() })
            };
            prop_assert!(!after(left + Duration::from_millis(1)).is_live());
            if left > Duration::ZERO {
                prop_assert!(after(left.saturating_sub(Duration::from_millis(1))).is_live());
            }
        }
    }

    #[test]
    fn durations_show_two_units() {
        for (millis, text) in [
            (0, "0s"),
            (250, "250ms"),
            (59_999, "59s"),
            (60_000, "1m"),
            (3_665_000, "1h 1m"),
            (90_000_000, "1d 1h"),
            (-86_405_000, "1d"),
        ] {
            assert_eq!(human(TimeDelta::milliseconds(millis)), text);
        }
    }
}
