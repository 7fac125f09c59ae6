//! The object backend on servers in this process, and on those that the environment names.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod as_object_store;
mod aws_files;
mod aws_programs;
mod azure_and_gcs;
mod client_settings;
mod common;
mod conformance;
mod impostors;
mod late;
mod renewal;
mod settings;
