//! What can only be seen from inside: what a crash leaves, at every moment; what a call that fails leads to;
//! what everything costs.
//!
//! The disk is [simulated](disk), so that every state that a loss of power may leave can be looked at.
//! `PFLOW_TEST_CRASH_STATES=10` looks at ten times as many.

mod carried;
mod closed;
mod copies;
mod counts;
mod disk;
mod editors;
mod errno;
mod explorer;
mod failed_sync;
mod flips;
mod kill;
mod model;
mod neighbours;
mod observe;
mod player;
mod power;
mod probing;
mod read_only;
mod scripts;
mod takeover;
mod truth;
