//! What the tests of the store and of the program share.
//!
//! - [`Site`] is an empty location on a kind of storage, and [`every_backend!`] runs a test on all kinds.
//! - [`layers`] wrap a storage: they record its calls, inject faults, or make it behave like another one.
//! - [`child`] starts a test once more as a process that can be killed.
//! - The functions read what a store keeps, and write what a crash, a person or another program could leave.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "it is read by those who write tests, and a test may panic"
)]

mod bucket;
pub mod child;
#[cfg(test)]
mod forgotten;
mod hasty;
mod history;
mod kept;
pub mod layers;
mod seal;
mod site;
#[path = "../../../examples/own_backend/sqlite.rs"]
mod sqlite;

use pflow_store::{Conflict, Error, Expect, SaveRequest, WorkflowId};
use tokio::sync::{Mutex, MutexGuard};

pub use bucket::{BucketServer, external};
pub use hasty::Hasty;
pub use history::{chain, history, history_lines, unnamed_parts, versions};
pub use kept::{copy_files, copy_store};
pub use layers::{Fault, Left, Log, Probe, Remote, Server, Staged};
pub use seal::{VersionParts, config_checksum, resealed, sealed_line, version_object};
pub use site::{Kind, Site, damaged, everything, generations, listed, listing, notices};

/// The seed of all random choices of a test: always the same unless `PFLOW_TEST_SEED` sets another one.
#[must_use]
pub fn seed() -> u64 {
    std::env::var("PFLOW_TEST_SEED").map_or(0x5eed, |seed| seed.parse().unwrap())
}

/// The tests that demand that enough happens within a time. They run one after the other, beside tests that
/// need no time of their own.
static TIMED: Mutex<()> = Mutex::const_new(());

/// Waits for the turn of a timed test, which lasts as long as the guard lives.
pub async fn turn() -> MutexGuard<'static, ()> {
    TIMED.lock().await
}

/// As [`turn`], in a test that is not asynchronous.
pub fn blocking_turn() -> MutexGuard<'static, ()> {
    TIMED.blocking_lock()
}

/// Runs each of the functions, which take a [`Site`], on every kind of backend. It uses two threads, because
/// on a single thread racing tasks on the memory backend never interleave.
#[macro_export]
macro_rules! every_backend {
    ($($name:ident),+ $(,)?) => { $(
        mod $name {
            $crate::every_backend! { @kinds $name
                memory: Memory,
                memory_with_plain_files: PlainMemory,
                memory_with_bucket_semantics: Staged,
                disk: Disk,
                sqlite: Sqlite,
                bucket: Bucket,
            }
        }
    )+ };
    (@kinds $name:ident $($kind:ident: $variant:ident,)+) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $kind() {
            super::$name($crate::Site::new($crate::Kind::$variant).await).await;
        }
    )+ };
}

pub fn id(name: &str) -> WorkflowId {
    WorkflowId::parse(name).unwrap()
}

/// Returns a small workflow with this text.
pub fn plan(text: &str) -> String {
    format!(r#"{{ "nodes": [ {{ "id": "n", "type": "echo", "params": {{ "text": "{text}" }} }} ] }}"#)
}

/// Returns a save of a small workflow with this text.
pub fn save(name: &str, text: &str, expect: Expect) -> SaveRequest {
    SaveRequest::new(id(name), plan(text), expect)
}

/// Returns the conflict; panics on any other result.
#[track_caller]
pub fn conflict<T: std::fmt::Debug>(result: Result<T, Error>) -> Conflict {
    match result {
        Err(Error::Conflict(conflict)) => *conflict,
        other => panic!("not a conflict: {other:?}"),
    }
}
