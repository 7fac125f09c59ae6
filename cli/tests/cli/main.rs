//! The program, run as a person or a script runs it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod bucket;
mod bucket_memory;
mod bucket_unsafe;
mod config;
mod conflicts;
mod corpus;
mod damage;
mod delete;
mod doctor;
mod documents;
mod edit;
mod generated;
mod git;
mod journeys;
mod list;
mod lock;
mod lock_run;
mod output;
mod pflow;
mod readme;
mod save;
mod save_all;
mod signals;
mod store;
mod support;
mod unreadable;
mod verify;
mod waiting;
