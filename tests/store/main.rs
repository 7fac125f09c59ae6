//! Saving, loading, listing and deleting through a store, on every kind of storage: races, faults, damage.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod advice;
mod clock;
mod closing;
mod corpus;
mod crashes;
mod dying;
mod edits;
mod expectations;
mod faults;
mod fixtures;
mod forged;
mod formats;
mod gate;
mod handle;
mod instances;
mod late;
mod lost_heads;
mod metadata;
mod missing;
mod newer;
mod places;
mod probing;
mod quarantine;
mod races;
mod reader;
mod saving;
mod seed;
mod shutdown;
mod unsettled;
