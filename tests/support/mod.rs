//! Stores on every kind of backend, watched and tampered with.
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
mod staged;

use pflow_store::{Conflict, Error, Expect, SaveRequest, WorkflowId};

pub(crate) use bucket::{BucketServer, external};
pub(crate) use hasty::Hasty;
pub(crate) use history::{chain, history, unnamed_parts, versions};
pub(crate) use probe::{Fault, Left, Log, Probe};
pub(crate) use remote::Remote;
pub(crate) use seal::{config_checksum, resealed, sealed_line};
pub(crate) use server::Server;
pub(crate) use site::{Kind, Site, damaged, generations, listed, notices};
pub(crate) use staged::Staged;

/// Runs each of the functions, which take a [`Site`], on every kind of backend. On two threads, because on
/// one alone memory never gives tasks that race a reason to interleave.
macro_rules! every_backend {
    ($($name:ident),+ $(,)?) => { $(
        mod $name {
            use super::support::{Kind, Site};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn memory() {
                super::$name(Site::new(Kind::Memory).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn memory_that_people_edit() {
                super::$name(Site::new(Kind::PlainMemory).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn memory_that_works_like_a_bucket() {
                super::$name(Site::new(Kind::Staged).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn disk() {
                super::$name(Site::new(Kind::Disk).await).await;
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

/// A small workflow that differs by its text.
pub(crate) fn plan(text: &str) -> String {
    format!(r#"{{ "nodes": [ {{ "id": "n", "type": "echo", "params": {{ "text": "{text}" }} }} ] }}"#)
}

/// Saves a small workflow that differs by its text.
pub(crate) fn save(name: &str, text: &str, expect: Expect) -> SaveRequest {
    SaveRequest::new(id(name), plan(text), expect)
}

/// The conflict that it must be.
#[track_caller]
pub(crate) fn conflict<T: std::fmt::Debug>(result: Result<T, Error>) -> Conflict {
    match result {
        Err(Error::Conflict(conflict)) => *conflict,
        other => panic!("not a conflict: {other:?}"),
    }
}
