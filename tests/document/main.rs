//! Documents: what is accepted, what their metadata is, what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod corpus;
mod markdown;
mod metadata;
mod oracle;
mod properties;
mod refusals;
