use chrono::{DateTime, Utc};
use pflow_store::format::{Current, Head, Lease, VersionRecord, VersionRef};
use serde::Serialize;
use serde_json::{Map, Value};

/// A workflow without its content, as `show` prints it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Shown<'a> {
    id: &'a str,
    /// Counts the changes of the head, those by locks included.
    revision: u64,
    #[serde(flatten)]
    record: ShownVersion<'a>,
    record_hash: String,
    fence: u64,
    lease: Option<ShownLease<'a>>,
    nonce: &'a str,
}

/// The current version.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ShownVersion<'a> {
    generation: u64,
    version_id: &'a str,
    /// What made it: `save`, `delete`, `undelete`, `adopt`, or the word of a newer program.
    operation: &'a str,
    /// The versions it was made from, the one it replaced first.
    parents: Vec<Parent<'a>>,
    /// How many versions there are along the first parents, this one included.
    depth: u64,
    /// The hash of the content. Null for a deletion.
    hash: Option<String>,
    /// The size of the content in bytes.
    size: u64,
    media_type: &'a str,
    name: Option<&'a str>,
    description: Option<&'a str>,
    tags: &'a [String],
    /// Which of `name`, `description` and `tags` were given beside the document. The others are derived from it.
    given: Vec<&'static str>,
    /// The types of its nodes, each once.
    nodes: &'a [String],
    /// What the document calls its version.
    version: Option<&'a str>,
    /// What pflow had noted about its runs when this generation was made. Absent if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<&'a Map<String, Value>>,
    /// When the first generation was made.
    created: DateTime<Utc>,
    /// When this generation was made.
    modified: DateTime<Utc>,
    /// Who made this generation.
    author: &'a str,
    message: Option<&'a str>,
    deleted: bool,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Parent<'a> {
    generation: u64,
    version_id: &'a str,
    record_hash: String,
}

/// The lease that the head has, live or stale.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ShownLease<'a> {
    id: &'a str,
    fence: u64,
    operation: &'a str,
    /// The content that was current when it was granted.
    hash: Option<String>,
    user: &'a str,
    host: &'a str,
    pid: u32,
    process_start: Option<&'a str>,
    boot_id: Option<&'a str>,
    pid_namespace: Option<&'a str>,
    acquired: DateTime<Utc>,
    expires: DateTime<Utc>,
    duration_ms: u64,
    renewals: u64,
    /// Whether it outlasts the process that took it. Absent if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    detached: bool,
}

impl<'a> Shown<'a> {
    pub(crate) fn of(head: &'a Head, current: &'a Current) -> Self {
        Self {
            id: head.id.as_str(),
            revision: head.revision,
            record: ShownVersion::of(&current.record),
            record_hash: current.record_hash.to_string(),
            fence: head.fence,
            lease: head.lease.as_ref().map(ShownLease::of),
            nonce: &head.nonce,
        }
    }
}

impl<'a> ShownVersion<'a> {
    fn of(record: &'a VersionRecord) -> Self {
        Self {
            generation: record.generation,
            version_id: record.version_id.as_str(),
            operation: record.operation.as_str(),
            parents: record.parents.iter().map(Parent::of).collect(),
            depth: record.depth,
            hash: record.hash.map(|hash| hash.to_string()),
            size: record.size,
            media_type: record.media_type.as_str(),
            name: record.name.text(),
            description: record.description.text(),
            tags: record.tags.value(),
            given: given(record),
            nodes: &record.nodes,
            version: record.version.as_deref(),
            statistics: Some(&record.statistics).filter(|statistics| !statistics.is_empty()),
            created: record.created,
            modified: record.modified,
            author: &record.author,
            message: record.message.as_deref(),
            deleted: record.deleted,
        }
    }
}

impl<'a> Parent<'a> {
    fn of(parent: &'a VersionRef) -> Self {
        Self {
            generation: parent.generation,
            version_id: parent.version_id.as_str(),
            record_hash: parent.record_hash.to_string(),
        }
    }
}

fn given(record: &VersionRecord) -> Vec<&'static str> {
    let fields = [
        ("name", record.name.given().is_some()),
        ("description", record.description.given().is_some()),
        ("tags", record.tags.given().is_some()),
    ];
    fields.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
}

impl<'a> ShownLease<'a> {
    fn of(lease: &'a Lease) -> Self {
        Self {
            id: lease.id.as_str(),
            fence: lease.fence,
            operation: &lease.operation,
            hash: lease.hash.map(|hash| hash.to_string()),
            user: &lease.user,
            host: &lease.host,
            pid: lease.pid,
            process_start: lease.process_start.as_deref(),
            boot_id: lease.boot_id.as_deref(),
            pid_namespace: lease.pid_namespace.as_deref(),
            acquired: lease.acquired,
            expires: lease.expires,
            duration_ms: lease.duration_ms,
            renewals: lease.renewals,
            detached: lease.detached,
        }
    }
}
