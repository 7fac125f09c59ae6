//! Typed reads and writes of what is stored, the heads known to a process, and the gate that admits readers
//! and writers to a store.

mod ancestry;
mod gate;
mod heads;
mod objects;
mod parents;
mod stored_head;
mod traits;
pub(crate) mod trust;

pub(crate) use ancestry::{Candidate, VersionName, VersionStatus, Witnesses, classify, tips};
pub(crate) use gate::{Gate, read_config};
pub(crate) use objects::{Objects, Walk, corrupt, unreadable};
pub(crate) use parents::ParentWalk;
pub(crate) use stored_head::StoredHead;
pub(crate) use traits::Traits;
