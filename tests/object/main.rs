//! Stores in a bucket: their requests, the roles of a bucket, and a real bucket that its user names.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod policy;
mod real;
mod requests;
mod roles;
