//! Measurements that are useful but do not affect safety. They are taken from the requests of other checks.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Verdict, conditions::Measured};

/// Some storages store times in whole seconds.
const RESOLUTION: TimeDelta = TimeDelta::seconds(1);
/// If clocks differ by more, leases last longer or shorter than their holders assume.
const TOLERABLE: TimeDelta = TimeDelta::seconds(60);

/// The difference between the storage's clock and the local one.
pub(super) fn clock(measured: &Measured) -> Verdict {
    let Measured { updated: (before, after), modified, .. } = *measured;
    if modified == DateTime::<Utc>::UNIX_EPOCH {
        return Verdict::Kept("it keeps no times".to_owned());
    }
    // The object was written at some moment during the call, and its time may be truncated to the second.
    let (ahead, behind) = (modified - after, before - modified - RESOLUTION);
    let (apart, which) = if ahead > behind { (ahead, "ahead") } else { (behind, "behind") };
    if apart <= TimeDelta::zero() {
        return Verdict::Kept("it agrees with ours".to_owned());
    }
    let seconds = format!("{}.{:03}", apart.num_seconds(), apart.subsec_nanos() / 1_000_000);
    if apart <= TOLERABLE {
        Verdict::Kept(format!("it is {seconds} s {which} of ours"))
    } else {
        Verdict::Broken(format!("Its clock is {seconds} s {which} of ours; one of the two is wrong"))
    }
}

/// The duration of one write and one read.
pub(super) fn latency(measured: &Measured) -> String {
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    format!("a read took {:.1} ms, a write {:.1} ms", millis(measured.read), millis(measured.write))
}
