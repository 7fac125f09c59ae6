use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::describe::Described;
use crate::{
    format::{Lease, StoredVersion, VersionId, VersionRecord, VersionRef},
    lease::Standing,
    lock::LeaseRequest,
    repo::StoredHead,
    store::copy::CopyState,
};

/// What CheckConflicts saw.
#[derive(Debug, Clone)]
pub(super) struct Basis {
    pub(super) stored: StoredHead,
    /// Whether the lease in the head must be respected; none if there is none.
    pub(super) standing: Option<Standing>,
    pub(super) copy: CopyState,
    /// What an undelete brings back.
    pub(super) restored: Option<StoredVersion>,
    pub(super) now: DateTime<Utc>,
}

/// What is to be written, but for what is new at each attempt.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) stored: StoredHead,
    pub(super) copy: CopyState,
    /// A person's edit that becomes a version of its own, below the next one.
    pub(super) kept: Option<Draft>,
    /// The next version; none if only a lease is taken.
    pub(super) version: Option<Draft>,
    pub(super) lease: LeasePlan,
    /// The live lease of another client that `lease` takes away.
    pub(super) breaks: Option<Lease>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LeasePlan {
    /// Leave it as it is: the caller's own, or none.
    Keep,
    /// A lease that is not live any more: take it away and raise the fence, so that its holder's next write
    /// fails.
    Remove,
    /// Grant the caller one.
    Grant(LeaseRequest),
}

/// A version before it has an id and parents, which each attempt gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) generation: u64,
    pub(super) described: Described,
    pub(super) content: Bytes,
    pub(super) created: DateTime<Utc>,
    pub(super) modified: DateTime<Utc>,
    pub(super) author: String,
    pub(super) message: Option<String>,
}

impl Draft {
    /// The record of an attempt.
    pub(super) fn record(&self, version_id: VersionId, parents: Vec<VersionRef>) -> VersionRecord {
        let Self { generation, described, created, modified, author, message, content: _ } = self.clone();
        let deleted = described.is_deletion();
        let Described { operation, hash, size, media_type, name, description, tags, given, nodes, version } =
            described;
        VersionRecord {
            generation,
            version_id,
            operation,
            parents,
            hash,
            size,
            media_type,
            name,
            description,
            tags,
            given,
            nodes,
            version,
            created,
            modified,
            author,
            message,
            deleted,
            extra: serde_json::Map::new(),
        }
    }
}
