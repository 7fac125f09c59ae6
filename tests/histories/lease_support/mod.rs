//! Clients that take leases, work under them, pause, lose them and die, and the checks of what they report.

mod check;
mod client;
mod line;

pub(crate) use check::check;
pub(crate) use client::{Client, take_in_the_end, text_of};
pub(crate) use line::{Life, Line};

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
