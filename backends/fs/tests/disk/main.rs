//! The disk backend through its public API.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may panic, and says what it skips"
)]

mod common;
mod conformance;
mod damage;
mod editors;
mod ext4;
mod following;
mod foreign;
mod instances;
mod listing;
mod locking;
mod objects;
mod probing;
mod sparse;
mod waiting;
