//! The three-way merge of documents.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod bounds;
mod cases;
mod clashes;
mod corpus;
mod joins;
mod large;
mod markdown;
mod properties;
mod support;
