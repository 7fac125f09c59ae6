use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    FormatError, Kind, Lease, LeaseId, StoredVersion, VersionId, VersionRecord, VersionRef, WorkflowId,
    decode_sealed, encode_sealed_line, generation,
};
use crate::document::ContentHash;

/// How many ancestors a head stores.
const RECENT: usize = 32;

/// The register of one workflow: its current version, its lease and its fence, in one object that is only
/// changed by compare-and-swap.
///
/// Invariants: `revision` rises by one at every rewrite and `nonce` is new each time, so no two states of a
/// head have the same bytes (a storage may give equal bytes an equal version); `fence` and the generation
/// never fall; a head is never removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub(crate) format: String,
    /// The workflow.
    pub id: WorkflowId,
    /// The number of times this register was written.
    pub revision: u64,
    /// The current version; none if there has never been one (generation 0: only a lock was requested).
    pub current: Option<Current>,
    /// The number of leases that were ever granted or overridden.
    pub fence: u64,
    /// The lease of the client that may write; none if any client may.
    pub lease: Option<Lease>,
    /// The last lease that was taken away from its holder, so that the holder can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// Fresh at every rewrite.
    pub nonce: String,
    /// Fields that a later program wrote.
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

/// How a lease ended that its holder did not release. This only informs the holder. Whether the holder may
/// still write is decided by the lease in the head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ended {
    /// The id of that lease.
    pub lease_id: LeaseId,
    /// How: [`BROKEN`](Self::BROKEN), [`TAKEN_OVER`](Self::TAKEN_OVER), [`OVERRIDDEN`](Self::OVERRIDDEN), or
    /// what a later program says.
    pub how: String,
    /// By whom, as `user@host`.
    pub by: String,
    /// When, by the clock of the client that did it.
    pub at: DateTime<Utc>,
}

impl Ended {
    /// A client broke it.
    pub const BROKEN: &str = "broken";
    /// It was stale, and another client was granted a lease in its place.
    pub const TAKEN_OVER: &str = "taken over";
    /// It was stale, and another client changed the workflow.
    pub const OVERRIDDEN: &str = "overridden";
    /// Never in a head: the holder no longer renews it, because the task that renewed it died.
    pub const ABANDONED: &str = "abandoned";
}

/// The version that a head points to. All fields belong to this version: the next one takes over nothing but
/// its place among the ancestors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Current {
    /// The full record of the version.
    pub record: VersionRecord,
    /// The hash of the line in its version object.
    pub record_hash: ContentHash,
    /// The last 32 ancestors along the first parents, the nearest first.
    pub recent: Vec<Ancestor>,
    /// Fields that a later program wrote.
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

/// An ancestor, as far as a head remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ancestor {
    /// Its generation.
    #[serde(deserialize_with = "generation")]
    pub generation: u64,
    /// Its version id.
    pub version_id: VersionId,
    /// The hash of its content; none if it was a deletion.
    pub hash: Option<ContentHash>,
    /// The hash of the line in its version object, so that its record can be verified without reading the
    /// versions above it.
    pub record_hash: ContentHash,
}

impl Head {
    /// The head of a workflow that does not exist yet.
    pub(crate) fn new(id: WorkflowId) -> Self {
        Self {
            format: Kind::HEAD.tag(),
            id,
            revision: 0,
            current: None,
            fence: 0,
            lease: None,
            ended: None,
            nonce: String::new(),
            extra: Map::new(),
        }
    }

    /// The current generation; 0 if there has never been a version.
    pub fn generation(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.record.generation)
    }

    /// The current version; none if there is none or the workflow is deleted.
    pub fn live(&self) -> Option<&Current> {
        self.current.as_ref().filter(|current| !current.record.deleted)
    }

    /// The same head without its lease; the next write of the lease's holder then fails. Without a lease,
    /// only the fence rises.
    pub(crate) fn without_lease(self, how: &str, by: String, at: DateTime<Utc>) -> Self {
        let ended = self.noting_end(how, by, at);
        Self { fence: ended.fence.saturating_add(1), lease: None, ..ended }
    }

    /// The same head with another lease, which replaces the present one.
    pub(crate) fn with_lease(self, lease: Lease, how: &str, by: String, at: DateTime<Utc>) -> Self {
        Self { fence: lease.fence, lease: Some(lease), ..self.noting_end(how, by, at) }
    }

    /// Records how the present lease ends, if there is one.
    fn noting_end(self, how: &str, by: String, at: DateTime<Utc>) -> Self {
        let ended = self.lease.as_ref().map(|lease| Ended {
            lease_id: lease.id.clone(),
            how: how.to_owned(),
            by,
            at,
        });
        Self { ended: ended.or(self.ended), ..self }
    }

    /// The next state of the register. The caller makes its change to it and swaps it in.
    pub(crate) fn next(&self, nonce: String) -> Self {
        Self { revision: self.revision.saturating_add(1), nonce, ..self.clone() }
    }

    /// Encodes one line of JSON with a checksum.
    pub(crate) fn encode(&self) -> Result<Bytes, FormatError> {
        encode_sealed_line(self).map(Bytes::from)
    }

    /// Decodes the head of `id`.
    pub(crate) fn decode(id: &WorkflowId, bytes: &[u8]) -> Result<Self, FormatError> {
        let head: Self = decode_sealed(Kind::HEAD, bytes)?;
        if head.id != *id {
            return Err(FormatError::Contradiction(format!("it is the head of {}", head.id)));
        }
        Ok(head)
    }
}

