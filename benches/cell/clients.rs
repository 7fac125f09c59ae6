//! Concurrent clients, and the stopwatch of each.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use super::Until;
use crate::peers::Style;

/// The measurements of one client.
#[derive(Debug)]
pub(super) struct Span {
    /// The duration of each call.
    pub(super) times: Vec<Duration>,
    /// From the first call to the end of the last, or the sum of the calls' durations.
    pub(super) took: Duration,
}

/// Runs one client for each of these futures, in the style of the peer, and waits for all.
///
/// Threads of a blocking peer poll their futures themselves: the calls block, and wait only for the common
/// start.
pub(super) async fn side_by_side<F>(style: Style, clients: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let mut ended = Vec::new();
    match style {
        Style::Tasks => {
            let tasks: Vec<_> = clients.into_iter().map(tokio::spawn).collect();
            for task in tasks {
                ended.push(task.await.unwrap());
            }
        }
        Style::Threads => {
            let spawn = |client| {
                let runtime = Handle::current();
                thread::spawn(move || runtime.block_on(client))
            };
            let threads: Vec<_> = clients.into_iter().map(spawn).collect();
            // The runtime has no other work that this could block.
            ended.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
        }
    }
    ended
}

/// Times the calls of one client.
#[derive(Debug)]
pub(super) struct Stopwatch {
    until: Until,
    began: Instant,
    times: Vec<Duration>,
}

impl Stopwatch {
    pub(super) fn start(until: Until) -> Self {
        let calls = if let Until::Calls(calls) = until { calls } else { 0 };
        // Allocated at once, so that growing the list does not count as memory of the peer.
        let times = Vec::with_capacity(calls as usize);
        Self { until, began: Instant::now(), times }
    }

    /// Whether another call is due.
    pub(super) fn goes_on(&self) -> bool {
        match self.until {
            Until::Elapsed(limit) => self.began.elapsed() < limit,
            Until::Calls(calls) => (self.times.len() as u64) < calls,
        }
    }

    pub(super) async fn time<T>(&mut self, call: impl Future<Output = T>) -> T {
        let before = Instant::now();
        let answer = call.await;
        self.times.push(before.elapsed());
        answer
    }

    pub(super) fn stop(self) -> Span {
        Span { times: self.times, took: self.began.elapsed() }
    }

    /// Stops a watch with untimed work between the calls.
    pub(super) fn stop_without_pauses(self) -> Span {
        let took = self.times.iter().sum();
        Span { times: self.times, took }
    }
}
