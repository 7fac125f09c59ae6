//! Typed reads and writes of what is stored, and the heads known to a process.

mod ancestry;
mod common;
mod heads;
mod objects;
mod parents;
mod records;
mod stored_head;
mod traits;

pub(crate) use ancestry::{Candidate, VersionName, VersionStatus, Witnesses, classify, tips};
pub(crate) use objects::{Objects, Walk, corrupt, unreadable};
pub(crate) use parents::ParentWalk;
pub(crate) use stored_head::StoredHead;
pub(crate) use traits::Traits;