impl Current {
    /// The version of `record`, which follows the version that was current `before`.
    pub(crate) fn after(before: Option<&Self>, record: VersionRecord, record_hash: ContentHash) -> Self {
        let recent = before.map(Self::ancestry).unwrap_or_default();
        Self { record, record_hash, recent, extra: Map::new() }
    }

    /// The version of `record` above the ancestors `recent`, the nearest first, as far as they are known.
    pub(crate) fn restored(
        record: VersionRecord,
        record_hash: ContentHash,
        mut recent: Vec<Ancestor>,
    ) -> Self {
        recent.truncate(RECENT);
        Self { record, record_hash, recent, extra: Map::new() }
    }

    /// The reference by which other records name this version.
    pub fn reference(&self) -> VersionRef {
        VersionRef {
            generation: self.record.generation,
            version_id: self.record.version_id.clone(),
            record_hash: self.record_hash,
        }
    }

    /// This version and the ancestors that its head remembers, the newest first.
    pub(crate) fn lineage(&self) -> impl Iterator<Item = Ancestor> + '_ {
        std::iter::once(Ancestor::of(&self.record, self.record_hash)).chain(self.recent.iter().cloned())
    }

    /// The ancestors that the head of the next version remembers.
    fn ancestry(&self) -> Vec<Ancestor> {
        self.lineage().take(RECENT).collect()
    }
}

impl Ancestor {
    /// The entry by which a head remembers the version of `record`, whose line has the hash `record_hash`.
    pub(crate) fn of(record: &VersionRecord, record_hash: ContentHash) -> Self {
        let (generation, version_id) = (record.generation, record.version_id.clone());
        Self { generation, version_id, hash: record.hash, record_hash }
    }

    /// The entry by which later heads remember `version`.
    pub(crate) fn of_version(version: &StoredVersion) -> Self {
        Self::of(&version.record, version.record_hash)
    }

    /// The reference by which other records name this version.
    pub fn reference(&self) -> VersionRef {
        let (generation, version_id) = (self.generation, self.version_id.clone());
        VersionRef { generation, version_id, record_hash: self.record_hash }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::version::tests::record;

    fn id() -> WorkflowId {
        WorkflowId::parse("a").unwrap()
    }

    fn head() -> Head {
        let first = Current::after(None, record(1, b"{}"), ContentHash::of(b"line"));
        let current = Current::after(Some(&first), record(2, b"{}"), ContentHash::of(b"line"));
        Head { current: Some(current), fence: 3, nonce: "n".to_owned(), revision: 9, ..Head::new(id()) }
    }

    #[test]
    fn heads_read_back_with_and_without_a_version() {
        for head in [head(), Head { fence: 1, ..Head::new(id()) }] {
            let bytes = head.encode().unwrap();
            assert!(bytes.ends_with(b"}\n") && bytes.iter().filter(|byte| **byte == b'\n').count() == 1);
            assert_eq!(Head::decode(&id(), &bytes).unwrap(), head);
        }
    }

    #[test]
    fn unknown_fields_survive_a_rewrite() {
        for head in [head(), Head::new(id())] {
            let mut value: Value = serde_json::from_slice(&head.encode().unwrap()).unwrap();
            value.as_object_mut().unwrap().remove("checksum").unwrap();
            value["later"] = serde_json::json!({"deep": [1, 2.5, null]});
            if head.current.is_some() {
                value["current"]["later"] = 1.into();
                value["current"]["record"]["later"] = 2.into();
            }
            let read = Head::decode(&id(), &encode_sealed_line(&value).unwrap()).unwrap();
            let mut rewritten: Value = serde_json::from_slice(&read.encode().unwrap()).unwrap();
            rewritten.as_object_mut().unwrap().remove("checksum").unwrap();
            assert_eq!(rewritten, value);
        }
    }

    #[test]
    fn unknown_fields_of_a_version_are_not_passed_to_the_next() {
        let mut before = head().current.unwrap();
        before.extra.insert("later".to_owned(), 1.into());
        let after = Current::after(Some(&before), record(3, b"{}"), before.record_hash);
        assert!(after.extra.is_empty());
    }

    #[test]
    fn damaged_head_is_an_error_and_never_an_empty_head() {
        let mut whole: Value = serde_json::from_slice(&head().encode().unwrap()).unwrap();
        assert!(
            Head::decode(&id(), whole.to_string().as_bytes()).is_err(),
            "the checksum is of these very bytes"
        );
        whole.as_object_mut().unwrap().remove("checksum").unwrap();
        for (place, field) in [
            ("", "revision"),
            ("", "nonce"),
            ("", "fence"),
            ("/current", "record_hash"),
            ("/current", "recent"),
            ("/current/record", "generation"),
            ("/current/record", "version_id"),
            ("/current/record", "deleted"),
            ("/current/record", "created"),
        ] {
            let mut value = whole.clone();
            value.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(field);
            assert!(
                Head::decode(&id(), &encode_sealed_line(&value).unwrap()).is_err(),
                "without {place}/{field}"
            );
        }
        let other = WorkflowId::parse("b").unwrap();
        assert!(
            Head::decode(&other, &head().encode().unwrap()).unwrap_err().to_string().contains("head of a")
        );
    }

    #[test]
    fn head_remembers_its_last_32_ancestors() {
        let mut current = head().current.unwrap();
        for generation in 3..60 {
            current = Current::after(Some(&current), record(generation, b"{}"), current.record_hash);
        }
        let generations: Vec<u64> = current.recent.iter().map(|ancestor| ancestor.generation).collect();
        assert_eq!(generations, (27..59).rev().collect::<Vec<_>>());
    }
}
