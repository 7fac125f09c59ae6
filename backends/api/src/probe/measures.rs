//! What is good to know and decides nothing about safety.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::ground::{Ground, Tried, ensure};
use crate::Operation;

/// Storages keep times in whole seconds, some of them.
const RESOLUTION: TimeDelta = TimeDelta::seconds(1);
/// Clocks that are further apart make leases last longer or shorter than their holders think.
const TOLERABLE: TimeDelta = TimeDelta::seconds(60);

/// When the storage says that an object was written that was written just now.
pub(super) async fn clock(ground: &Ground<'_>, name: String) -> Tried<String> {
    let key = ground.key(&name)?;
    let before = ground.environment.now();
    ground.store(Operation::put(key.clone(), ground.body("now")), "a write that names no condition").await?;
    let after = ground.environment.now();
    let modified = ground.read(&key).await?.meta.modified;
    if modified == DateTime::<Utc>::UNIX_EPOCH {
        return Ok("it keeps no times".to_owned());
    }
    // Written at any moment of the call, and the time perhaps cut to the second.
    let (ahead, behind) = (modified - after, before - modified - RESOLUTION);
    let (apart, which) = if ahead > behind { (ahead, "ahead") } else { (behind, "behind") };
    if apart <= TimeDelta::zero() {
        return Ok("it agrees with ours".to_owned());
    }
    let seconds = format!("{}.{:03}", apart.num_seconds(), apart.subsec_nanos() / 1_000_000);
    ensure!(apart <= TOLERABLE, "Its clock is {seconds} s {which} of ours; one of the two is wrong");
    Ok(format!("it is {seconds} s {which} of ours"))
}

/// How long one write and one read take, alone.
pub(super) async fn latency(ground: &Ground<'_>, name: String) -> Tried<String> {
    let key = ground.key(&name)?;
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    for sample in 0..ground.depth.samples.max(1) {
        let put = Operation::put(key.clone(), ground.body(sample));
        let begin = ground.environment.monotonic();
        ground.store(put, "a write that names no condition").await?;
        let written = ground.environment.monotonic();
        ground.read(&key).await?;
        let read = ground.environment.monotonic();
        writes.push(written.saturating_sub(begin));
        reads.push(read.saturating_sub(written));
    }
    Ok(format!("a read takes {}, a write {}", median_and_most(reads), median_and_most(writes)))
}

fn median_and_most(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let millis = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    format!("{:.1} ms (at most {:.1})", millis(times.get(times.len() / 2)), millis(times.last()))
}
