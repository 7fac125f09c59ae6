//! The index: what there is, without reading every head.
//!
//! A table of [`Entry`] made of three things: an immutable base, immutable segments on top of it, both named
//! by one small root that is changed by compare-and-swap, and the heads of those workflows that pending
//! records name.
//!
//! **Why nothing is missed.** A writer puts its pending record *before* its commit point, and a record goes
//! only after a root that covers it is in place. A reader lists the records first and reads the root after.
//! So a commit that was acknowledged before the reader began is either named by a record that the reader
//! lists or covered by the root that it reads.
//!
//! **Why nothing is invented.** A record is only a hint. Entries are made from heads and never from records.
//!
//! **What it is a witness of.** An entry or a line of the history says that a head had a version once. Where
//! a head is behind that, it was put back or lost, and the entry stays (`repo/ancestry.rs` has the rules).
//! Lines about unconfirmed versions are no witnesses.
//!
//! **Why nothing depends on it.** A lost or damaged index is made anew from the heads, by readers in memory
//! and by the next fold or
//! [`crate::Store::reindex`] for good.

mod ancestry;
mod claim;
mod entry;
mod export;
mod findings;
mod fold;
mod history;
mod parts;
mod pending;
mod query;
mod remembered;
mod settle;
mod table;
mod texts;
mod view;

use bytes::Bytes;

use crate::{
    Result,
    format::keys,
    repo::{Objects, unreadable},
};

pub(crate) use ancestry::Ancestry;
pub use entry::Entry;
pub(crate) use fold::Policy;
pub use query::{Query, Sort};
pub(crate) use table::Lost;
pub(crate) use view::Index;

/// The root of the index of a store that has no workflows yet.
pub(crate) fn empty_root(objects: &Objects) -> Result<Bytes> {
    let root = parts::Root::empty(objects.environment.new_id());
    root.encode().map_err(|source| unreadable(&keys::index_root(), source))
}
