//! The storage contract of pflow-store.
//!
//! A backend stores named objects. Their only change is a commit of a [`Batch`] of conditional writes. A
//! backend crate depends on this crate alone, implements [`StorageBackend`] and is certified by the
//! `conformance` suite (feature `conformance`).
//!
//! - [`Key`] and [`Prefix`]: names that every storage can hold
//! - [`Batch`], [`Operation`], [`Precondition`]: the changes, their order and their conditions
//! - [`Commit`]: the result; a lost race is a value, not an error
//! - [`Error`]: the failure, and whether the write did not happen or may have happened
//! - [`Blocking`]: a backend over an embedded database, whose calls block
//! - [`paged`]: a listing, from a function that reads one page
//! - [`probe`]: tests whether a storage keeps its guarantees
//! - [`Environment`]: time, randomness and identity, which tests can control
//!
//! # Features
//! `conformance`, off by default: the suite, for the tests of a backend.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod batch;
mod blocking;
mod capabilities;
mod commit;
#[cfg(feature = "conformance")]
pub mod conformance;
mod environment;
mod error;
mod key;
mod object;
mod paged;
pub mod probe;
mod waiting;

pub use backend::StorageBackend;
pub use batch::{Batch, Operation, Precondition, WriteKind};
pub use blocking::{Blocking, BlockingStorage};
pub use capabilities::{Capabilities, Durability};
pub use commit::{Commit, Conflict, Position, Versions};
pub use environment::{
    Environment, EnvironmentError, Identity, ManualEnvironment, Process, SystemEnvironment, time_of_id,
};
pub use error::{Error, ErrorKind, Outcome, Result};
pub use key::{InvalidKey, Key, Prefix};
pub use object::{Excerpt, Listed, Meta, Object, Version};
pub use paged::{Row, Span, paged};
pub use waiting::Waiting;

/// The target of `tracing` events that tell a person about operations that take a while, at any level of
/// detail.
pub const NOTICES: &str = "pflow_store::notice";

// Types in the signatures above, so that an implementer need not match versions.
pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use chrono::{DateTime, Utc};
pub use futures::stream::BoxStream;
