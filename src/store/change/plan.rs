use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::describe::Described;
use crate::{
    format::{Lease, StoredVersion, VersionId, VersionRecord, VersionRef},
    lease::Standing,
    lock::Claim,
    repo::StoredHead,
    store::copy::CopyState,
};

/// What CheckConflicts saw.
#[derive(Debug, Clone)]
pub(crate) struct Basis {
    pub(crate) stored: StoredHead,
    /// Whether the lease in the head must be respected; none if there is none.
    pub(crate) standing: Option<Standing>,
    pub(crate) copy: CopyState,
    /// What an undelete brings back.
    pub(crate) restored: Option<StoredVersion>,
    pub(crate) now: DateTime<Utc>,
}

/// What is to be written, but for what is new at each attempt.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) stored: StoredHead,
    pub(crate) copy: CopyState,
    /// A person's edit that becomes a version of its own, below the next one.
    pub(crate) kept: Option<Draft>,
    /// The next version; none if only a lease is taken.
    pub(crate) version: Option<Draft>,
    pub(crate) lease: LeasePlan,
    /// The live lease of another client that `lease` takes away.
    pub(crate) breaks: Option<Lease>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeasePlan {
    /// Leave it as it is: the caller's own, or none.
    Keep,
    /// A lease that is not live any more: take it away and raise the fence, so that its holder's next write
    /// fails.
    Remove,
    /// Grant the caller one.
    Grant(Claim),
}

/// A version before it has an id and parents, which each attempt gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) generation: u64,
    pub(crate) described: Described,
    pub(crate) content: Bytes,
    pub(crate) created: DateTime<Utc>,
    pub(crate) modified: DateTime<Utc>,
    pub(crate) author: String,
    pub(crate) message: Option<String>,
}

impl Draft {
    /// The record of an attempt.
    pub(crate) fn record(&self, version_id: VersionId, parents: Vec<VersionRef>) -> VersionRecord {
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
