//! Keeps workflow plans, their locks, versions and run history safe on any storage.

pub use pflow_backend;

pub mod conflict;
pub mod document;
mod error;
pub mod flow;
pub mod index;
pub mod lock;
mod operation;
pub mod store;
pub mod stored;

pub use conflict::{Conflict, Expect};
pub use error::{Error, ErrorKind, Result};
pub use index::{Entry, Query, Sort};
pub use lock::LeaseRequest;
pub use store::{DeleteRequest, Loaded, SaveRequest, Saved, Store, StoreOptions, UndeleteRequest};
pub use stored::{LeaseId, WorkflowId};
