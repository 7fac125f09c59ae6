//! The slow group of the program: it is killed, stopped, and run many times at once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod killed;
mod races;
mod stopped;
mod strace;
#[allow(dead_code, reason = "the other test program uses the rest of it")]
#[path = "../cli/support/mod.rs"]
mod support;
