//! The memory backend, and the conformance suite against backends that are wrong.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod broken;
mod conformance;
mod probe;
mod suite_can_fail;
mod weakest;
mod wrappers;
