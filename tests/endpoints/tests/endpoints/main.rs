//! The servers of the tests, through clients that others wrote.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod credentials;
mod gcs;
mod proxy;
mod s3;
mod support;
