//! Keeps workflow plans, their locks, versions and run history safe on any storage.
//!
//! A [`Store`] keeps workflows on a backend: a folder on a disk, memory, or whatever implements
//! [`pflow_backend::StorageBackend`]. Every change of a workflow is one compare-and-swap of its head, so a crash or a race leaves
//! the old state or the new one.
//!
//! - [`Store::init_url`], [`Store::open_url`]: where to begin
//! - [`SaveRequest`] with [`Expect`]: a save says what it builds on; there is no default
//! - [`Store::load`], [`Store::list`] with a [`Query`]: what is there
//! - [`Store::workflow`]: a handle of one workflow; [`Workflow::update`] changes it whatever others save
//!   meanwhile
//! - [`Store::lock`] with a [`LeaseRequest`]: a lock that a [`LeaseGuard`] keeps, and that a holder can lose
//!   and then cannot write
//! - [`Error::kind`], [`Error::remedy`]: what to do when something fails
//! - [`flow`]: the runner that all of this runs on, of use by itself
//!
//! # Features
//! None is on by default: a store is on a disk or in memory. `s3`, `gcs` and `azure` add stores in buckets.
//! The program is a package of its own, `pflow-store-cli`.

pub use pflow_backend;
pub use pflow_backend::NOTICES;
#[cfg(feature = "object")]
pub use pflow_backend_object;

mod behind;
mod blocking;
pub mod conflict;
pub mod document;
mod error;
pub mod flow;
pub mod format;
pub mod index;
mod lease;
#[cfg(test)]
mod lease_model;
pub mod lock;
pub mod merge;
mod operation;
mod register;
mod remedy;
mod repo;
pub mod store;
mod text_form;

pub use conflict::{Conflict, Expect};
pub use error::{Error, ErrorKind, NoContent, Result};
pub use format::{LeaseId, WorkflowId};
pub use index::{Entry, Listing, Query, Sort, Unreadable};
pub use lock::{LeaseGuard, LeaseRequest};
pub use remedy::Remedy;
pub use store::{DeleteRequest, Loaded, SaveRequest, Saved, Store, StoreOptions, UndeleteRequest, Workflow};

/// The README's example is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
