//! Stores workflow plans with their locks, versions and run history safely on any storage.
//!
#![doc = include_str!("../docs/guide/library.md")]
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
pub use error::{Advice, Error, ErrorKind, NoContent, Result, Unreadable};
pub use format::{id::WorkflowId, lease::LeaseId};
pub use index::{Entry, Query, Sort};
pub use lock::{guard::LeaseGuard, request::LeaseRequest};
pub use remedy::Remedy;
pub use store::{
    Store,
    builder::StoreBuilder,
    load::{LiveCopy, LiveState, Loaded},
    location::Location,
    request::ChangeRequest,
    save::{SaveRequest, Saved},
    workflow::Workflow,
};

/// Compiles and runs the README's example with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
