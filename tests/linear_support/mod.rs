//! Histories of registers: the operations on keys with their replies, and a check that one order explains
//! them.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test file uses its part of it, and a test may panic"
)]

mod careless;
mod client;
mod history;
mod lines;
mod search;

pub(crate) use careless::{Careless, Fault};
pub(crate) use client::{Answer, Client};
pub(crate) use history::{Asked, Event, Found, Told, Value, check};
pub(crate) use lines::{Line, events};
pub(crate) use search::{Effect, Step, Stuck, search};

/// The seed: always the same unless `PFLOW_TEST_SEED` sets another one.
pub(crate) fn seed() -> u64 {
    std::env::var("PFLOW_TEST_SEED").map_or(0x5eed, |seed| seed.parse().unwrap())
}
