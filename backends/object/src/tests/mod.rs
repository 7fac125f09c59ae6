//! The backend with a server that answers as planned.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unimplemented,
    clippy::indexing_slicing,
    reason = "this is how a test fails"
)]

mod copies;
mod listings;
mod probing;
mod reads;
mod sentences;
mod server;
mod simulated;
mod writes;

use std::sync::Arc;

use pflow_backend::{
    Batch, Commit, Key, ManualEnvironment, Operation, Result, StorageBackend, Version, Versions,
};

use crate::{ObjectBackend, ObjectOptions, connected::Connected, credentials::Source, place::Place};
use server::{IfMatch, Plan, Server};

fn backend(server: &Arc<Server>) -> ObjectBackend {
    backend_in(server, Arc::new(ManualEnvironment::new(7)))
}

fn backend_in(server: &Arc<Server>, environment: Arc<ManualEnvironment>) -> ObjectBackend {
    let url = "s3://plans/p".parse().unwrap();
    let place = Place {
        url,
        endpoint: "https://test.invalid".to_owned(),
        region: None,
        credentials: Source::default(),
    };
    let connected = Connected { service: server.clone(), place, foreign: Arc::default() };
    ObjectBackend::over(connected, ObjectOptions::default(), environment)
}

fn key(name: &str) -> Key {
    Key::parse(name).unwrap()
}

fn put(name: &str, bytes: &'static str) -> Operation {
    Operation::put(key(name), bytes)
}

async fn commit(backend: &ObjectBackend, operation: Operation) -> Result<Commit> {
    backend.commit(Batch::new().stage([operation])).await
}

/// The versions of a batch that must commit.
fn versions(answer: Result<Commit>) -> Versions {
    match answer {
        Ok(Commit::Committed(versions)) => versions,
        other => panic!("it should commit: {other:?}"),
    }
}

/// Puts an object before the test begins, and clears the list of requests.
async fn given(backend: &ObjectBackend, server: &Server, name: &str, bytes: &'static str) -> Version {
    versions(commit(backend, put(name, bytes)).await);
    let version = backend.stat(&key(name)).await.unwrap().unwrap().version;
    server.requests();
    version
}
