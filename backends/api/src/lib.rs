//! The storage contract of pflow-store.
//!
//! A backend keeps named objects and changes them in one way only: by committing a [`Batch`] of conditional
//! writes. Whoever writes a backend depends on this crate alone, implements [`StorageBackend`] and certifies
//! the result with the `conformance` suite (feature `conformance`).
//!
//! - [`Key`] and [`Prefix`]: names that every storage can hold
//! - [`Batch`], [`Operation`], [`Precondition`]: what to change, in which order, under which conditions
//! - [`Commit`]: what became of it; a lost race is a value, not an error
//! - [`Error`]: what failed, and whether the write did not happen or may have
//! - [`probe`]: whether a storage does what it says
//! - [`Environment`]: time, randomness and identity, so that tests can set them

mod backend;
mod batch;
mod capabilities;
mod commit;
#[cfg(feature = "conformance")]
pub mod conformance;
mod environment;
mod error;
mod key;
mod object;
pub mod probe;
mod waiting;

pub use backend::StorageBackend;
pub use batch::{Batch, Operation, Precondition, WriteKind};
pub use capabilities::{Capabilities, Durability};
pub use commit::{Commit, Conflict, Position, Versions};
pub use environment::{
    Environment, EnvironmentError, Identity, ManualEnvironment, Process, SystemEnvironment, time_of_id,
};
pub use error::{Error, ErrorKind, Outcome, Result};
pub use key::{InvalidKey, Key, Prefix};
pub use object::{Listed, Meta, Object, Version};
pub use waiting::Waiting;

/// The target of `tracing` events that say to a person, at any level of detail, what takes a while.
pub const NOTICES: &str = "pflow_store::notice";

// What the signatures above are made of, so that an implementer needs no version juggling.
pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use chrono::{DateTime, Utc};
pub use futures::stream::BoxStream;
