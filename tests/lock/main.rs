//! Leases: taking, renewing, waiting, losing and breaking them, and what a save under one may do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod explained;
mod grants;
mod guard;
mod leases;
mod line;
mod saving;
mod waiting;
