//! Servers inside the test process, on the loopback address, so that a test of the object stores needs only
//! Rust.
//!
//! - [`S3Endpoint`]: S3 over HTTP with signed requests, in front of one linearizable store. [`Quirks`] make
//!   it behave like known servers that are not; [`Shaping`] makes it slow. [`Requests`] records the requests
//!   of clients, in order.
//!
//! - [`GcsEndpoint`]: GCS's XML API in front of the same kind of store.
//!
//! - [`Proxy`]: a proxy in front of any HTTP server that injects faults by a seed. [`FaultPlan`] sets how
//!   often, and a one-shot when.
//!
//! - [`CredentialService`]: hands out the credentials of the S3 servers like an instance's metadata service,
//!   and injects faults by a seed.
//!
//! Every server has its own thread and runtime: it answers while a test blocks (waiting for a program, for
//! example) and while the test's own clock does not advance. It stops when its handle is dropped.
//!
//! If a server cannot be started, the test cannot be run on this machine: `start` panics with the reason.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "for tests alone: a failed start fails the test, and a server has a real clock"
)]

mod credentials;
mod faults;
mod gcs;
mod proxy;
mod quirks;
mod requests;
mod s3;
mod s3_answers;
mod s3_endpoint;
mod server;
mod store;
mod upstream;

pub use credentials::{CredentialFault, CredentialService};
pub use faults::{Fault, FaultPlan};
pub use gcs::{GcsEndpoint, variables as gcs_variables};
pub use proxy::Proxy;
pub use quirks::{Quirks, Shaping};
pub use requests::{Condition, Counts, Kind, Request, Requests};
pub use s3_endpoint::{S3Endpoint, variables as s3_variables};
pub use store::Bucket;

/// The access key that every server here accepts.
pub const ACCESS_KEY: &str = "test";
/// The secret key of [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "testtest";
/// The region that requests are signed for.
pub const REGION: &str = "us-east-1";
