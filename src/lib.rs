//! Keeps workflow plans, their locks, versions and run history safe on any storage.

pub use pflow_backend;

pub mod conflict;
pub mod document;
mod error;
pub mod flow;
pub mod index;
pub mod stored;

pub use error::{Error, ErrorKind, Result};
