use bytes::Bytes;
use chrono::{DateTime, Utc};
use pflow_backend::Version;

use super::describe::Described;
use crate::{
    conflict::Obstacle,
    format::{
        ChainPlace, Lease, SourcedFields, StoredVersion, VersionId, VersionRecord, VersionRef, WorkflowId,
    },
    lease::Standing,
    lock::LeaseClaim,
    repo::StoredHead,
    store::copy::{CopyState, EditedCopy},
};

/// The state that CheckConflicts read.
#[derive(Debug, Clone)]
pub(crate) struct Basis {
    pub(crate) stored: StoredHead,
    /// Whether the lease in the head must be respected; none if there is no lease.
    pub(crate) standing: Option<Standing>,
    pub(crate) copy: CopyState,
    /// The file of another name that the working copy gets with the next version, because its format is
    /// another one. None if the name stays, and where people do not edit files.
    pub(crate) target: Option<Target>,
    /// The version that an undelete restores.
    pub(crate) restored: Option<StoredVersion>,
    /// The result of a merge of stored versions.
    pub(crate) joined: Option<Joined>,
    pub(crate) now: DateTime<Utc>,
}

/// The planned write, without the parts that each attempt creates.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) stored: StoredHead,
    pub(crate) copy: CopyState,
    /// The version of the file that the working copy replaces under another name than that of the head's.
    pub(crate) target: Option<Version>,
    /// A person's edit that becomes a version of its own, below the next one.
    pub(crate) kept: Option<Draft>,
    /// The next version; none if the change only acquires a lease.
    pub(crate) version: Option<Draft>,
    pub(crate) lease: LeasePlan,
    /// The live lease of another client that `lease` takes away.
    pub(crate) breaks: Option<Lease>,
}

/// The file that is there under the next name of the working copy. A person or another program put it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) version: Version,
    pub(crate) found: EditedCopy,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeasePlan {
    /// Leave the lease unchanged: it is the caller's own, or there is none.
    Keep,
    /// Remove a lease that is stale or that the resolver agreed to break, and raise the fence, so that its
    /// holder's next write fails.
    Remove,
    /// Grant the caller a lease.
    Grant(LeaseClaim),
}

/// The result of a merge of the current version and another stored one.
#[derive(Debug, Clone)]
pub(crate) enum Joined {
    /// The other version is the current one or an ancestor of it.
    Contained,
    Merged(Box<Draft>),
    /// Only a person can merge them.
    Blocked(Obstacle),
}

/// Where a derived version is in its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parentage {
    pub(crate) parents: Vec<VersionRef>,
    pub(crate) place: ChainPlace,
}

/// A version without its id and parents, which each attempt sets itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    /// Set for a derived version, whose id follows from its record; a saved one is built on the current
    /// version and has a random id.
    pub(crate) derived: Option<Parentage>,
    pub(crate) generation: u64,
    pub(crate) described: Described,
    pub(crate) content: Bytes,
    pub(crate) created: DateTime<Utc>,
    pub(crate) modified: DateTime<Utc>,
    pub(crate) author: String,
    pub(crate) message: Option<String>,
}

impl Draft {
    /// Returns the record for one attempt, before it is placed in its chain.
    pub(crate) fn record(
        &self,
        id: &WorkflowId,
        version_id: VersionId,
        parents: Vec<VersionRef>,
    ) -> VersionRecord {
        let Self { generation, described, created, modified, author, message, content: _, derived: _ } =
            self.clone();
        let deleted = described.is_deletion();
        let Described { operation, hash, size, media_type, body, statistics, fields, nodes, version } =
            described;
        let SourcedFields { name, description, tags } = fields;
        VersionRecord {
            id: id.clone(),
            generation,
            version_id,
            operation,
            parents,
            depth: 1,
            merges: 0,
            jump: None,
            hash,
            size,
            media_type,
            body,
            statistics,
            name,
            description,
            tags,
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
