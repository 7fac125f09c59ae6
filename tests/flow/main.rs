//! The flow runner.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod around;
mod batch;
mod batch_flow;
mod drawing;
mod failures;
mod graph;
mod pocketflow;
mod semantics;
mod short_forms;
mod stopping;
mod support;
mod trace;
