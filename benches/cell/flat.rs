//! Whether a save costs the same however much there is.

use std::{
    fs,
    ops::Range,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::clients::{Span, Stopwatch, side_by_side};
use crate::{
    arguments::Order,
    work::{Pool, Workload},
};

/// What a long run shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Flat {
    /// Saves a second at several sizes of the store.
    pub(crate) stretches: Vec<Stretch>,
    /// The last stretch's rate, of the first one's.
    pub(crate) last_to_first: f64,
    /// The most bytes that were seen in the disk backend's own folder; 0 for a peer, which has none.
    pub(crate) journal_bytes: u64,
}

/// Some saves that followed each other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stretch {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) per_second: f64,
}

pub(super) async fn growing(order: &Order) -> (Vec<Span>, Option<Flat>) {
    let peer = order.peer.open(&order.folder).await;
    let (mut client, mut workload) = (peer.client(), Workload::new(0, Pool::new(order.seed)));
    let until = order.until(1, 1);
    let work = async move {
        let mut watch = Stopwatch::start(until);
        while watch.goes_on() {
            let save = workload.save();
            watch.time(client.save(save)).await;
        }
        watch.stop()
    };
    let (journal, over) = (order.folder.join(".journal"), AtomicBool::new(false));
    let (spans, journal_bytes) = thread::scope(|scope| {
        let watcher = scope.spawn(|| most_bytes(&journal, &over));
        let runtime = tokio::runtime::Handle::current();
        // This thread is none of the runtime's workers.
        let spans = scope.spawn(move || runtime.block_on(side_by_side(order.peer.style(), [work]))).join();
        over.store(true, Ordering::Relaxed);
        (spans.unwrap(), watcher.join().unwrap())
    });
    peer.close().await;
    let stretches = stretches(&spans[0].times);
    let rate = |stretch: Option<&Stretch>| stretch.map_or(f64::NAN, |stretch| stretch.per_second);
    let last_to_first = rate(stretches.last()) / rate(stretches.first());
    (spans, Some(Flat { stretches, last_to_first, journal_bytes }))
}

fn stretches(times: &[Duration]) -> Vec<Stretch> {
    let all = times.len();
    // The last one is long enough for whatever a store does now and then.
    let last = all.saturating_sub((all / 20).max(1_000))..all;
    let there =
        [100..1_000, 9_000..11_000, 48_000..52_000, last].into_iter().filter(|range| range.end <= all);
    let stretch = |range: Range<usize>| {
        let took: Duration = times[range.clone()].iter().sum();
        Stretch { from: range.start, to: range.end, per_second: range.len() as f64 / took.as_secs_f64() }
    };
    there.map(stretch).collect()
}

/// The most that a folder held, of what was seen until it is over.
fn most_bytes(folder: &Path, over: &AtomicBool) -> u64 {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        most = most.max(bytes(folder));
        thread::sleep(Duration::from_millis(20));
    }
    most
}

/// Of all files below a folder. What goes while it is looked at has no size.
fn bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
