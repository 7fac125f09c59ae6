//! The slow group: long histories of many clients, processes that are killed, networks that lose replies, models.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod backend_model;
mod bucket_chaos;
mod disk_kills;
mod flips;
mod fuzz;
mod lease_chaos;
mod lease_processes;
mod lease_support;
mod linear_check;
mod linear_processes;
mod linear_support;
mod linear_tasks;
mod long_chain;
mod model_support;
mod sequence_support;
mod sequences;
mod store_model;
mod three_devices;
mod verify_beside_writers;
