//! What is stored: the formats, the names, and typed reads of both.
//!
//! Everything here is final: a later program reads what this one wrote, and this one refuses what a later one wrote, by
//! the `format` that every stored JSON document carries. JSON fields that this program does not know survive a rewrite.
//!
//! ```text
//! config.json                                    format, store id, required features, settings
//! index.json, index.bak                          export of the index, and the one before
//! ops/checkpoint                                 root of the index
//! ops/base/<ulid>, ops/segments/<ulid>           its immutable parts
//! ops/pending/<id>.<generation>.<version_id>     "this workflow may have changed"
//! workflows/<id>/metadata.json                   the head: one register per workflow
//! workflows/<id>/workflow.json                   current content, byte for byte
//! workflows/<id>/workflow.lock                   mirror of the lease
//! versions/<id>/<generation>-<version_id>        a version's record in one line, then its content
//! ```

mod config;
mod field;
mod format;
mod gate;
mod head;
mod id;
pub(crate) mod layout;
mod lease;
mod objects;
mod version;

pub use config::{Config, Features};
pub(crate) use field::check_text;
pub use format::FormatError;
pub(crate) use format::{Kind, decode, encode_line, encode_pretty};
pub(crate) use gate::{Gate, read_config};
pub use head::{Ancestor, Current, Head};
pub use id::{InvalidId, WorkflowId};
pub use lease::{InvalidLeaseId, Lease, LeaseId, Lockfile};
pub(crate) use objects::{Objects, StoredHead, corrupt, unreadable};
pub use version::{MAX_GENERATION, StoredVersion, VersionRecord, VersionRef};
