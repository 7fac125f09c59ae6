//! The index: what it costs, what damages it, and what a listing shows while it changes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod cost;
mod damage;
mod history;
mod listing;
mod races;
mod remote;
mod settling;
