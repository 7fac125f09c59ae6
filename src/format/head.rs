use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    ChainPlace, FormatError, Jump, Kind, Lease, LeaseId, VersionRecord, VersionRef, WorkflowId,
    decode_sealed, encode_sealed_line,
};
use crate::document::ContentHash;

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
    /// The fence of that lease, which tells it from another grant with the same id.
    pub fence: u64,
    /// How: [`BROKEN`](Self::BROKEN), [`TAKEN_OVER`](Self::TAKEN_OVER), [`OVERRIDDEN`](Self::OVERRIDDEN), or
    /// what a later program says.
    pub how: String,
    /// By whom, as `user@host`.
    pub by: String,
    /// When, by the clock of the client that did it.
    pub at: DateTime<Utc>,
    /// Fields that a later program wrote.
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
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

    pub(crate) fn new(lease: &Lease, how: &str, by: String, at: DateTime<Utc>) -> Self {
        let (lease_id, fence, how) = (lease.id.clone(), lease.fence, how.to_owned());
        Self { lease_id, fence, how, by, at, extra: Map::new() }
    }
}

/// The version that a head points to. All fields belong to this version: the next one takes over nothing but
/// its place among the ancestors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Current {
    /// The full record of the version.
    pub record: VersionRecord,
    /// The hash of the record in its version object.
    pub record_hash: ContentHash,
    /// The jump of the record's jump, the jump of that one, and so on: as far as the first version, or as far
    /// as a repair could read them.
    pub jumps: Vec<Jump>,
    /// Fields that a later program wrote.
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
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
        let ended = self.lease.as_ref().map(|lease| Ended::new(lease, how, by, at));
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
        if let Some(current) = &head.current
            && current.record.id != *id
        {
            let other = &current.record.id;
            return Err(FormatError::Contradiction(format!("its current version is one of {other}")));
        }
        Ok(head)
    }
}

impl Current {
    /// The version of `record` at its place, for which it was [placed](VersionRecord::placed).
    pub(crate) fn placed(record: VersionRecord, record_hash: ContentHash, place: ChainPlace) -> Self {
        Self { record, record_hash, jumps: place.jumps.into_iter().skip(1).collect(), extra: Map::new() }
    }

    /// The version of `record`, with those jumps behind its own that are known.
    pub(crate) fn restored(record: VersionRecord, record_hash: ContentHash, jumps: Vec<Jump>) -> Self {
        Self { record, record_hash, jumps, extra: Map::new() }
    }

    /// The reference by which other records name this version.
    pub fn reference(&self) -> VersionRef {
        VersionRef::to(&self.record, self.record_hash)
    }

    /// The jump of this version, the jump of that one, and so on.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &Jump> {
        self.record.jump.iter().chain(&self.jumps)
    }

    /// The ancestor to read first on the way along the first parents to the one of this generation: the
    /// furthest that this head names and that is not behind it. None if there is no way to it, and if this
    /// version is it.
    pub(crate) fn nearest(&self, generation: u64) -> Option<VersionRef> {
        let jumps = self.chain().take_while(|jump| jump.generation >= generation);
        jumps.last().map(Jump::reference).or_else(|| self.record.towards(generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::version::tests::{next, record};

    fn id() -> WorkflowId {
        WorkflowId::parse("a").unwrap()
    }

    fn head() -> Head {
        let first = next(None, record(1, b"{}"));
        let current = next(Some(&first), record(2, b"{}"));
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
        let after = next(Some(&before), record(3, b"{}"));
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
            ("/current", "jumps"),
            ("/current/record", "depth"),
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
}
