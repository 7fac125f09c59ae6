//! The stored formats and the key names, pure: no I/O.
//!
//! All formats are final: a later program reads what this one wrote, and this program refuses what a later
//! one wrote, by the `format` that every stored JSON document has.
//!
//! `docs/format.md` describes every object byte by byte.
//!
//! Unknown fields survive a rewrite in objects that are rewritten: config, head, lease, references, envelope,
//! index root. The record of a version is written once. The lines of index parts are closed: a program that
//! extends one of them adds a feature that writers must know. The media type of a content is open: an unknown
//! one is kept as it is, and only that content is refused.
//!
//! Heads, the envelopes of versions and the index root end with a checksum of themselves (`seal.rs`), and
//! config.json has a checksum of the fields that define the store (`config.rs`), so every reader detects a
//! flipped bit. Records and index parts are named by their hash.
//!
//! ```text
//! config.json                                    format, store id, required features, settings
//! index.json, index.bak                          export of the index, and the one before
//! ops/checkpoint                                 root of the index
//! ops/base/<ulid>, ops/segments/<ulid>           its immutable parts
//! ops/pending/<id>.<generation>.<version_id>.<attempt>.<versions>
//!                                                "this workflow may have changed"; empty
//! ops/pending/<id or _store>.<ulid>.op           an operation that makes no version
//! ops/instances/<sha256 of the endpoint>         the id of the store at one endpoint of a server
//! ops/probe/<ulid>/…                             objects of a probe of the storage, which deletes them again
//! workflows/<id>/metadata.json                   the head: one register per workflow
//! workflows/<id>/workflow.json, workflow.pflow.md, workflow.bin
//!                                                current content, byte for byte, by its media type
//! workflows/<id>/workflow.lock                   mirror of the lease
//! workflows/<id>/workflow.lock.<sha256>.odd      a foreign file found in the mirror's place; its author may inspect and delete it
//! versions/<id>/<generation>-<version_id>        a version: its envelope, its record, its content
//! ```

mod codec;
mod config;
mod envelope;
mod error;
mod field;
mod head;
pub(crate) mod id;
mod instance;
mod jump;
pub(crate) mod keys;
pub(crate) mod lease;
mod litter;
mod lockfile;
mod media_type;
mod seal;
mod sourced;
pub(crate) mod version;
mod version_id;

use codec::check_format;
pub(crate) use codec::{
    Kind, check_tag, decode, decode_sealed, encode_line, encode_pretty, encode_pretty_into,
    encode_sealed_line, parse,
};
pub use config::{Config, Features, Probed};
pub use envelope::ContentPlace;
pub(crate) use envelope::Envelope;
pub use error::FormatError;
pub(crate) use field::{check_list, check_text};
pub use head::{Current, Ended, Head};
pub use id::InvalidId;
pub(crate) use id::WorkflowId;
pub(crate) use instance::InstanceRecord;
pub(crate) use jump::ChainPlace;
pub use jump::Jump;
pub(crate) use lease::LeaseId;
pub(crate) use lease::LeaseRef;
pub use lease::{InvalidLeaseId, Lease};
pub(crate) use litter::is_litter;
pub use lockfile::Lockfile;
pub use media_type::StoredMediaType;
pub(crate) use sourced::{FieldChange, FieldChanges};
pub use sourced::{Sourced, SourcedFields};
pub(crate) use version::StoredRecord;
pub use version::{BodyHash, Operation, StoredVersion, VersionRecord, VersionRef};
pub(crate) use version_id::generation;
pub use version_id::{InvalidVersionId, MAX_GENERATION, VersionId};
