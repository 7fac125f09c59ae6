//! Measures whether the cost of a save is independent of the size of the store.

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

/// The result of a long run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Flat {
    /// Saves per second at several sizes of the store.
    pub(crate) stretches: Vec<Stretch>,
    /// The rate of the last stretch, relative to the first one.
    pub(crate) last_to_first: f64,
    /// The largest observed size in bytes of the disk backend's own folder; 0 for a peer without one.
    pub(crate) journal_bytes: u64,
}

/// Consecutive saves.
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
        // This thread is not a worker of the runtime.
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
    // The last stretch is long enough to include the occasional work of a store.
    let last = all.saturating_sub((all / 20).max(1_000))..all;
    let there =
        [100..1_000, 9_000..11_000, 48_000..52_000, last].into_iter().filter(|range| range.end <= all);
    let stretch = |range: Range<usize>| {
        let took: Duration = times[range.clone()].iter().sum();
        Stretch { from: range.start, to: range.end, per_second: range.len() as f64 / took.as_secs_f64() }
    };
    there.map(stretch).collect()
}

/// Returns the largest observed size of a folder, until `over` is set.
fn most_bytes(folder: &Path, over: &AtomicBool) -> u64 {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        most = most.max(bytes(folder));
        thread::sleep(Duration::from_millis(20));
    }
    most
}

/// Returns the size of all files below a folder. A file that is removed in the meantime counts as 0.
fn bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
