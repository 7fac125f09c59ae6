//! Clients that take leases, work under them, pause, lose them and die, and the checks of what they report.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test file uses its part of it, and a test may panic"
)]

mod check;
mod client;
mod line;

pub(crate) use check::check;
pub(crate) use client::{Client, take_in_the_end, text_of};
pub(crate) use line::{Life, Line};

/// The seed: always the same unless `PFLOW_TEST_SEED` sets another one.
pub(crate) fn seed() -> u64 {
    std::env::var("PFLOW_TEST_SEED").map_or(0x5eed, |seed| seed.parse().unwrap())
}

/// How long the clients work: `PFLOW_TEST_LEASE_SECONDS`, 4 unless set.
pub(crate) fn duration() -> std::time::Duration {
    let seconds = std::env::var("PFLOW_TEST_LEASE_SECONDS").map_or(4, |seconds| seconds.parse().unwrap());
    std::time::Duration::from_secs(seconds)
}

/// The number of workflows that all clients share.
pub(crate) const WORKFLOWS: u64 = 6;

pub(crate) fn workflow(number: u64) -> String {
    format!("w{number}")
}
