//! The stored formats and the key names, pure: no I/O.
//!
//! Everything here is final: a later program reads what this one wrote, and this one refuses what a later one
//! wrote, by the `format` that every stored JSON document carries.
//!
//! Fields that this program does not know survive a rewrite in what is rewritten as a register: config, head,
//! lease, index root. What a version says of itself is written once. What is repeated elsewhere in short
//! (names of versions, index entries, names of parts) is closed: a program that adds to one of these adds a
//! feature that writers must know. The media type of a content is open: one that this program does not know
//! is kept as it is, and only that content is refused.
//!
//! Heads, the lines of versions and the index root end with a checksum of themselves (`seal.rs`), and
//! config.json has one of what makes the store (`config.rs`): a flipped bit is noticed by whoever reads it.
//! Index parts are named by their hash.
//!
//! ```text
//! config.json                                    format, store id, required features, settings
//! index.json, index.bak                          export of the index, and the one before
//! ops/checkpoint                                 root of the index
//! ops/base/<ulid>, ops/segments/<ulid>           its immutable parts
//! ops/pending/<id>.<generation>.<version_id>     "this workflow may have changed"; empty
//! ops/pending/<id or _store>.<ulid>.op           an operation that makes no version
//! ops/probe/<ulid>/…                             what a probe of the storage tries, and deletes again
//! workflows/<id>/metadata.json                   the head: one register per workflow
//! workflows/<id>/workflow.json                   current content, byte for byte
//! workflows/<id>/workflow.lock                   mirror of the lease
//! workflows/<id>/workflow.lock.<sha256>.odd      what somebody else had put in the mirror's place; theirs to look at and to delete
//! versions/<id>/<generation>-<version_id>        a version's record in one line, then its content
//! ```

mod codec;
mod config;
mod error;
mod field;
mod given;
mod head;
mod id;
pub(crate) mod keys;
mod lease;
mod litter;
mod lockfile;
mod media_type;
mod seal;
pub(crate) mod version;
mod version_id;

pub(crate) use codec::{
    Kind, check_tag, decode, decode_sealed, encode_line, encode_pretty, encode_pretty_into,
    encode_sealed_line, parse,
};
pub use config::{Config, Features, Probed};
pub use error::FormatError;
pub(crate) use field::check_text;
pub use given::Given;
pub use head::{Ancestor, Current, Ended, Head};
pub use id::{InvalidId, WorkflowId};
pub(crate) use lease::LeaseRef;
pub use lease::{InvalidLeaseId, Lease, LeaseId};
pub(crate) use litter::is_litter;
pub use lockfile::Lockfile;
pub use media_type::StoredMediaType;
pub use version::{Operation, StoredVersion, VersionRecord, VersionRef};
pub(crate) use version_id::generation;
pub use version_id::{MAX_GENERATION, VersionId};
