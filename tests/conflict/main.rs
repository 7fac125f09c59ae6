//! Saves on top of an old version: policies, resolvers, and races of both.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod policies;
mod races;
mod resolvers;
mod support;
