//! Stores workflow plans with their locks, versions and run history safely on any storage.
//!
//! A [`Store`] keeps workflows on a backend: a folder on a disk, memory, or any implementation of
//! [`pflow_backend::StorageBackend`]. Every change of a workflow is one compare-and-swap of its head, so a
//! crash or a race leaves the old state or the new one.
//!
//! - [`Store::builder`]: create or open a store
//! - [`SaveRequest`] with [`Expect`]: a save names the state that it builds on; there is no default
//! - [`Store::load`], [`Store::list`] with a [`Query`]: read workflows
//! - [`Store::workflow`]: a handle of one workflow; [`Workflow::update`] changes it and loses no change of
//!   another writer
//! - [`Store::lock`] with a [`LeaseRequest`]: a lock that a [`LeaseGuard`] renews; a holder that has lost it
//!   cannot write under it
//! - [`Error::kind`], [`Error::remedy`]: what to do when something fails
//! - [`flow`]: the flow runner that all operations use; it can be used by itself
//!
//! # Features
//! A store in memory needs no feature.
//!
//! - `fs`, the only one that is on by default: stores in a folder, on Linux and macOS. Without it the library
//!   builds on Windows as well, and a folder is refused with an error that names the feature.
//! - `s3`, `gcs`, `azure`: stores in buckets
//!
//! The program is a separate package, `pflow-store-cli`.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub use pflow_backend as backend;
#[cfg(feature = "fs")]
pub use pflow_backend_fs as fs;
pub use pflow_backend_memory as memory;
#[cfg(feature = "object")]
pub use pflow_backend_object as object;

mod behind;
mod blocking;
pub mod conflict;
pub mod document;
mod error;
pub mod flow;
pub mod format;
mod gate;
pub mod health;
mod index;
mod lease;
#[cfg(test)]
mod lease_model;
pub mod lock;
pub mod merge;
mod operation;
mod register;
mod remedy;
mod repo;
mod store;
mod text_form;

pub use conflict::{error::Conflict, expect::Expect};
pub use error::{Error, ErrorKind, NoContent, Result};
pub use format::{id::WorkflowId, lease::LeaseId};
pub use index::{Entry, Query, Sort, Unreadable};
pub use lock::{guard::LeaseGuard, request::LeaseRequest};
pub use remedy::Remedy;
pub use store::{
    Store,
    builder::StoreBuilder,
    load::Loaded,
    location::Location,
    request::ChangeRequest,
    save::{SaveRequest, Saved},
    workflow::Workflow,
};

/// Compiles and runs the README's example with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
