//! Keeps workflow plans, their locks, versions and run history safe on any storage.

pub mod flow;

pub use pflow_backend;

pub mod document;
