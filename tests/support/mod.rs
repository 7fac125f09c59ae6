//! Stores on every kind of backend, with a probe that records calls and injects faults.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test file uses its part of it, and a test may panic"
)]

mod bucket;
mod hasty;
mod history;
mod probe;
mod remote;
mod seal;
mod server;
mod site;
#[path = "../../examples/own_backend/sqlite.rs"]
mod sqlite;
mod staged;

use pflow_store::{Conflict, Error, Expect, SaveRequest, WorkflowId};

pub(crate) use bucket::{BucketServer, external};
pub(crate) use hasty::Hasty;
pub(crate) use history::{chain, history, unnamed_parts, versions};
pub(crate) use probe::{Fault, Left, Log, Probe};
pub(crate) use remote::Remote;
pub(crate) use seal::{config_checksum, resealed, sealed_line};
pub(crate) use server::Server;
pub(crate) use site::{Kind, Site, damaged, everything, generations, listed, listing, notices};
pub(crate) use staged::Staged;

/// Runs each of the functions, which take a [`Site`], on every kind of backend. It uses two threads, because
/// on a single thread racing tasks on the memory backend never interleave.
macro_rules! every_backend {
    ($($name:ident),+ $(,)?) => { $(
        mod $name {
            use super::support::{Kind, Site};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn memory() {
                super::$name(Site::new(Kind::Memory).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn memory_with_plain_files() {
                super::$name(Site::new(Kind::PlainMemory).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn memory_with_bucket_semantics() {
                super::$name(Site::new(Kind::Staged).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn disk() {
                super::$name(Site::new(Kind::Disk).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name(Site::new(Kind::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn bucket() {
                super::$name(Site::new(Kind::Bucket).await).await;
            }
        }
    )+ };
}
pub(crate) use every_backend;

pub(crate) fn id(name: &str) -> WorkflowId {
    WorkflowId::parse(name).unwrap()
}

/// Returns a small workflow with this text.
pub(crate) fn plan(text: &str) -> String {
    format!(r#"{{ "nodes": [ {{ "id": "n", "type": "echo", "params": {{ "text": "{text}" }} }} ] }}"#)
}

/// Returns a save of a small workflow with this text.
pub(crate) fn save(name: &str, text: &str, expect: Expect) -> SaveRequest {
    SaveRequest::new(id(name), plan(text), expect)
}

/// Returns the conflict; panics on any other result.
#[track_caller]
pub(crate) fn conflict<T: std::fmt::Debug>(result: Result<T, Error>) -> Conflict {
    match result {
        Err(Error::Conflict(conflict)) => *conflict,
        other => panic!("not a conflict: {other:?}"),
    }
}
