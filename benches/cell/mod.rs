//! The measurement of one peer in one scenario, which runs in a process of its own.

mod clients;
mod flat;
mod memory;
mod reads;
mod saves;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    arguments::Order,
    scenario::{BATCH, Scenario},
};

pub(crate) use flat::Flat;

/// The result of a cell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Found {
    /// The number of operations over all clients. Each save of a batch counts.
    pub(crate) operations: u64,
    /// The operations per second of all clients together.
    pub(crate) per_second: f64,
    /// The median duration of a call. A call saves a whole batch if the scenario does.
    pub(crate) p50_us: f64,
    /// The 99th percentile.
    pub(crate) p99_us: f64,
    /// The peak memory of the process.
    pub(crate) peak_kib: u64,
    /// Only for a long run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flat: Option<Flat>,
}

/// When a client ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this many calls.
    Calls(u64),
}

pub(crate) fn measure(order: &Order) -> Found {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    std::fs::create_dir_all(&order.folder).unwrap();
    let per_call = if order.scenario == Scenario::Batch { BATCH as u64 } else { 1 };
    let (spans, flat) = runtime.block_on(async {
        match order.scenario {
            Scenario::Save { .. } => (saves::singles(order).await, None),
            Scenario::Batch => (saves::batches(order).await, None),
            Scenario::Load => (reads::loads(order).await, None),
            Scenario::Cold | Scenario::List => (vec![reads::openings(order).await], None),
            Scenario::Flat => flat::growing(order).await,
            Scenario::Fill => (reads::fill(order).await, None),
        }
    });
    // The computation of the results is not part of the work.
    let peak_kib = memory::peak_kib();
    let mut times: Vec<f64> = spans.iter().flat_map(|span| &span.times).map(|time| micros(*time)).collect();
    assert!(!times.is_empty(), "nothing was measured: more clients or a larger batch than operations");
    times.sort_by(f64::total_cmp);
    let rate = |span: &clients::Span| (span.times.len() as u64 * per_call) as f64 / span.took.as_secs_f64();
    Found {
        operations: times.len() as u64 * per_call,
        // Each client counts with its own time, so that one slow client does not extend the time of the
        // others.
        per_second: spans.iter().map(rate).sum(),
        p50_us: quantile(&times, 0.5),
        p99_us: quantile(&times, 0.99),
        peak_kib,
        flat,
    }
}

impl Order {
    fn until(&self, clients: usize, per_call: usize) -> Until {
        match self.operations {
            Some(operations) => Until::Calls(operations / (clients * per_call) as u64),
            None => Until::Elapsed(Duration::from_secs_f64(self.seconds)),
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
